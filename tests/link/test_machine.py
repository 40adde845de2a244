"""The machine against naive sums, on programs laid out by hand."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.link.machine import Machine
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor, encode_program
from sterna.spec.errors import EncodingError
from sterna.spec.frames import StartFlag
from sterna.spec.image import Region, pack_parameter
from sterna.spec.layout import bank_rows, whole_chunks, words

Int64 = npt.NDArray[np.int64]


def configuration(simd: int = 4, pe: int = 8, requantisers: int = 1) -> Configuration:
    return Configuration(
        name="test", simd=simd, pe=pe, requantisers=requantisers,
        weight_depth=2048, mask_depth=512, activation_depth=1024, parameter_depth=256, program_depth=64,
    )  # fmt: skip


@dataclass
class Case:
    """One op of random planes over sources of one shape, and what it should give."""

    source: npt.NDArray[np.int8]
    trits: list[npt.NDArray[np.int8]]
    multipliers: Int64
    bias: Int64
    shift: Int64
    stride: int
    expected: Int64


def random_case(c: Configuration, rng: np.random.Generator, height: int, width: int, depth: int, kernel: int,
                stride: int, outputs: int, planes: int, density: float) -> Case:  # fmt: skip
    source = (rng.integers(-127, 128, (height, width, depth)) * (rng.random((height, width, depth)) < 0.5)).astype(
        np.int8
    )
    trits = [
        (
            rng.integers(-1, 2, (outputs, kernel, kernel, depth)) * (rng.random((1, kernel, kernel, depth)) < density)
        ).astype(np.int8)
        for _ in range(planes)
    ]
    multipliers = rng.integers(0, 1 << 16, (planes, outputs))
    bias = rng.integers(-(1 << 30), 1 << 30, outputs)
    shift = rng.integers(10, 34, outputs)
    out_height, out_width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    expected = np.zeros((out_height, out_width, outputs), np.int64)
    for y in range(out_height):
        for x in range(out_width):
            window = source[y * stride : y * stride + kernel, x * stride : x * stride + kernel].astype(np.int64)
            for o in range(outputs):
                total = int(bias[o])
                for m, plane in zip(multipliers, trits, strict=True):
                    total += int(m[o]) * int((plane[o] * window).sum())
                expected[y, x, o] = min(max(total >> int(shift[o]), -127), 127)
    return Case(source, trits, multipliers, bias, shift, stride, expected)


def load(machine: Machine, c: Configuration, case: Case, slotted: bool) -> tuple[int, int]:
    """Writes the op; returns where its output lies, and its width with the channels that fill requantiser groups."""
    outputs, kernel, _, depth = case.trits[0].shape
    width = case.source.shape[1]
    tiles = -(-outputs // c.pe)
    tail_groups = -(-(outputs - (tiles - 1) * c.pe) // c.requantisers)
    blocks: list[list[npt.NDArray[np.int8]]] = [[] for _ in range(c.simd)]
    masks, parameters = [], b""
    for tile in range(tiles):
        some = slice(tile * c.pe, (tile + 1) * c.pe)
        for index, trits in enumerate(case.trits):
            banked = bank_rows(trits[some].reshape(-1, kernel, kernel * depth).transpose(1, 0, 2), c.simd, c.pe)
            masks.append(banked.masks)
            for bank, its in zip(blocks, banked.blocks, strict=True):
                bank.append(its)
            last = index == len(case.trits) - 1
            for lane in range(tile * c.pe, (tile + 1) * c.pe):
                real = lane < outputs
                # Shift and bias of planes before the last must not matter: 63 and -1.
                parameters += pack_parameter(
                    int(case.multipliers[index, lane]) if real else 0,
                    (int(case.shift[lane]) if real else 0) if last else 63,
                    (int(case.bias[lane]) if real else 0) if last else -1,
                )
    codes = np.array([0b11, 0b00, 0b01], np.uint8)
    for number, stack in enumerate(blocks):
        stored = codes[np.concatenate(stack) + 1].reshape(-1, 4) << np.array([0, 2, 4, 6], np.uint8)
        assert machine.write(Region.WEIGHTS, number * c.weight_depth, stored.sum(axis=1).astype(np.uint8).tobytes())
    for number, row in enumerate(np.concatenate(masks, axis=1)):
        assert machine.write(Region.MASKS, number * c.mask_depth, row.tobytes())
    assert machine.write(Region.PARAMETERS, 0, parameters)
    positions = words(kernel * depth, c.simd)
    destination = 2 * whole_chunks(words(case.source.size, c.simd))
    plane = PlaneDescriptor(
        source=0, slotted=slotted, rows=kernel, chunks=-(-positions // CHUNK), tail=(positions - 1) % CHUNK + 1,
        pitch=width * depth // c.simd, step_x=case.stride * depth // c.simd,
        step_y=case.stride * width * depth // c.simd,
    )  # fmt: skip
    op = OpDescriptor(
        planes=(plane,) * len(case.trits), last=True, tiles=tiles, width=case.expected.shape[1],
        height=case.expected.shape[0], tail_groups=tail_groups, destination=destination, minimum=-127, maximum=127,
    )  # fmt: skip
    assert machine.write(Region.PROGRAM, 5, np.array(encode_program([op]), "<u2").tobytes())
    return destination, (tiles - 1) * c.pe + tail_groups * c.requantisers


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1 << 32), simd=st.sampled_from([1, 2, 4, 8]), pe=st.sampled_from([4, 8, 12]),
    requantisers=st.sampled_from([1, 2, 4]), groups=st.integers(1, 3), kernel=st.integers(1, 3),
    size=st.integers(3, 5), stride=st.integers(1, 2), outputs=st.integers(1, 20), planes=st.integers(1, 3),
    density=st.sampled_from([0.0, 0.3, 1.0]), slotted=st.booleans(),
)  # fmt: skip
def test_an_op_gives_the_naive_sums_and_counts_its_slots(
    seed: int, simd: int, pe: int, requantisers: int, groups: int, kernel: int, size: int, stride: int, outputs: int,
    planes: int, density: float, slotted: bool,
) -> None:  # fmt: skip
    c = configuration(simd, pe, min(requantisers, simd))
    rng = np.random.default_rng(seed)
    case = random_case(c, rng, size, size + 1, simd * groups, kernel, stride, outputs, planes, density)
    machine = Machine(c)
    destination, channels = load(machine, c, case, slotted)
    offset = CHUNK if slotted else 0
    machine.put(offset, case.source.reshape(-1))
    machine.run(5, CHUNK, 0 if slotted else StartFlag.SLOT, 0)
    pixels = case.expected.shape[0] * case.expected.shape[1]
    got = machine.get(destination, pixels * channels).reshape(*case.expected.shape[:2], channels)
    assert (got[..., :outputs] == case.expected).all()
    assert (got[..., outputs:] == 0).all()

    tiles = -(-outputs // pe)
    assert machine.positions == pixels * tiles * planes * kernel * kernel * simd * groups
    stored = issued = 0
    for trits in case.trits:
        for tile in range(tiles):
            block = trits[tile * pe : (tile + 1) * pe].any(axis=0)
            stored += pixels * int(block.sum())
            for y in range(case.expected.shape[0]):
                for x in range(case.expected.shape[1]):
                    window = case.source[y * stride :, x * stride :][:kernel, :kernel]
                    issued += int((block & (window != 0)).sum())
    assert (machine.stored, machine.issued) == (stored, issued)


def test_skips_change_what_is_issued_but_not_what_is_computed() -> None:
    c = configuration()
    case = random_case(c, np.random.default_rng(3), 4, 4, 8, 2, 1, 9, 2, 0.5)
    issued, results = {}, []
    for flags in range(0, 8, 2):
        machine = Machine(c)
        destination, channels = load(machine, c, case, False)
        machine.put(0, case.source.reshape(-1))
        machine.run(5, 0, flags, 0)
        issued[flags] = machine.issued, machine.stored, machine.positions
        results.append(machine.get(destination, 9 * channels).tobytes())
    assert len(set(results)) == 1
    no_activation, no_block = int(StartFlag.NO_ACTIVATION_SKIP), int(StartFlag.NO_BLOCK_SKIP)
    _, stored, positions = issued[0]
    assert all(counts[1:] == (stored, positions) for counts in issued.values())
    assert issued[no_activation][0] == stored
    assert issued[no_activation | no_block][0] == positions
    assert issued[0][0] < stored
    assert issued[0][0] < issued[no_block][0] < positions


def test_an_op_that_writes_where_it_reads_sees_its_own_outputs() -> None:
    c = configuration(simd=4, pe=4)
    machine = Machine(c)
    identity = np.eye(4, dtype=np.int8)[:, None, None, :]
    source = np.arange(1, 33, dtype=np.int8).reshape(1, 8, 4)
    one = np.ones(4, np.int64)
    case = Case(source, [identity], one[None] * 2, one * 0, one, 1, np.zeros((1, 7, 4), np.int64))
    load(machine, c, case, False)
    # Copies each pixel to the next one, in order: the first pixel ends up everywhere.
    words_ = encode_program(
        [
            OpDescriptor(
                planes=(PlaneDescriptor(source=0, chunks=1, tail=1, step_x=1),), last=True, tiles=1, width=7,
                tail_groups=4, destination=1, minimum=-127, maximum=127,
            )
        ]
    )  # fmt: skip
    machine.write(Region.PROGRAM, 5, np.array(words_, "<u2").tobytes())
    machine.put(0, source.reshape(-1))
    machine.run(5, 0, 0, 0)
    assert (machine.get(0, 32).reshape(8, 4) == [1, 2, 3, 4]).all()


@pytest.mark.parametrize(
    ("acc_bits", "bias", "expected"),
    [(9, 0, 127), (8, 0, -2), (8, -5, -7), (24, (1 << 33) - 254, -127), (24, (1 << 33) - 255, 127)],
)
def test_sums_wrap_at_the_width_of_their_registers(acc_bits: int, bias: int, expected: int) -> None:
    c = Configuration(
        name="test", simd=4, pe=4, acc_bits=acc_bits, weight_depth=16, mask_depth=16, activation_depth=64,
        parameter_depth=16, program_depth=32,
    )  # fmt: skip
    machine = Machine(c)
    source = np.array([[[127, 127, 0, 0]]], np.int8)
    trits = np.ones((4, 1, 1, 4), np.int8)
    one = np.ones(4, np.int64)
    case = Case(source, [trits], one[None], one * bias, one * 0, 1, np.zeros((1, 1, 4), np.int64))
    destination, _ = load(machine, c, case, False)
    machine.put(0, source.reshape(-1))
    machine.run(5, 0, 0, 0)
    assert machine.get(destination, 4).tolist() == [expected] * 4


def test_inputs_saturate_and_fill_their_last_chunk_with_zeros() -> None:
    machine = Machine(configuration())
    machine.put(8, np.full(5, -128, np.int8))
    assert machine.get(8, 32).tolist() == [-127] * 5 + [0] * 27


def test_an_illegal_trit_is_refused_and_not_written() -> None:
    c = configuration()
    machine = Machine(c)
    before = machine._weights.copy()
    assert not machine.write(Region.WEIGHTS, 3, bytes([0b01_00_11_01, 0b00_10_00_00]))
    assert (machine._weights == before).all()


def test_a_program_without_end_is_an_error() -> None:
    c = configuration()
    machine = Machine(c)
    plane = PlaneDescriptor(source=0, chunks=1, tail=1)
    endless = OpDescriptor(planes=(plane,), last=False, tiles=1, tail_groups=1, destination=0, minimum=0, maximum=1)
    machine.write(Region.PROGRAM, 0, np.array((endless.encode() * 10)[: c.program_depth], "<u2").tobytes())
    with pytest.raises(EncodingError, match="op descriptor cut short"):
        machine.run(0, 0, 0, 0)
