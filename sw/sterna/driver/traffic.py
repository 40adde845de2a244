"""What an inference sends over the link: counted as the driver talks to the emulator, frames and all."""

from dataclasses import dataclass

import numpy as np

from sterna.driver.device import Device
from sterna.link.emulator import Emulator
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import Configuration
from sterna.spec.image import Image

BITS_PER_BYTE = 10
"""On a serial wire: start, eight bits, stop."""


@dataclass(frozen=True)
class Traffic:
    """Bytes on the wire."""

    sent: float
    """By the driver: input, start, request of the results, and what is streamed."""
    received: float


def traffic_of(image: Image, configuration: Configuration) -> Traffic:
    """Bytes of one inference among many; the input holds no zeros, so that its frames are as long as they get."""
    layout = image.input.layout
    counts = []
    for images in (1, 3):
        row = np.full((images, layout.height, layout.width, layout.channels), max_activation(configuration.act_bits))
        with Device(Emulator(configuration), configuration=configuration) as device:
            device.load(image)
            before = np.array([device.statistics.bytes_sent, device.statistics.bytes_received])
            device.infer(row.astype(np.int8))
            counts.append(np.array([device.statistics.bytes_sent, device.statistics.bytes_received]) - before)
    sent, received = (counts[1] - counts[0]) / 2
    return Traffic(float(sent), float(received))
