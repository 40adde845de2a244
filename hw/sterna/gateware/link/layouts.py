"""Payloads of the streams that carry frame contents, one byte at a time."""

from amaranth.lib import data

from sterna.spec.frames import MAX_CONTENT


def received_byte() -> data.StructLayout:
    """A byte of a checked frame's content. ``left``: bytes from this one to the frame's end, 1 at the last."""
    return data.StructLayout({"data": 8, "left": MAX_CONTENT.bit_length(), "last": 1})


def response_byte() -> data.StructLayout:
    """A byte of a frame's content that is to be sent."""
    return data.StructLayout({"data": 8, "last": 1})
