"""Modelled cycles and streamed bytes of single layers on the UP5K's two configurations, ``trit2`` and ``trit5``.

    python docs/decisions/0015-trit5-in-memory.py

Weights are random, in blocks of as many trits as the core has lanes; half of the activations are zero.
"""

import numpy as np

from sterna.compiler import model_cycles
from sterna.compiler.compile import fit_report
from sterna.sim.networks import random_images
from sterna.sim.topologies import conv_layer, dense_layer
from sterna.spec.configuration import STANDARD
from sterna.spec.network import IntegerNetwork


def layers(block: int) -> dict[str, IntegerNetwork]:
    """By what they are."""
    return {
        "dense, 640×400": dense_layer(0, 640, 400, block=block, density=1.0),
        "dense, 640×400, half of the blocks": dense_layer(0, 640, 400, block=block, density=0.5),
        "dense, 640×500": dense_layer(0, 640, 500, block=block, density=1.0),
        "dense, 640×16": dense_layer(0, 640, 16, block=block, density=1.0),
        "3×3 convolution, 8×8×8 to 16": conv_layer(0, (8, 8, 8), 16, block=block, density=1.0),
        "3×3 convolution, 8×8×8 to 20": conv_layer(0, (8, 8, 8), 20, block=block, density=1.0),
    }


for name in layers(1):
    for configuration in (STANDARD["icebreaker"], STANDARD["icebreaker-trit5"]):
        network = layers(configuration.pe)[name]
        report = fit_report(network, configuration)
        images = random_images(np.random.default_rng(0), network, 4)
        cycles = model_cycles(network, configuration, images).total
        print(f"{name}: {configuration.name} {cycles:,.0f} cycles, {report.streamed_bytes:,} bytes streamed"
              + ("" if report.fits else ", does not fit"))  # fmt: skip
