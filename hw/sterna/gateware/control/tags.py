"""What travels beside an output from the sequencer to the requantisers."""

from amaranth.hdl import unsigned
from amaranth.lib import data

from sterna.spec.descriptors import Pointer


def output_tags() -> data.StructLayout:
    """Tags of one output (one tile of one pixel, one plane)."""
    return data.StructLayout({
        "pointer": unsigned(max(Pointer).bit_length()),
        "last_tile": 1,
        "op_first": 1,
        "op_last": 1,
    })  # fmt: skip
