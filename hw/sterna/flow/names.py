"""Names of wires that no tool can take for bits of others.

Amaranth names the elements of an array ``x`` by ``x[0]``, ``x[1]``. yosys' pass ``abc9`` (of 0.70) puts what ABC has
mapped back in place by text, and bit 1 of ``x`` has that same text: two signals become one, and a flip-flop or a bit
of a memory is gone without a word (docs/decisions/0023-names-that-are-bits.md).
"""

import re

_INDEXED = re.compile(r"(?:\\|(?<!\S)\$)[^\s(\"]*\[\d+\][^\s\"]*")
"""An identifier with an index in it, of RTLIL or escaped in Verilog (whose ``$signed(x[1])`` is none). A bit's index
stands behind a space."""

_INDEX = re.compile(r"\[(\d+)\]")


def unambiguous(text: str) -> str:
    """RTLIL or Verilog ``text`` with ``x[1]`` named ``x[#1]``. Names sort, as yosys sorts them, as they did before."""
    return _INDEXED.sub(lambda name: _INDEX.sub(r"[#\1]", name[0]), text)
