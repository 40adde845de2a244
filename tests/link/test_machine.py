"""The machine against naive sums, on programs laid out by hand."""

import dataclasses
import itertools
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
from sterna.spec.image import Region, pack_parameter
from sterna.spec.layout import bank_rows, whole_chunks, words
from sterna.spec.skips import ALL_SKIPS, Skips
from sterna.spec.trits import TritCode

Int64 = npt.NDArray[np.int64]


def configuration(simd: int = 4, pe: int = 8, requantisers: int = 1) -> Configuration:
    return Configuration(
        name="test", simd=simd, pe=pe, requantisers=requantisers,
        weight_code=TritCode.TRIT5 if pe % 5 == 0 else TritCode.TRIT2, weight_depth=2048,
        mask_depth=512, activation_depth=1024, parameter_depth=256, program_depth=64,
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


def load(
    machine: Machine, c: Configuration, case: Case, slotted: bool, skips: Skips = ALL_SKIPS, entry: int = 5
) -> tuple[int, int]:
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
            rows = trits[some].reshape(-1, kernel, kernel * depth).transpose(1, 0, 2)
            banked = bank_rows(rows, c.simd, c.pe, block_skip=skips.blocks)
            masks.append(banked.masks)
            for bank, its in zip(blocks, banked.blocks, strict=True):
                bank.append(its)
            first, last = index == 0, index == len(case.trits) - 1
            for lane in range(tile * c.pe, (tile + 1) * c.pe):
                real = lane < outputs
                # Shifts but the last and biases but the first must not matter: 63 and -1.
                parameters += pack_parameter(
                    int(case.multipliers[index, lane]) if real else 0,
                    (int(case.shift[lane]) if real else 0) if last else 63,
                    (int(case.bias[lane]) if real else 0) if first else -1,
                )
    for number, stack in enumerate(blocks):
        stored = c.weight_code.pack(np.concatenate(stack))
        assert machine.write(Region.WEIGHTS, number * c.weight_depth, stored.tobytes())
    for number, row in enumerate(np.concatenate(masks, axis=1)):
        assert machine.write(Region.MASKS, number * c.mask_depth, row.tobytes())
    assert machine.write(Region.PARAMETERS, 0, parameters)
    positions = words(kernel * depth, c.simd)
    destination = 2 * whole_chunks(words(case.source.size, c.simd))
    plane = PlaneDescriptor(
        source=0, slotted=slotted, rows=kernel, chunks=-(-positions // CHUNK), tail=(positions - 1) % CHUNK + 1,
        pitch=width * depth // c.simd, step_x=case.stride * depth // c.simd,
        step_row=case.stride * (width - case.expected.shape[1] + 1) * depth // c.simd,
    )  # fmt: skip
    op = OpDescriptor(
        planes=(plane,) * len(case.trits), last=True, tiles=tiles, width=case.expected.shape[1],
        height=case.expected.shape[0], tail_groups=tail_groups, destination=destination, minimum=-127, maximum=127,
        keeps_zeros=not skips.activations,
    )  # fmt: skip
    assert machine.write(Region.PROGRAM, 0, bytes(2))  # says of what is put that zeros are skipped
    assert machine.write(Region.PROGRAM, entry, np.array(encode_program([op]), "<u2").tobytes())
    return destination, (tiles - 1) * c.pe + tail_groups * c.requantisers


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1 << 32), simd=st.sampled_from([1, 2, 4, 8]), pe=st.sampled_from([4, 5, 8, 10, 12]),
    requantisers=st.sampled_from([1, 2, 4]), groups=st.integers(1, 3), kernel=st.integers(1, 3),
    size=st.integers(3, 5), stride=st.integers(1, 2), outputs=st.integers(1, 20), planes=st.integers(1, 3),
    density=st.sampled_from([0.0, 0.3, 1.0]), slotted=st.booleans(),
)  # fmt: skip
def test_an_op_gives_the_naive_sums_and_counts_its_slots(
    seed: int, simd: int, pe: int, requantisers: int, groups: int, kernel: int, size: int, stride: int, outputs: int,
    planes: int, density: float, slotted: bool,
) -> None:  # fmt: skip
    c = configuration(simd, pe, min(requantisers, simd, 2 if pe >= 8 else 1))
    rng = np.random.default_rng(seed)
    case = random_case(c, rng, size, size + 1, simd * groups, kernel, stride, outputs, planes, density)
    machine = Machine(c)
    destination, channels = load(machine, c, case, slotted)
    offset = CHUNK if slotted else 0
    machine.put(offset, case.source.reshape(-1))
    machine.run(5, CHUNK, 0)
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
    counts, results = {}, []
    for skips in itertools.product((True, False), repeat=2):
        machine = Machine(c)
        destination, channels = load(machine, c, case, False, Skips(*skips), entry=0)
        machine.put(0, case.source.reshape(-1))
        machine.run(0, 0, 0)
        counts[skips] = machine.issued, machine.stored, machine.positions
        results.append(machine.get(destination, 9 * channels).tobytes())
        # Of what an op writes zeros are kept too, but not what lies behind it.
        written = machine._there[:, destination : destination + whole_chunks(words(9 * channels, c.simd))].T.reshape(-1)
        values = machine.get(destination, len(written))
        assert (written == ((values != 0) | (not skips[0]) & (np.arange(len(written)) < 9 * channels))).all()
    assert len(set(results)) == 1
    (issued, stored, positions) = counts[True, True]
    assert issued < stored < positions
    assert counts[False, True] == (stored, stored, positions)
    assert issued < counts[True, False][0] < positions
    assert counts[True, False][1:] == (positions, positions)
    assert counts[False, False] == (positions, positions, positions)


@dataclass
class Walker:
    """A program carried out as the hardware walks: one output after the other, every pointer and window a register."""

    c: Configuration
    machine: Machine
    offset: int
    issued: int = 0
    stored: int = 0
    positions: int = 0

    def __post_init__(self) -> None:
        self.activations, self.there = self.machine._activations.copy(), self.machine._there.copy()
        self.weight, self.mask, self.parameter = [0] * self.c.simd, 0, 0

    def run(self, ops: list[OpDescriptor]) -> None:
        for op in ops:
            self.run_op(op)

    def run_op(self, op: OpDescriptor) -> None:
        windows = [plane.source + self.offset * plane.slotted for plane in op.planes]
        maxima: dict[int, list[int]] = {}
        written: list[list[int]] = []
        for y in range(op.height):
            phase, fraction = 0, op.fraction
            for x in range(op.width):
                if phase == 0:
                    self.weight, self.mask = [op.weights] * self.c.simd, op.masks
                self.parameter = op.parameters * self.c.requantisers
                values = self.pixel(op, windows)
                column = x // op.pool_width
                carry = fraction + op.fraction_step >= self.c.simd
                for index, plane in enumerate(op.planes):
                    windows[index] += plane.step_row if x == op.width - 1 else plane.step_x + plane.fractional * carry
                fraction = (fraction + op.fraction_step) % self.c.simd
                phase = (phase + 1) % op.phases
                if y % op.pool_height or x % op.pool_width:
                    values = [max(pair) for pair in zip(values, maxima[column], strict=True)]
                maxima[column] = values
                if (y + 1) % op.pool_height == 0 and (x + 1) % op.pool_width == 0:
                    written.append(values)
        self.write_back(op, written)

    def pixel(self, op: OpDescriptor, windows: list[int]) -> list[int]:
        lanes: list[int] = []
        for _ in range(op.tiles):
            total = np.zeros(self.c.pe, np.int64)
            for index, (plane, window) in enumerate(zip(op.planes, windows, strict=True)):
                sums = self.window(plane, window)
                at = (self.parameter + np.arange(self.c.pe)) % len(self.machine._parameters)
                multiplier, shift, bias = self.machine._parameters[at].T
                self.parameter += self.c.pe
                total += multiplier * sums + (bias if index == 0 else 0)
            lanes += np.clip(total >> shift, op.minimum, op.maximum).tolist()
        return lanes[: (op.tiles - 1) * self.c.pe + op.tail_groups * self.c.requantisers]

    def window(self, plane: PlaneDescriptor, window: int) -> Int64:
        c, machine = self.c, self.machine
        sums = np.zeros(c.pe, np.int64)
        for row in range(plane.rows):
            for chunk in range(plane.chunks):
                for position in range(plane.tail if chunk == plane.chunks - 1 else CHUNK):
                    word = (window + row * plane.pitch + chunk * CHUNK + position) % c.activation_depth
                    for bank in range(c.simd):
                        stored = bool(machine._masks[bank, self.mask % c.mask_depth] >> position & 1)
                        value = int(self.activations[bank, word])
                        self.positions += 1
                        self.stored += stored
                        self.issued += stored and bool(self.there[bank, word])
                        if stored:
                            sums += value * machine._weights[bank, self.weight[bank] % c.weight_depth].astype(np.int64)
                            self.weight[bank] += 1
                self.mask += 1
        return sums

    def write_back(self, op: OpDescriptor, written: list[list[int]]) -> None:
        c = self.c
        flat = [0] * (op.lead * c.simd)
        there = [False] * len(flat)
        for index, values in enumerate(written):
            if index and index % (op.width // op.pool_width) == 0:
                flat += [0] * (op.gap * c.simd)
                there += [False] * (op.gap * c.simd)
            flat += values
            there += [op.keeps_zeros or value != 0 for value in values]
        flat += [0] * (op.trail * c.simd)
        flat += [0] * (-len(flat) % (c.simd * CHUNK))  # masks go by the chunk
        there += [False] * (len(flat) - len(there))
        first = op.destination + self.offset * op.slotted
        self.there[:, first : first + len(flat) // c.simd] = np.array(there).reshape(-1, c.simd).T
        self.activations[:, first : first + len(flat) // c.simd] = np.array(flat, np.int8).reshape(-1, c.simd).T


@st.composite
def walks(draw: st.DrawFn, simd: int, pe: int, requantisers: int) -> list[OpDescriptor]:
    """Ops of any fields, in memory far from each other. Rows that are written are whole words."""
    ops, keeps_zeros = [], draw(st.booleans())
    count = draw(st.integers(1, 3))
    for index in range(count):
        planes = tuple(
            PlaneDescriptor(
                source=draw(st.integers(0, 64)), slotted=draw(st.booleans()), fractional=draw(st.booleans()),
                rows=draw(st.integers(1, 3)), chunks=draw(st.integers(1, 2)), tail=draw(st.integers(1, CHUNK)),
                pitch=draw(st.integers(0, 20)), step_x=draw(st.integers(0, 6)), step_row=draw(st.integers(-20, 20)),
            )
            for _ in range(draw(st.integers(1, 3)))
        )  # fmt: skip
        pool_width, pool_height = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        whole = max(simd // requantisers, 1)
        ops.append(OpDescriptor(
            planes=planes, last=index == count - 1, slotted=draw(st.booleans()),
            keeps_zeros=keeps_zeros, tiles=draw(st.integers(1, 2)),
            width=pool_width * draw(st.integers(1, 3)), height=pool_height * draw(st.integers(1, 2)),
            tail_groups=draw(st.sampled_from(range(whole, pe // requantisers + 1, whole)) if pe % simd == 0
                             else st.just(pe // requantisers)),
            pool_width=pool_width, pool_height=pool_height, destination=1024 * (index + 1), minimum=-50, maximum=100,
            lead=draw(st.integers(0, 9)), gap=draw(st.integers(0, 9)), trail=draw(st.integers(0, 9)),
            phases=draw(st.integers(1, 4)), fraction=draw(st.integers(0, simd - 1)),
            fraction_step=draw(st.integers(0, simd - 1)), weights=draw(st.integers(0, 600)),
            masks=draw(st.integers(0, 300)), parameters=draw(st.integers(0, 300)),
        ))  # fmt: skip
    return ops


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(0, 1 << 32), st.sampled_from([1, 2, 4, 8]), st.sampled_from([8, 16]))
def test_programs_of_any_fields_equal_the_walk_of_the_hardware(
    data: st.DataObject, seed: int, simd: int, pe: int
) -> None:
    requantisers = data.draw(st.sampled_from([r for r in (1, 2, 4) if r <= simd and 4 * r <= pe]))
    c = Configuration(
        name="test", simd=simd, pe=pe, requantisers=requantisers, weight_depth=512, mask_depth=256,
        activation_depth=8192, parameter_depth=256, program_depth=128,
    )  # fmt: skip
    ops = data.draw(walks(simd, pe, requantisers))
    machine = Machine(c, seed=seed)  # all memories hold noise
    rng = np.random.default_rng(seed)
    machine._parameters = rng.integers(0, [9, 7, 1000], machine._parameters.shape)
    machine._activations *= rng.random(machine._activations.shape) < 0.5
    machine._there = rng.random(machine._activations.shape) < 0.5
    assert machine.write(Region.PROGRAM, 5, np.array(encode_program(ops), "<u2").tobytes())
    offset = data.draw(st.sampled_from([0, CHUNK]))
    walker = Walker(c, machine, offset)
    walker.run(ops)
    machine.run(5, offset, 0)
    assert (machine._activations == walker.activations).all()
    assert (machine._there == walker.there).all()
    found = machine.issued, machine.stored, machine.positions
    assert found == (walker.issued, walker.stored, walker.positions)


def test_zeros_lie_around_the_rows_of_an_op() -> None:
    c = configuration(simd=4, pe=4)
    machine = Machine(c)
    machine._activations[:] = 99
    for bank in range(4):
        assert machine.write(Region.WEIGHTS, bank * c.weight_depth, bytes([1 << 2 * bank]))
        assert machine.write(Region.MASKS, bank * c.mask_depth, b"\1")
    assert machine.write(Region.PARAMETERS, 0, pack_parameter(1, 0, 0) * 4)
    plane = PlaneDescriptor(source=0, chunks=1, tail=1, step_x=1, step_row=1)
    op = OpDescriptor(
        planes=(plane,), last=True, tiles=1, width=2, height=2, tail_groups=4, destination=16, minimum=-127,
        maximum=127, lead=3, gap=1, trail=2,
    )  # fmt: skip
    machine.write(Region.PROGRAM, 0, np.array(encode_program([op]), "<u2").tobytes())
    machine.put(0, np.repeat(np.arange(1, 5, dtype=np.int8), 4))
    machine.run(0, 0, 0)
    assert machine.get(16, 4 * 17).reshape(-1, 4)[:, 0].tolist() == [0, 0, 0, 1, 2, 0, 3, 4, *[0] * 8, 99]


def test_an_op_that_writes_where_it_reads_is_an_error() -> None:
    c = configuration(simd=4, pe=4)
    machine = Machine(c)
    for bank in range(4):
        machine.write(Region.MASKS, bank * c.mask_depth, b"\1")
    for destination, refused in ((8, True), (16, False)):
        plane = PlaneDescriptor(source=7, chunks=1, tail=1, step_x=1)
        op = OpDescriptor(
            planes=(plane,), last=True, tiles=1, width=3, tail_groups=4, destination=destination, minimum=-9, maximum=9
        )
        machine.write(Region.PROGRAM, 0, np.array(encode_program([op]), "<u2").tobytes())
        if refused:
            with pytest.raises(EncodingError, match=r"^the op with destination 8 writes where it reads$"):
                machine.run(0, 0, 0)
        else:
            machine.run(0, 0, 0)


def test_inputs_saturate_and_fill_their_last_chunk_with_zeros() -> None:
    machine = Machine(configuration())
    machine.put(8, np.full(5, -128, np.int8))
    assert machine.get(8, 32).tolist() == [-127] * 5 + [0] * 27


@pytest.mark.parametrize(("pe", "word"), [(8, bytes([0b01_00_11_01, 0b00_10_00_00])), (10, b"\0\xfd")])
def test_an_illegal_trit_is_refused_and_not_written(pe: int, word: bytes) -> None:
    c = configuration(pe=pe)
    machine = Machine(c)
    before = machine._weights.copy()
    assert not machine.write(Region.WEIGHTS, 3, word)
    assert (machine._weights == before).all()
    assert machine.write(Region.WEIGHTS, 3, word[:1] * 2)


def test_a_program_without_end_is_an_error() -> None:
    c = configuration()
    machine = Machine(c)
    plane = PlaneDescriptor(source=0, chunks=1, tail=1)
    endless = OpDescriptor(planes=(plane,), last=False, tiles=1, tail_groups=1, destination=8, minimum=0, maximum=1)
    machine.write(Region.PROGRAM, 0, np.array((endless.encode() * 10)[: c.program_depth], "<u2").tobytes())
    with pytest.raises(EncodingError, match="op descriptor cut short"):
        machine.run(0, 0, 0)


def test_zero_ops_stand_for_256() -> None:
    c = dataclasses.replace(configuration(), program_depth=8192)
    machine = Machine(c)
    plane = PlaneDescriptor(source=0, chunks=1, tail=1)
    op = OpDescriptor(planes=(plane,), last=False, tiles=1, tail_groups=1, destination=8, minimum=0, maximum=1)
    ops = [dataclasses.replace(op, last=k == 299) for k in range(300)]
    machine.write(Region.PROGRAM, 0, np.array(encode_program(ops), "<u2").tobytes())
    ran: list[OpDescriptor] = []
    machine._run_op = lambda op, *_: ran.append(op)  # type: ignore[method-assign, assignment]
    for asked, done in ((0, 256), (255, 255), (1, 1)):
        ran.clear()
        machine.run(0, 0, asked)
        assert len(ran) == done
