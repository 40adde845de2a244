"""The vectorised cycle model against loops over its definition (DESIGN §4)."""

import numpy as np
import pytest

from sterna.compiler import model_cycles
from sterna.compiler.lowering import lower
from sterna.golden import trace
from sterna.sim.configurations import random_configuration
from sterna.sim.networks import random_images, random_network
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.network import IntegerNetwork, Layer, Plane
from sterna.spec.skips import NO_SKIPS, Skips


def naive_cycles(
    network: IntegerNetwork, layer: Layer, plane: Plane, source: np.ndarray, c: Configuration, skips: Skips
) -> int:
    """Cycles of one plane of a layer on one image: window rows one by one, in the banks where they lie; all of them as
    one run where each is a whole row in memory."""
    height, width, _ = network.shape(layer.name)
    outputs, kernel_height, kernel_width, inputs = plane.trits.shape
    rows, columns, channels = source.shape
    raw = plane.source == network.input.name
    pixel = channels if raw else -(-channels // c.simd) * c.simd
    fractional = raw and channels % c.simd
    left = max((p.padding[2] for p in layer.planes if p.source == plane.source), default=0) if fractional else 0
    left = max(left, plane.padding[2])
    stored = -(-outputs // c.simd) * c.simd
    window_row = (left - plane.padding[2] + kernel_width) * pixel
    runs = 1 if window_row == lower(network, c)[1][plane.source].row_words * c.simd else kernel_height
    total = 0
    for y in range(height * layer.pool[0]):
        for x in range(width * layer.pool[1]):
            begin = (x * plane.stride[1] - left) * pixel % c.simd
            reach = max((k * plane.stride[1] - left) * pixel % c.simd for k in range(width * layer.pool[1]))
            if raw is False or not fractional:
                begin = reach = 0
            words = -(-(reach + kernel_height // runs * window_row) // c.simd)
            for first in range(0, stored, c.pe):
                feeders = [0] * c.simd
                for run in range(runs):
                    issued = np.zeros((c.simd, -(-words // CHUNK)), int)
                    for position in range(words):
                        for bank in range(c.simd):
                            element = position * c.simd + bank - begin
                            i, within = divmod(element, window_row) if runs == 1 else (run, element)
                            j, channel = divmod(within, pixel)
                            j -= left - plane.padding[2]
                            inside = 0 <= i < kernel_height and 0 <= j < kernel_width and channel < channels
                            block = False
                            if inside:
                                for o in range(first, min(first + c.pe, outputs)):
                                    group = o // (outputs // plane.groups)
                                    own = channel - group * inputs
                                    block |= 0 <= own < inputs and bool(plane.trits[o, i, j, own])
                            yy = y * plane.stride[0] - plane.padding[0] + i
                            xx = x * plane.stride[1] - plane.padding[2] + j
                            active = 0 <= yy < rows and 0 <= xx < columns and channel < channels
                            active = active and (bool(source[yy, xx, channel]) or not skips.activations)
                            active |= raw and not skips.activations  # with the zeros around it
                            issued[bank, position // CHUNK] += active and (block or not skips.blocks)
                    for bank in range(c.simd):
                        feeders[bank] += int(np.maximum(issued[bank], 1).sum())
                total += max(*feeders, c.pe // c.requantisers, 0)
    return total


@pytest.mark.parametrize("seed", range(8))
def test_cycles_are_those_of_feeders_that_meet_at_each_output(seed: int) -> None:
    rng = np.random.default_rng(seed)
    c = random_configuration(rng)
    network = random_network(rng, c, layers=3, kinds=("conv", "depthwise", "digits", "grouped"))
    images = random_images(rng, network, 2)
    tensors = trace(network, images)
    skips = Skips(activations=bool(seed & 1))
    estimate = model_cycles(network, c, images, skips)
    for layer in network.layers:
        cycles = sum(
            naive_cycles(network, layer, plane, image, c, skips)
            for plane in layer.planes
            for image in tensors[plane.source]
        )
        assert estimate.layers[layer.name] == pytest.approx(cycles / 2)
    assert estimate.total == pytest.approx(sum(estimate.layers.values()))


def test_without_skips_every_position_is_issued() -> None:
    rng = np.random.default_rng(0)
    c = Configuration(name="t", simd=4, pe=8, weight_depth=512, mask_depth=64, activation_depth=512, parameter_depth=64)
    network = random_network(rng, c, layers=1, kinds=("dense",))
    (layer,) = network.layers
    images = random_images(rng, network, 1)
    estimate = model_cycles(network, c, images, NO_SKIPS)
    outputs, *window = layer.planes[0].trits.shape
    height, width, depth = network.input.shape
    whole = width * depth % c.simd == 0
    positions = -(-int(np.prod(window)) // c.simd) if whole else height * -(-width * depth // c.simd)
    assert estimate.total == -(-(-(-outputs // 4) * 4) // c.pe) * max(positions, c.pe)
