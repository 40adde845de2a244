"""Bytes on the wire: those of the frames, counted by hand."""

import numpy as np

from sterna.compiler import compile_network
from sterna.driver.traffic import traffic_of
from sterna.spec.configuration import STANDARD
from sterna.spec.frames import Opcode, encode_frame, request
from sterna.spec.image import Image
from sterna.zoo import network


def frame(data: int, opcode: int = Opcode.INPUT) -> int:
    """Bytes of a frame with ``data`` bytes after sequence number and opcode or status."""
    return len(encode_frame(request(1, Opcode(opcode), b"\1" * data)))


def compiled(name: str) -> Image:
    return compile_network(network("digits-mlp"), STANDARD[name])


def test_an_inference_sends_input_start_and_request_and_receives_as_many_answers() -> None:
    traffic = traffic_of(compiled("icebreaker"), STANDARD["icebreaker"])
    assert traffic.sent == frame(2 + 64) + frame(6) + frame(5) == 101
    assert traffic.received == frame(0) + frame(0) + frame(10) == 34


def test_what_is_streamed_goes_over_the_link_too() -> None:
    image = compiled("hx8k")
    assert image.streamed_bytes > 0
    traffic = traffic_of(image, STANDARD["hx8k"])
    assert image.streamed_bytes + 101 < traffic.sent < 1.2 * image.streamed_bytes + 101
    assert np.array_equal([traffic.sent, traffic.received], np.floor([traffic.sent, traffic.received]))
