"""Tensors that lie with zeros around them, and networks of every kind of layer, over the driver."""

import numpy as np
import numpy.typing as npt
import pytest

from sterna.compiler import compile_network
from sterna.driver import Device
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.link.machine import Machine
from sterna.sim.configurations import VERIFIED, random_configuration
from sterna.sim.networks import random_dense, random_images, random_network
from sterna.spec.configuration import Configuration, configuration_named
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor, encode_program
from sterna.spec.errors import DeviceRefusedError, InputError, ModelError
from sterna.spec.image import Image, OpPlace, Region, Section, Segment, TensorPlace, pack_parameter
from sterna.spec.layout import TensorLayout, bank_rows, whole_chunks
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane
from sterna.spec.skips import SKIPS, Skips
from sterna.spec.trits import pack_trit2

HEIGHT, WIDTH, CHANNELS = 20, 9, 3
INPUT = TensorLayout(height=HEIGHT, width=WIDTH, channels=CHANNELS, simd=4, pixel=4, top=1, bottom=2, side=1)
OUTPUT = TensorLayout(height=HEIGHT, width=WIDTH, channels=CHANNELS, simd=4, pixel=4, top=2, bottom=0, side=2)


@pytest.fixture
def copying(configuration: Configuration) -> Image:
    """One op that copies the input's pixels, from one border to another."""
    c = configuration
    banked = bank_rows(np.eye(CHANNELS, dtype=np.int8)[np.newaxis], c.simd, c.pe)
    output = whole_chunks(INPUT.words)
    plane = PlaneDescriptor(
        source=INPUT.lead, slotted=True, chunks=1, tail=1, step_x=1, step_row=INPUT.row_words - (WIDTH - 1)
    )
    op = OpDescriptor(
        planes=(plane,), last=True, slotted=True, tiles=1, width=WIDTH, height=HEIGHT, tail_groups=4,
        destination=output, minimum=-127, maximum=127, lead=OUTPUT.lead, gap=OUTPUT.side_words, trail=OUTPUT.trail,
    )  # fmt: skip
    blocks = [
        Section(Region.WEIGHTS, j * c.weight_depth, pack_trit2(bank).tobytes())
        for j, bank in enumerate(banked.blocks)
        if len(bank)
    ]
    masks = [Section(Region.MASKS, j * c.mask_depth, row.tobytes()) for j, row in enumerate(banked.masks)]
    parameters = pack_parameter(1, 0, 0) * CHANNELS + pack_parameter(0, 0, 0) * (c.pe - CHANNELS)
    place = TensorPlace("copy", output, OUTPUT)
    return Image(
        digest=c.digest, slot_offset=output + whole_chunks(OUTPUT.words),
        input=TensorPlace("image", 0, INPUT), outputs=(place,), ops=(OpPlace(place, 0, ("image",)),),
        segments=(Segment(1),), estimated_cycles=10_000,
        sections=(
            *blocks, *masks, Section(Region.PARAMETERS, 0, parameters),
            Section(Region.PROGRAM, 0, np.array(encode_program([op]), "<u2").tobytes()),
        ),
    )  # fmt: skip


@pytest.fixture
def tensors() -> npt.NDArray[np.int8]:
    return np.random.default_rng(1).integers(-127, 128, (5, HEIGHT, WIDTH, CHANNELS)).astype(np.int8)


def test_tensors_are_scattered_into_their_place_and_gathered_from_it(
    device: Device, copying: Image, tensors: npt.NDArray[np.int8]
) -> None:
    device.load(copying)
    assert np.array_equal(device.infer(tensors), tensors)
    assert np.array_equal(device.infer(tensors.reshape(5, -1)), tensors)
    traced = device.trace(tensors[0])
    assert list(traced) == ["copy"]
    assert traced["copy"].dtype == np.int8
    assert np.array_equal(traced["copy"], tensors[0])
    assert [row.op for row in device.profile(tensors[0])] == ["copy"]


def test_zeros_around_an_input_are_written_with_every_image(
    emulator: Emulator, device: Device, copying: Image, tensors: npt.NDArray[np.int8]
) -> None:
    device.load(copying)
    for word in (0, copying.slot_offset):
        emulator._machines[0].put(word, np.full(4 * INPUT.words, 99, np.int8))
    device.infer(tensors[:2])
    for slot in (0, 1):
        found = emulator._machines[0].get(slot * copying.slot_offset, 4 * INPUT.words)
        assert np.array_equal(found, INPUT.scatter(tensors[slot]))


def test_what_lies_around_an_output_is_not_read(
    device: Device, copying: Image, tensors: npt.NDArray[np.int8], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    get = Machine.get

    def note(machine: Machine, word: int, count: int) -> npt.NDArray[np.int8]:
        read.append((word, count))
        return get(machine, word, count)

    monkeypatch.setattr(Machine, "get", note)
    device.load(copying)
    device.infer(tensors[:1])
    place = copying.outputs[0]
    assert read[0][0] == place.word + OUTPUT.lead
    assert sum(count for _, count in read) == 4 * (OUTPUT.words - OUTPUT.lead - OUTPUT.trail) - (4 - CHANNELS)


@pytest.mark.parametrize("seed", [*range(40), 1458, 1507, 1683, 1865])  # the last: two paces over one RGB input
def test_networks_of_every_kind_give_what_golden_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_configuration(rng)
    network = random_network(rng, configuration)
    images = random_images(rng, network, 3)
    device = Device(Emulator(configuration, seed=seed), configuration=configuration)
    device.load(network)
    found, expected = device.infer(images), network.predict(images)
    for one, other in zip(*(r if isinstance(r, tuple) else (r,) for r in (found, expected)), strict=True):
        assert np.array_equal(one, other)
    tensors = trace(network, images[:1])
    for name, tensor in device.trace(images[0]).items():
        assert np.array_equal(tensor, tensors[name][0]), name


@pytest.mark.parametrize("seed", range(20))
def test_one_layer_alone_gives_what_its_network_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_configuration(rng)
    network = random_network(rng, configuration)
    device = Device(Emulator(configuration, seed=seed), configuration=configuration)
    device.load(network)
    for layer in network.layers[::-1]:
        if len({plane.source for plane in layer.planes}) > 1:
            with pytest.raises(ModelError, match=rf"^layer '{layer.name}' reads \d tensors; one can run on its own"):
                device.linear(layer.name, np.zeros((1, 1)))
            continue
        alone = network.layer(layer.name)
        x = random_images(rng, alone, 3)
        assert np.array_equal(device.linear(layer.name, x), network.linear(layer.name, x))
        with pytest.raises(InputError):
            device.linear(layer.name, x + 500)
        for linear in (device.linear, network.linear):
            with pytest.raises(InputError, match=rf"^layer '{layer.name}' alone takes integers; these have fractions"):
                linear(layer.name, x + 0.25)
    with pytest.raises(ModelError, match=r"^no layer 'nothing'; known: "):
        device.linear("nothing", np.zeros((1, 1)))
    images = random_images(rng, network, 2)
    found, expected = device.infer(images), network.predict(images)
    for one, other in zip(*(r if isinstance(r, tuple) else (r,) for r in (found, expected)), strict=True):
        assert np.array_equal(one, other)


def test_a_layer_alone_needs_the_network() -> None:
    configuration = configuration_named("icebreaker")
    network = random_dense(0, (20, 10))
    device = Device(Emulator(configuration), configuration=configuration)
    device.load(compile_network(network, configuration))
    with pytest.raises(DeviceRefusedError, match=r"^only an image is loaded; linear needs the network"):
        device.linear(network.layers[0].name, np.zeros((1, 1)))


@pytest.mark.parametrize("skips", SKIPS, ids=str)
@pytest.mark.parametrize(("shape", "kernel"), [((1, 32, 1), (1, 2)), ((4, 8, 1), (2, 2)), ((2, 8, 2), (1, 2))])
def test_windows_of_phases_may_reach_behind_an_input_of_whole_chunks(
    shape: tuple[int, int, int], kernel: tuple[int, int], skips: Skips
) -> None:
    """Where the output lies; what is read there meets zero blocks, which are stored without block skip."""
    c = VERIFIED["verify-4x16"]
    rng = np.random.default_rng(1)
    trits = rng.integers(-1, 2, (10, *kernel, shape[2])).astype(np.int8)
    trits[0] = 1
    plane = Plane(source="input", trits=trits, multiplier=np.full(10, 2000))
    layer = Layer(
        name="layer", planes=(plane,), bias=np.zeros(10, np.int64), shift=np.full(10, 14), minimum=-127, maximum=127
    )
    network = IntegerNetwork(
        name="phases", act_bits=8, input=InputSpec(name="input", shape=shape, low=-127, high=127, scale=1.0),
        layers=(layer,), outputs=("layer",), output_scale=(1.0,), metadata={},
    )  # fmt: skip
    images = rng.integers(-127, 128, (3, *shape))
    device = Device(Emulator(c), configuration=c)
    image = device.load(network, skips=skips)
    assert image.outputs[0].word == image.input.layout.words
    assert np.array_equal(device.infer(images), network.predict(images))
