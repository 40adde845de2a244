"""From training to result: the digits preset, compiled, on the Verilated accelerator, every held-out image."""

import numpy as np
import pytest

import sterna
from sterna.data import load
from sterna.driver import Device
from sterna.link.faults import FaultyTransport
from sterna.sim.device import open_simulation
from sterna.spec.configuration import configuration_named
from sterna.spec.model_file import network_from_bytes, network_to_bytes
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, NO_SKIPS
from sterna.train import train


@pytest.fixture(scope="module")
def network() -> IntegerNetwork:
    return network_from_bytes(network_to_bytes(train("digits-mlp", 0).network))


def test_every_held_out_image_gives_goldens_logits_and_skips_save_half_the_cycles(network: IntegerNetwork) -> None:
    digits = load("digits")
    golden = network.predict(digits.test_images)
    cycles = {}
    with sterna.open("sim:icebreaker") as device:
        assert device.identity.build != bytes(8)
        for skips in (ALL_SKIPS, NO_SKIPS):
            device.load(network, skips=skips)
            before = device.counters()
            logits = device.infer(digits.test_images)
            cycles[skips] = (device.counters() - before).cycles
            assert np.array_equal(logits, golden)
    assert (golden.argmax(axis=1) == digits.test_labels).mean() >= 0.97
    assert 2 * cycles[ALL_SKIPS] <= cycles[NO_SKIPS]


@pytest.mark.parametrize("seed", range(3))
def test_noise_in_the_memories_stalls_and_a_bad_wire_change_nothing(network: IntegerNetwork, seed: int) -> None:
    images = load("digits").test_images[:40]
    simulation = open_simulation("icebreaker", stalls=20 * seed, seed=seed, power_up=seed + 1)
    wire = FaultyTransport(simulation, seed=seed, rate=0.03)
    with Device(wire, configuration=configuration_named("icebreaker")) as device:
        device.load(network)
        assert np.array_equal(device.infer(images), network.predict(images))
