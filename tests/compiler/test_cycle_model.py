"""The vectorised cycle model against loops over its definition (DESIGN §4)."""

import numpy as np
import pytest

from networks import random_configuration, random_dense_network, random_images
from sterna.compiler import model_cycles
from sterna.golden import trace
from sterna.spec.configuration import CHUNK


@pytest.mark.parametrize("seed", range(10))
def test_cycles_are_those_of_feeders_that_meet_at_each_output(seed: int) -> None:
    rng = np.random.default_rng(seed)
    c = random_configuration(rng)
    network = random_dense_network(rng, c.act_bits, widest=40)
    images = random_images(rng, network, 3)
    tensors = trace(network, images)
    for activation_skip, block_skip in [(True, True), (True, False), (False, True), (False, False)]:
        estimate = model_cycles(network, c, images, activation_skip=activation_skip, block_skip=block_skip)
        for layer in network.layers:
            trits = layer.planes[0].trits.reshape(len(layer.bias), -1)
            words = -(-trits.shape[1] // c.simd)
            cycles = 0
            for activations in tensors[layer.planes[0].source].reshape(3, -1):
                for first in range(0, len(trits), c.pe):
                    stored = trits[first : first + c.pe].any(axis=0)
                    feeders = []
                    for bank in range(c.simd):
                        total = 0
                        for chunk in range(0, words, CHUNK):
                            issued = 0
                            for word in range(chunk, min(chunk + CHUNK, words)):
                                k = word * c.simd + bank
                                inside = k < trits.shape[1]
                                active = not activation_skip or (inside and activations[k] != 0)
                                issued += bool(active and (not block_skip or (inside and stored[k])))
                            total += max(1, issued)
                        feeders.append(total)
                    cycles += max(*feeders, c.pe // c.requantisers, 0)
            assert estimate.layers[layer.name] == pytest.approx(cycles / 3)
        assert estimate.total == pytest.approx(sum(estimate.layers.values()))
