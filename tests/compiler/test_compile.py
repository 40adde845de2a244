"""An image means what the network means; what does not fit is refused by name and amount."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.compiler import compile_network
from sterna.compiler.allocation import allocate
from sterna.compiler.compile import fit_report
from sterna.compiler.lowering import lower
from sterna.driver import Device
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.link.machine import Machine
from sterna.sim.configurations import random_configuration
from sterna.sim.networks import random_dense, random_images, random_network
from sterna.sim.topologies import dense_layer, resnet8
from sterna.spec.configuration import CHUNK, Configuration, configuration_named
from sterna.spec.errors import FitError
from sterna.spec.image import Image
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane


@given(seed=st.integers(0, 2**32 - 1), slot=st.integers(0, 1))
def test_a_machine_that_executes_the_image_gives_what_golden_gives(seed: int, slot: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_configuration(rng)
    network = random_network(rng, configuration)
    image = compile_network(network, configuration)
    assert image == Image.from_bytes(image.to_bytes())
    machine = Machine(configuration)
    for section in image.sections:
        assert machine.write(section.region, section.address, section.data)
    images = random_images(rng, network, 3).reshape(3, *network.input.shape)
    offset = slot * image.slot_offset
    tensors = trace(network, images)
    for n in range(3):
        machine.put(image.input.word + offset, image.input.layout.scatter(tensors[network.input.name][n]))
        for index, segment in enumerate(image.segments):
            for section in segment.sections:
                assert machine.write(section.region, section.address, section.data)
            machine.run(image.ops[image.first_op(index)].entry, offset, segment.ops)
        for name in network.outputs:
            parts = [
                place.layout.gather(machine.get(place.word + offset, place.layout.words * configuration.simd))
                for place in image.outputs
                if place.name == name
            ]
            assert (np.concatenate(parts, axis=2) == tensors[name][n]).all()


@given(seed=st.integers(0, 2**32 - 1), slots=st.sampled_from([1, 2]))
def test_tensors_that_live_at_the_same_time_never_overlap(seed: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_configuration(rng)
    network = random_network(rng, configuration, layers=6)
    ops, layouts = lower(network, configuration)
    allocation = allocate(network, ops, layouts, (slots - 1) * configuration.activation_depth)
    assert (allocation.slot_offset > 0) == (slots == 2)

    def span(tensor: str, slot: int = 0) -> set[int]:
        first = allocation.word[tensor] + slot * allocation.slot_offset
        end = first + -(-layouts[tensor].words // CHUNK) * CHUNK
        assert first % CHUNK == 0
        assert end <= allocation.used
        return set(range(first, end))

    slotted = [span(tensor, slot) for tensor in allocation.slotted for slot in range(slots)]
    assert len(set().union(*slotted)) == sum(map(len, slotted))
    readers = {plane.source: index for index, op in enumerate(ops) for plane in op.planes}
    for index, op in enumerate(ops):
        name = op.layer.name
        if name not in allocation.slotted:
            assert not span(name) & set().union(*slotted)
        alive = [earlier.layer.name for earlier in ops[:index] if readers.get(earlier.layer.name, -1) >= index]
        for other in alive:
            assert not span(other) & span(name)


def test_the_same_network_gives_the_same_bytes() -> None:
    images = [
        compile_network(random_dense(1, (20, 10)), configuration_named("icebreaker")).to_bytes() for _ in range(2)
    ]
    assert images[0] == images[1]


def network_of(trits: np.ndarray, **changes: object) -> IntegerNetwork:
    """One layer over a (1, 1, n) input of 8 bits."""
    outputs = len(trits)
    plane = Plane(source="x", trits=trits, multiplier=np.ones(outputs, np.int64))
    layer = Layer(
        name="y", planes=(plane,), bias=np.zeros(outputs, np.int64), shift=np.zeros(outputs, np.int64), minimum=-127,
        maximum=127,
    )  # fmt: skip
    network = IntegerNetwork(
        name="n", act_bits=8, input=InputSpec(name="x", shape=(1, 1, trits.shape[-1]), low=-127, high=127, scale=1.0),
        layers=(layer,), outputs=("y",), output_scale=(1.0,), metadata={},
    )  # fmt: skip
    return dataclasses.replace(network, **changes)  # type: ignore[arg-type]


SMALL = Configuration(
    name="small", simd=1, pe=4, acc_bits=12, weight_depth=16, mask_depth=16, activation_depth=128, parameter_depth=16,
    program_depth=32,
)  # fmt: skip


def test_every_memory_that_is_too_small_is_named_with_the_amount() -> None:
    # Two pixels: a layer that cannot be split.
    wide = InputSpec(name="x", shape=(1, 2, 15), low=-127, high=127, scale=1.0)
    network = network_of(np.ones((20, 1, 1, 15), np.int8), input=wide)
    with pytest.raises(FitError) as raised:
        compile_network(network, SMALL)
    assert str(raised.value) == (
        "network does not fit small: weights of layer 'y': 75 of 16 blocks a bank (59 too many); "
        "parameters of layer 'y': 20 of 16 words (4 too many)"
    )
    used = [(use.memory, use.used) for use in fit_report(network, SMALL).memories]
    # one slot, since two do not fit, of 32 input words and 40 output words
    assert used == [
        ("weights of layer 'y'", 75), ("masks", 10), ("parameters of layer 'y'", 20), ("activations", 72), ("pool", 0),
        ("program", 21),
    ]  # fmt: skip


def test_a_sum_that_could_overflow_its_accumulator_is_refused_with_its_bounds() -> None:
    trits = np.ones((4, 1, 1, 17), np.int8)
    trits[2] *= -1
    with pytest.raises(FitError, match=r"layer 'y' plane 0 channel 0 sums to -2159…2159; small accumulates 12 bits"):
        compile_network(network_of(trits), SMALL)


def test_a_total_that_could_overflow_is_refused() -> None:
    network = network_of(np.ones((4, 1, 1, 4), np.int8))
    (layer,) = network.layers
    layer = dataclasses.replace(layer, bias=np.full(4, (1 << 33) - 1))
    with pytest.raises(FitError, match=r"layer 'y' channel 0: Σ m·acc \+ b exceeds 34 bits"):
        compile_network(dataclasses.replace(network, layers=(layer,)), SMALL)


def test_wider_activations_than_the_configuration_has_are_refused() -> None:
    narrow = dataclasses.replace(SMALL, act_bits=4)
    with pytest.raises(FitError, match=r"network has 8-bit activations; small has 4"):
        compile_network(network_of(np.ones((4, 1, 1, 4), np.int8)), narrow)


def test_a_plane_too_large_to_lay_out_is_refused_before_memory_is_taken() -> None:
    channels = 1 << 14
    plane = Plane(
        source="x", trits=np.ones((channels, 1, 1, 1), np.int8), multiplier=np.ones(channels, np.int64), groups=channels
    )
    layer = dataclasses.replace(network_of(np.ones((channels, 1, 1, 1), np.int8)).layers[0], planes=(plane,))
    spec = InputSpec(name="x", shape=(1, 1, channels), low=-127, high=127, scale=1.0)
    network = dataclasses.replace(network_of(np.ones((4, 1, 1, 4), np.int8)), input=spec, layers=(layer,))
    with pytest.raises(
        FitError, match=r"^layer 'y' has 16384 outputs over windows of 1×1×16384; the compiler lays out"
    ):
        compile_network(network, SMALL)


def test_a_field_that_a_descriptor_cannot_hold_is_refused_with_its_layer() -> None:
    network = network_of(np.ones((4, 1, 1, 4), np.int8))
    spec = InputSpec(name="x", shape=(20, 1, 4), low=-127, high=127, scale=1.0)
    pooled = dataclasses.replace(network.layers[0], pool=(20, 1))
    network = dataclasses.replace(network, input=spec, layers=(pooled,))
    with pytest.raises(FitError, match=r"^layer 'y' cannot be described: op.pool_height is 20; allowed: 1…16$"):
        compile_network(network, dataclasses.replace(SMALL, simd=4, activation_depth=1024))


def test_a_memory_that_is_full_to_the_last_address_is_used() -> None:
    c = Configuration(
        name="full", simd=1, pe=4, acc_bits=24, weight_depth=65536, mask_depth=16384, activation_depth=65536,
        parameter_depth=4096, program_depth=512,
    )  # fmt: skip
    first = network_of(np.ones((256, 1, 1, 1024), np.int8), input=InputSpec(
        name="x", shape=(1, 1, 1024), low=-1, high=1, scale=1.0,
    ))  # fmt: skip
    (layer,) = first.layers
    empty = Plane(source="y", trits=np.zeros((8, 1, 1, 256), np.int8), multiplier=np.ones(8, np.int64))
    behind = dataclasses.replace(layer, name="z", planes=(empty,), bias=np.full(8, 3), shift=np.zeros(8, np.int64))
    network = dataclasses.replace(first, layers=(layer, behind), outputs=("z",))
    assert [use.used for use in fit_report(network, c).memories][:1] == [65536]
    device = Device(Emulator(c), configuration=c)
    device.load(network)
    assert np.array_equal(device.infer(np.ones((1, 1024))), network.predict(np.ones((1, 1024))))

    size = 32768 - 8  # with the output, in both slots: all of the activation memory
    trits = np.zeros((1, 1, 1, size), np.int8)
    trits[..., :5] = 1
    spec = InputSpec(name="x", shape=(1, 1, size), low=-100, high=100, scale=1.0)
    network = network_of(trits, input=spec)
    assert {use.memory: use.used for use in fit_report(network, c).memories}["activations"] == 65536
    device.load(network)
    assert np.array_equal(device.infer(np.ones((1, size))), network.predict(np.ones((1, size))))


def test_a_row_of_more_pixels_than_the_sequencer_counts_is_refused() -> None:
    c = dataclasses.replace(configuration_named("icebreaker"), name="long", activation_depth=8192)
    spec = InputSpec(name="x", shape=(1, 4097, 1), low=-100, high=100, scale=1.0)
    network = network_of(np.ones((1, 1, 1, 1), np.int8), input=spec)
    with pytest.raises(FitError, match=r"^layer '\w+' cannot be described: its width is 4097; at most 4096$"):
        compile_network(network, c)


def test_of_a_network_that_does_not_fit_at_all_the_report_is_that_of_whole_layers() -> None:
    network = random_dense(0, (784, 2000, 2000, 10))
    with pytest.raises(FitError) as raised:
        compile_network(network, configuration_named("icebreaker"))
    assert "activations" in str(raised.value)
    assert "program" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "streamed"), [("ecp5-25", 51792), ("ecp5-45", 0), ("ecp5-85", 0), ("ecp5-85-wide", 0)]
)
def test_resnet8_fits_every_ecp5_with_weights_streamed_on_the_smallest(name: str, streamed: int) -> None:
    configuration = configuration_named(name)
    report = fit_report(resnet8(block=configuration.pe, density=0.5), configuration)
    assert report.fits
    assert report.streamed_bytes == streamed


def test_a_dense_layer_of_a_million_weights_fits_the_widest_ecp5_at_once() -> None:
    report = fit_report(dense_layer(0, 1024, 1024, block=64, density=1.0), configuration_named("ecp5-85-wide"))
    assert report.fits
    assert report.streamed_bytes == 0
