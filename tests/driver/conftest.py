"""A small configuration, networks for it, and devices that are emulated."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sterna.driver import Device
from sterna.link.emulator import Emulator
from sterna.link.faults import FaultyTransport
from sterna.spec.configuration import Configuration
from sterna.spec.errors import DeviceError
from sterna.spec.image import Image
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane


def dense_network(*widths: int, seed: int = 0, outputs: tuple[str, ...] | None = None) -> IntegerNetwork:
    """Dense layers ``layer1``, ``layer2``, … from widths[0] inputs in -8…8."""
    rng = np.random.default_rng(seed)
    layers = []
    for index, (inputs, channels) in enumerate(pairwise(widths), 1):
        trits = rng.integers(-1, 2, (channels, 1, 1, inputs)).astype(np.int8)
        trits *= rng.random((1, 1, 1, inputs)) < 0.7
        source = f"layer{index - 1}" if index > 1 else "input"
        plane = Plane(source=source, trits=trits, multiplier=rng.integers(1, 4000, channels))
        last = index == len(widths) - 1
        layers.append(
            Layer(
                name=f"layer{index}", planes=(plane,), bias=rng.integers(-9000, 9000, channels),
                shift=rng.integers(8, 12, channels), minimum=-127 if last else 0, maximum=127,
            )
        )  # fmt: skip
    names = outputs or (layers[-1].name,)
    return IntegerNetwork(
        name="dense", act_bits=8, input=InputSpec(name="input", shape=(1, 1, widths[0]), low=-8, high=8, scale=1 / 12),
        layers=tuple(layers), outputs=names, output_scale=(1.0,) * len(names), metadata={},
    )  # fmt: skip


@pytest.fixture(scope="session")
def configuration() -> Configuration:
    return Configuration(
        name="small", simd=4, pe=8, weight_depth=2048, mask_depth=256, activation_depth=1024,
        parameter_depth=1024, program_depth=64,
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_network() -> Callable[..., IntegerNetwork]:
    return dense_network


@pytest.fixture(scope="session")
def network() -> IntegerNetwork:
    return dense_network(37, 20, 10)


@pytest.fixture(scope="session")
def images(network: IntegerNetwork) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(5)
    shape = (7, *network.input.shape)
    return np.asarray(rng.uniform(-8, 8, shape) * (rng.random(shape) < 0.5))


@pytest.fixture
def emulator(configuration: Configuration) -> Emulator:
    return Emulator(configuration)


@pytest.fixture
def open_over(configuration: Configuration) -> Callable[..., Device]:
    def open_over(transport: Any, timeout: float = 0.5) -> Device:
        return Device(transport, timeout=timeout, configuration=configuration)

    return open_over


@pytest.fixture
def device(emulator: Emulator, open_over: Callable[..., Device]) -> Device:
    return open_over(emulator)


@pytest.fixture
def slots_taken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Device], list[int]]:
    """Notes the slot of each run that a device begins from then on."""

    def watch(device: Device) -> list[int]:
        slots: list[int] = []
        submit_run = device._submit_run

        def note(image: Image, slot: int, **options: Any) -> None:
            slots.append(slot)
            submit_run(image, slot, **options)

        monkeypatch.setattr(device, "_submit_run", note)
        return slots

    return watch


@pytest.fixture(scope="session")
def infer_over_faults() -> Callable[..., Any]:
    """Loads and infers over a faulty link, and once more over a healed one if that ends in a typed error; each image
    has been run exactly once, then, since it was loaded."""

    def infer(
        emulator: Emulator, transport: FaultyTransport, loaded: IntegerNetwork | Image, images: npt.NDArray[Any]
    ) -> Any:
        def attempt(timeout: float) -> Any:
            nonlocal runs
            device = Device(transport, timeout=timeout, configuration=emulator.configuration)
            device.load(loaded)
            runs = emulator.runs
            return device.infer(images)

        runs = 0
        try:
            got = attempt(0.08)
        except DeviceError:
            transport.rate = 0.0  # the link has healed: all is well again
            got = attempt(0.5)
        assert emulator.runs - runs == len(images)
        return got

    return infer
