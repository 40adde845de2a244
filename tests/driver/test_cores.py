"""Devices of several cores: images are dealt out, results come in order, all else is as on one core."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.compiler import compile_network
from sterna.driver import Device
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.link.faults import FaultyTransport
from sterna.spec.configuration import Configuration
from sterna.spec.errors import ImageError
from sterna.spec.network import IntegerNetwork

Images = npt.NDArray[np.float64]
MakeNetwork = Callable[..., IntegerNetwork]

pytestmark = pytest.mark.timeout(120)


def of_cores(configuration: Configuration, cores: int) -> Configuration:
    return dataclasses.replace(configuration, name=f"small-{cores}", cores=cores)


def opened(configuration: Configuration) -> tuple[Device, Emulator]:
    emulator = Emulator(configuration)
    return Device(emulator, timeout=0.5, configuration=configuration), emulator


@pytest.fixture(params=[1, 2, 4])
def several(request: pytest.FixtureRequest, configuration: Configuration) -> Configuration:
    return of_cores(configuration, request.param)


@pytest.fixture(scope="module")
def many(network: IntegerNetwork) -> Images:
    rng = np.random.default_rng(7)
    shape = (19, *network.input.shape)
    return np.asarray(rng.uniform(-8, 8, shape) * (rng.random(shape) < 0.5))


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 9, 19])
def test_results_equal_golden_in_order_and_every_core_has_its_share(
    several: Configuration, network: IntegerNetwork, many: Images, count: int, slots: int
) -> None:
    device, emulator = opened(several)
    image = compile_network(network, several)
    assert image.slot_offset > 0
    device.load(image if slots == 2 else dataclasses.replace(image, slot_offset=0))
    inputs = network.input.quantise(many[:count])
    seen: list[int] = []
    got = device.infer(inputs, progress=lambda done, of: seen.append(done))
    assert np.array_equal(got, network.predict(many[:count]))
    assert seen == list(range(1, count + 1))
    assert device.statistics.retransmissions == 0
    each = device.counters().positions // max(count, 1)
    shares = [len(range(core, count, several.cores)) for core in range(several.cores)]
    assert [machine.positions for machine in emulator._machines] == [share * each for share in shares]


def test_images_take_turns_on_cores_first_and_then_on_slots(
    configuration: Configuration, network: IntegerNetwork, many: Images, slots_taken: Callable[[Device], list[int]]
) -> None:
    device, _ = opened(of_cores(configuration, 4))
    device.load(network)
    slots = slots_taken(device)
    device.infer(many[:10])
    assert slots == [0, 2, 4, 6, 1, 3, 5, 7, 0, 2]


def test_counters_are_sums_over_the_cores(configuration: Configuration, network: IntegerNetwork, many: Images) -> None:
    found = []
    for cores in (1, 2, 4):
        device, _ = opened(of_cores(configuration, cores))
        device.load(network)
        device.infer(many)
        counters = device.counters()
        found.append((counters.issued, counters.stored, counters.positions))
    assert found[0] == found[1] == found[2]


def test_layers_traces_and_profiles_run_on_the_first_core(
    several: Configuration, network: IntegerNetwork, many: Images
) -> None:
    device, emulator = opened(several)
    device.load(network)
    expected = trace(network, many)
    assert np.array_equal(device.linear("layer2", expected["layer1"]), expected["layer2"].reshape(len(many), -1))
    for name, tensor in device.trace(many[3]).items():
        assert np.array_equal(tensor, expected[name][3])
    assert [row.op for row in device.profile(many[0])] == ["layer1", "layer2"]
    assert [machine.positions > 0 for machine in emulator._machines] == [True] + [False] * (several.cores - 1)
    assert np.array_equal(device.infer(many), network.predict(many))


def test_a_network_larger_than_the_memories_runs_on_the_first_core(
    several: Configuration, make_network: MakeNetwork
) -> None:
    tight = dataclasses.replace(several, weight_depth=64, mask_depth=32, parameter_depth=64, program_depth=256)
    network = make_network(40, 40, 30, 10)
    images = np.random.default_rng(0).uniform(-8, 8, (7, 40))
    device, emulator = opened(tight)
    assert device.load(network).streamed_bytes > 0
    assert np.array_equal(device.infer(images), network.predict(images))
    assert [machine.positions > 0 for machine in emulator._machines] == [True] + [False] * (several.cores - 1)
    small = make_network(12, 8, 4)  # and the next that does fit on all again
    images = np.random.default_rng(0).uniform(-8, 8, (7, 12))
    device.load(small)
    assert np.array_equal(device.infer(images), small.predict(images))
    assert all(machine.positions > 0 for machine in emulator._machines)


def test_an_image_for_another_number_of_cores_is_refused(configuration: Configuration, network: IntegerNetwork) -> None:
    device, _ = opened(of_cores(configuration, 2))
    for cores in (1, 4):
        image = compile_network(network, of_cores(configuration, cores))
        with pytest.raises(ImageError, match=r"made for configuration [0-9a-f]{16}, the device has .* \(small-2\)"):
            device.load(image)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1 << 32),
    cores=st.sampled_from([2, 4]),
    slots=st.sampled_from([1, 2]),
    rate=st.sampled_from([0.01, 0.05, 0.15, 0.4]),
    kinds=st.lists(st.sampled_from(FaultyTransport.KINDS), min_size=1, unique=True),
)
def test_a_faulty_link_gives_right_results_or_a_typed_error(
    configuration: Configuration, make_network: MakeNetwork, infer_over_faults: Callable[..., Any], seed: int,
    cores: int, slots: int, rate: float, kinds: list[str],
) -> None:  # fmt: skip
    here = of_cores(configuration, cores)
    network = make_network(30, 12, 5, seed=seed % 5)
    image = compile_network(network, here)
    if slots == 1:
        image = dataclasses.replace(image, slot_offset=0)
    images = np.random.default_rng(seed).integers(-8, 9, (11, 30)).astype(np.int8)
    emulator = Emulator(here, seed=seed)
    transport = FaultyTransport(emulator, seed=seed, rate=rate, kinds=tuple(kinds))
    got = infer_over_faults(emulator, transport, image, images)
    assert np.array_equal(got, network.predict(images / 12))
