"""Amaranth component → Verilog text, for the simulator and for others. The same component gives the same text."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from amaranth.back import verilog
from amaranth.back.verilog import YosysError
from amaranth.lib import wiring

from sterna.flow.names import unambiguous
from sterna.spec.errors import ToolError

TOP = "top"
"""Name of the top module of what is simulated."""

# A memory that is all zeros at power-up, word by word: 16K lines for a 16K memory.
ZERO_MEMORY = re.compile(r"  initial begin\n(?:    \S+ ?\[\d+\] = \d+'[hd]0+;\n)+  end\n")


@dataclass(frozen=True)
class Verilog:
    """Verilog source of one design."""

    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@contextlib.contextmanager
def _builtin_yosys() -> Iterator[None]:
    """Amaranth's own yosys first, whatever lies on PATH: another release may write other text."""
    before = os.environ.get("AMARANTH_USE_YOSYS")
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin,system")
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMARANTH_USE_YOSYS"]


def to_verilog(
    component: wiring.Component, *, name: str = TOP, ports: Mapping[str, Any] | None = None, platform: Any = None
) -> Verilog:
    """Verilog of ``component`` as module ``name``; ports as Amaranth names them (``rx__valid``), ``clk`` and ``rst``.

    ``ports``: other signals than the component's members, by name, as Amaranth's back ends take them; ``platform``: its
    primitives may be used.

    Memories that are all zeros at power-up are left without a value, so that the simulator chooses: zeros, or
    random words as an SPRAM holds them (``power_up`` of :mod:`sterna.sim.device`).

    Raises :class:`ToolError` if yosys is missing or fails.
    """
    try:
        with _builtin_yosys():
            text = verilog.convert(
                component, name=name, ports=ports, platform=platform, emit_src=False, strip_internal_attrs=True
            )
    except YosysError as error:
        raise ToolError(f"yosys: {str(error).splitlines()[0]}; mend: pip install 'amaranth[builtin-yosys]'") from error
    return Verilog(unambiguous(ZERO_MEMORY.sub("", text)))
