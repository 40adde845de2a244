"""Networks that the memories do not hold at once, on an emulated device."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.compiler import compile_network
from sterna.driver import Counters, Device
from sterna.driver.fitting import check_image
from sterna.driver.streaming import Streaming, overlap
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.link.faults import FaultyTransport
from sterna.spec.configuration import Configuration
from sterna.spec.errors import DeviceRefusedError, DeviceTimeoutError, ImageError
from sterna.spec.frames import Opcode, Status
from sterna.spec.image import Image, Region, Section, Segment, word_bytes
from sterna.spec.network import IntegerNetwork

from .conftest import dense_network

CONFIGURATION = Configuration(
    name="tight", simd=4, pe=8, weight_depth=256, mask_depth=128, activation_depth=1024, parameter_depth=128,
    program_depth=512,
)  # fmt: skip


@pytest.fixture(scope="module")
def large() -> IntegerNetwork:
    """Eight layers; the second takes four thirds of the weight memory alone."""
    return dense_network(40, 150, 70, 60, 50, 60, 40, 64, 10, outputs=("layer2", "layer8"))


@pytest.fixture
def device() -> Device:
    return Device(Emulator(CONFIGURATION), configuration=CONFIGURATION)


def images_of(network: IntegerNetwork, count: int) -> np.ndarray:
    return np.random.default_rng(2).uniform(-8, 8, (count, *network.input.shape))


def assert_infers(device: Device, network: IntegerNetwork, count: int = 5) -> None:
    images = images_of(network, count)
    for found, expected in zip(device.infer(images), network.predict(images), strict=True):
        assert np.array_equal(found, expected)


def submitted(device: Device, monkeypatch: pytest.MonkeyPatch) -> list[Opcode]:
    """Requests, as they will be queued."""
    opcodes: list[Opcode] = []
    submit = device._session.submit

    def note(opcode: Opcode, *arguments: object, **options: object) -> object:
        opcodes.append(opcode)
        return submit(opcode, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(device._session, "submit", note)
    return opcodes


def test_a_network_larger_than_the_memories_gives_what_golden_gives(device: Device, large: IntegerNetwork) -> None:
    image = device.load(large)
    assert image.streamed_bytes > 0
    assert len([op for op in image.ops if op.tensor.name == "layer2"]) > 1
    assert Image.from_bytes(image.to_bytes()) == image
    for _ in range(2):
        assert_infers(device, large)
        assert_infers(device, large, 1)


def test_words_are_written_while_the_segment_before_runs(
    device: Device, large: IntegerNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = device.load(large)
    opcodes = submitted(device, monkeypatch)
    device.infer(images_of(large, 3))
    assert opcodes.count(Opcode.START) == 3 * len(image.segments)
    before = [one for one, other in pairwise(opcodes) if other is Opcode.WRITE and one is not Opcode.WRITE]
    # But for the first, and where the last segment of a run lies where the first of the next one does.
    assert set(before) <= {Opcode.START, Opcode.INPUT, Opcode.RESULT}
    assert before.count(Opcode.INPUT) == 1
    assert before.count(Opcode.RESULT) <= 2
    assert before.count(Opcode.START) >= 3 * (sum(bool(segment.sections) for segment in image.segments) - 2)


def test_a_layer_that_was_split_is_one_to_its_user(device: Device, large: IntegerNetwork) -> None:
    device.load(large)
    image = images_of(large, 1)
    expected = trace(large, image)
    found = device.trace(image[0])
    assert list(found) == [layer.name for layer in large.layers]
    for name, tensor in found.items():
        assert np.array_equal(tensor, expected[name][0]), name
    rows = device.profile(image[0])
    before = device.counters()
    device.infer(image)
    run = device.counters() - before
    assert [row.op for row in rows] == [layer.name for layer in large.layers]
    assert sum((row.counters for row in rows), Counters()) == dataclasses.replace(run, good_frames=0)


def test_layers_alone_are_streamed_as_they_are_asked_for(device: Device, large: IntegerNetwork) -> None:
    device.load(large)
    rng = np.random.default_rng(1)
    for layer in (*large.layers, *large.layers[::-1]):
        alone = large.layer(layer.name)
        x = rng.integers(0 if layer.name != "layer1" else -96, 97, (4, *alone.input.shape))
        assert np.array_equal(device.linear(layer.name, x), alone.predict(x))
    assert_infers(device, large)


def test_neighbours_without_room_together_wait_for_each_other(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two pixels: layers that cannot be split, each of which takes most of the weight memory.
    network = dense_network(64, 90, 90, 64, outputs=("layer1", "layer3"))
    network = dataclasses.replace(network, input=dataclasses.replace(network.input, shape=(1, 2, 64)))
    image = device.load(network)
    streaming = Streaming(image, CONFIGURATION)
    assert [segment.ops for segment in image.segments] == [1, 1, 1]
    streaming.started(0)
    assert streaming.is_in_use(1)
    opcodes = submitted(device, monkeypatch)
    assert_infers(device, network)
    assert opcodes.count(Opcode.RESULT) > 5 * len(image.outputs)


@pytest.mark.parametrize("seed", range(8))
def test_a_link_that_loses_and_repeats_changes_no_result(large: IntegerNetwork, seed: int) -> None:
    transport = FaultyTransport(Emulator(CONFIGURATION), seed=seed, rate=0.03)
    device = Device(transport, configuration=CONFIGURATION, timeout=0.5)
    device.load(large)
    assert_infers(device, large)
    for layer in large.layers:
        x = np.random.default_rng(seed).integers(0, 97, (5, *large.layer(layer.name).input.shape))
        assert np.array_equal(device.linear(layer.name, x), large.linear(layer.name, x))
    assert transport.faults.total() > 10


def test_what_was_on_its_way_when_a_call_was_left_is_written_again(device: Device, large: IntegerNetwork) -> None:
    device.load(large)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            device.infer(images_of(large, 4), progress=interrupt)
        assert_infers(device, large)


def test_a_streamed_word_with_an_illegal_trit_costs_the_network(device: Device, large: IntegerNetwork) -> None:
    image = compile_network(large, CONFIGURATION)
    at = next(index for index, segment in enumerate(image.segments) if segment.sections)
    bad = Section(Region.WEIGHTS, image.segments[at].sections[0].address, b"\xaa" * 8)
    segments = list(image.segments)
    segments[at] = Segment(1, (bad, *segments[at].sections[1:]))
    device.load(dataclasses.replace(image, segments=tuple(segments)))
    quantised = large.input.quantise(images_of(large, 2))
    with pytest.raises(DeviceRefusedError, match="illegal trit code") as caught:
        device.infer(quantised)
    assert caught.value.status is Status.BAD_TRIT
    with pytest.raises((DeviceRefusedError, DeviceTimeoutError), match=r"load"):
        device.infer(quantised)
    device.load(large)
    assert_infers(device, large)


def test_an_image_that_streams_over_what_has_to_stay_is_refused() -> None:
    network = dense_network(40, 60, 70, 60, 50, 60, 40)
    image = compile_network(network, CONFIGURATION)
    check_image(image, CONFIGURATION, network)

    def with_section(section: Section) -> Image:
        first, *others = image.segments
        return dataclasses.replace(image, segments=(Segment(first.ops, (*first.sections, section)), *others))

    stays = next(section for section in image.sections if section.region is Region.MASKS)
    over = Section(Region.MASKS, stays.address + len(stays.data) - 1, b"x")
    with pytest.raises(ImageError, match="streams words over those that have to stay in place"):
        check_image(with_section(over), CONFIGURATION)
    with pytest.raises(ImageError, match="streams a part of its program, which has to stay in place"):
        check_image(with_section(Section(Region.PROGRAM, 500, b"xx")), CONFIGURATION)
    with pytest.raises(ImageError, match="a section of masks reaches word 513; the device has 512"):
        check_image(with_section(Section(Region.MASKS, 512, b"x")), CONFIGURATION)


spans = st.lists(st.tuples(st.sampled_from(list(Region)), st.integers(0, 40), st.integers(0, 9)), max_size=6)


@given(spans, spans)
def test_overlaps_are_words_in_common(one: list[tuple[Region, int, int]], other: list[tuple[Region, int, int]]) -> None:
    def sections(group: list[tuple[Region, int, int]]) -> tuple[Section, ...]:
        return tuple(Section(region, at, bytes(n * word_bytes(region, CONFIGURATION))) for region, at, n in group)

    def words(group: list[tuple[Region, int, int]]) -> set[tuple[Region, int]]:
        return {(region, at + k) for region, at, n in group for k in range(n)}

    assert overlap(sections(one), sections(other), CONFIGURATION) == bool(words(one) & words(other))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [((0, 8), (4, 8), False), ((0, 8), (3, 8), True), ((4, 2), (0, 8), False), ((4, 2), (4, 2), True)],
)
def test_sections_overlap_by_whole_words(one: tuple[int, int], other: tuple[int, int], expected: bool) -> None:
    def section(place: tuple[int, int], region: Region = Region.WEIGHTS) -> tuple[Section, ...]:
        return (Section(region, place[0], bytes(place[1])),)

    assert overlap(section(one), section(other), CONFIGURATION) == expected
    assert overlap(section(other), section(one), CONFIGURATION) == expected
    assert not overlap(section(one), section(other, Region.PROGRAM), CONFIGURATION)


def test_a_network_that_fits_is_written_once(
    device: Device, make_network: Callable[..., IntegerNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(20, 16, 10, outputs=("layer1", "layer2"))
    image = device.load(network)
    assert [segment.ops for segment in image.segments] == [2]
    opcodes = submitted(device, monkeypatch)
    assert_infers(device, network)
    assert Opcode.WRITE not in opcodes
