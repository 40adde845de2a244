"""Scanner and feeder against a loop over positions: each set bit of mask AND mask once, in order, at its address."""

import random
from dataclasses import dataclass
from itertools import product
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring

from sterna.gateware.compute.feeder import Feeder, all_room
from sterna.gateware.compute.scanner import Scanner
from sterna.sim.checks.testbench import Simulate, memory, random_bits, source
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.limits import plane_limits

CONFIGURATION = Configuration(
    name="test", simd=1, pe=4, weight_depth=2048, mask_depth=256, activation_depth=512, parameter_depth=16
)
OTHERS = 0x155
"""Address at which others use the memories."""


class GatedFeeder(wiring.Component):
    """Scanner and one feeder: it takes chunks when allowed, advances when it is complete, stepped and allowed to; its
    memories are lent to others when they may be."""

    def __init__(self) -> None:
        self.scanner = Scanner(configuration=CONFIGURATION)
        self.feeder = Feeder(configuration=CONFIGURATION)
        self.step = Signal()
        self.held = Signal()  # without a step, addresses hold as well
        self.lend = Signal()  # where it is allowed
        self.allow = Signal()
        self.neighbours = Signal()  # the other feeders have room for a chunk
        self.advanced = Signal()
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.scanner = self.scanner
        m.submodules.feeder = self.feeder
        chunks = self.scanner.chunks
        m.d.comb += [
            chunks.ready.eq(self.step & all_room(m, [self.feeder], self.feeder.advance) & self.neighbours),
            self.feeder.chunk.eq(chunks.payload),
            self.feeder.take.eq(chunks.valid & chunks.ready),
            self.feeder.step.eq(self.step),
            self.feeder.flow.eq(self.step | ~self.held),
            self.feeder.lend.eq(Mux(self.step, self.lend & ~self.feeder.issued, ~self.held)),
            self.advanced.eq(self.step & self.allow & self.feeder.complete),
            self.feeder.advance.eq(self.allow & self.feeder.complete),
        ]
        return m


class Masks:
    """A mask memory: the scanner addresses it, the feeder gets its data."""

    def __init__(self, port: Any, data: Signal) -> None:
        self.enable, self.address, self.data = port.enable, port.address, data


@dataclass
class Case:
    """What is walked, and the memories' contents; addresses wrap at the memories' ends."""

    outputs: list[dict[str, int]]
    """Requests to the scanner."""
    activation_masks: list[int]
    block_masks: list[int]
    first_mask: int = 0
    first_block: int = 0

    def issues(self) -> tuple[list[list[tuple[int, int]]], int, int]:
        """(block, word) of each issue, by output; positions and stored blocks walked."""
        c = CONFIGURATION
        mask_pointer = block_pointer = positions = stored_blocks = 0
        issues = []
        for output in self.outputs:
            if output["rewind"]:
                mask_pointer, block_pointer = self.first_mask, self.first_block
            issued = []
            for row, chunk in product(range(output["rows"] + 1), range(output["chunks"] + 1)):
                valid = output["tail"] + 1 if chunk == output["chunks"] else CHUNK
                mask = self.block_masks[mask_pointer % c.mask_depth]
                for k in range(valid):
                    word = (output["word"] + row * output["pitch"] + chunk * CHUNK + k) % c.activation_depth
                    active = self.activation_masks[word // CHUNK] >> word % CHUNK & 1
                    stored = mask >> k & 1
                    if active and stored:
                        issued.append((block_pointer % c.weight_depth, word))
                    block_pointer += stored
                    stored_blocks += stored
                    positions += 1
                mask_pointer += 1
            issues.append(issued)
        return issues, positions, stored_blocks


def random_bits_of_chunk(rng: random.Random, probability: float) -> int:
    return sum((rng.random() < probability) << k for k in range(CHUNK))


def random_case(rng: random.Random) -> Case:
    """Some pixels of some tiles, over windows of up to three rows of up to three chunks."""
    c = CONFIGURATION
    rows, chunks = rng.randint(1, 3), rng.randint(1, 3)
    walk = {"rows": rows - 1, "chunks": chunks - 1, "tail": rng.randrange(CHUNK),
            "pitch": rng.randrange(c.activation_depth)}  # fmt: skip
    outputs, tiles, phases = [], rng.randint(1, 3), rng.randint(1, 2)
    for pixel in range(rng.randint(1, 5)):
        word = rng.randrange(c.activation_depth)
        word -= word % CHUNK if rng.random() < 0.3 else 0
        outputs += [{"word": word, "rewind": int(tile == 0 and pixel % phases == 0)} | walk for tile in range(tiles)]
    density, active = rng.choice([0, 0.2, 0.5, 1]), rng.choice([0, 0.2, 0.5, 1])
    first_mask = rng.randrange(c.mask_depth)
    block_masks = [random_bits_of_chunk(rng, 0.5) for _ in range(c.mask_depth)]
    for number in range(phases * tiles * rows * chunks):
        within = (2 << walk["tail"]) - 1 if number % chunks == chunks - 1 else -1
        block_masks[(first_mask + number) % c.mask_depth] = random_bits_of_chunk(rng, density) & within
    activation_masks = [random_bits_of_chunk(rng, active) for _ in range(c.activation_depth // CHUNK)]
    return Case(outputs, activation_masks, block_masks, first_mask, rng.randrange(c.weight_depth))


def check_issues(rng: random.Random, simulate: Simulate) -> None:
    """Random windows, masks and stalls."""
    check_case(random_case(rng), rng, simulate)


def check_longest_walks(simulate: Simulate) -> None:
    """Up to as many rows as a plane may have, and as many chunks in a row; most are empty."""
    rng = random.Random(1)
    c = CONFIGURATION
    rows, chunks = 256, plane_limits(c)["chunks"]
    walks = [(rows, 1), (1, chunks), (2, chunks), *((rng.randint(1, rows), rng.randint(1, 2)) for _ in range(8)),
             *((rng.randint(2, 4), rng.randint(1, chunks)) for _ in range(8))]  # fmt: skip
    outputs = [
        {"word": rng.randrange(c.activation_depth), "rewind": number % 2, "rows": rows - 1, "chunks": chunks - 1,
         "tail": CHUNK - 1, "pitch": rng.randrange(c.activation_depth)}
        for number, (rows, chunks) in enumerate(walks)
    ]  # fmt: skip
    masks = [random_bits_of_chunk(rng, 0.5) if rng.random() < 0.05 else 0 for _ in range(c.mask_depth)]
    check_case(Case(outputs, [0xA5] * (c.activation_depth // CHUNK), masks), rng, simulate, full_speed=True)


def check_case(case: Case, rng: random.Random, simulate: Simulate, *, full_speed: bool = False) -> None:
    """``full_speed``: without stalls."""
    expected, positions, stored = case.issues()
    dut = GatedFeeder()
    feeder, scanner = dut.feeder, dut.scanner
    issues: list[list[tuple[int, int]]] = [[]]
    walked = {"positions": 0, "stored": 0}

    async def watch(ctx: Any) -> None:
        ctx.set(scanner.first_mask, case.first_mask)
        ctx.set(feeder.first_block, case.first_block)
        ctx.set(feeder.others_block, OTHERS)
        ctx.set(feeder.others_word, OTHERS)
        ended = 0
        ends = [False, False]  # did an output end with the decisions that stand in the two stages behind?
        taken = [False, False]
        lent = False
        while ended < len(case.outputs):
            names = (dut.step, feeder.flow, feeder.lend, dut.advanced, feeder.read, feeder.block, feeder.word,
                     feeder.take, scanner.chunks.payload, feeder.stored)  # fmt: skip
            sampled = await ctx.tick().sample(*names)
            step, flow, lend, advanced, read, block, word, take, chunk, blocks = sampled[2:]
            assert not lent or (not read and (block, word) == (OTHERS, OTHERS))
            if flow:
                lent = bool(lend)
                if read:
                    issues[-1].append((block, word))
                if ends[1]:
                    ended += 1
                    issues.append([])
                ends[1] = False
            if not step:
                continue
            walked["stored"] += blocks * taken[1]
            whole = bool(take and not chunk.half)
            walked["positions"] += whole * int(chunk.positions).bit_count()
            ends, taken = [bool(advanced), ends[0]], [whole, taken[0]]

    chances = (0.2, 0.5, 0.3, 0.5, 0.5, 0.5)
    stall, steps, allows, neighbours, held, lend = (1 if full_speed else rng.choice([1, p]) for p in chances)
    simulate(
        dut, watch, source(scanner.outputs, case.outputs, rng, 1 - stall),
        steps=random_bits(dut.step, rng, steps),
        allows=random_bits(dut.allow, rng, allows),
        neighbours=random_bits(dut.neighbours, rng, neighbours),
        held=random_bits(dut.held, rng, held),
        lend=random_bits(dut.lend, rng, lend),
        activations=memory(Masks(scanner.activation_masks, feeder.activation_mask), case.activation_masks),
        blocks=memory(Masks(scanner.block_masks, feeder.block_mask), case.block_masks),
    )  # fmt: skip
    assert issues[:-1] == expected
    assert walked == {"positions": positions, "stored": stored}


def check_pace(simulate: Simulate) -> None:
    """Full chunks are issued without a gap."""
    dut = GatedFeeder()
    feeder, scanner = dut.feeder, dut.scanner
    walk = {"rows": 0, "chunks": 3, "tail": CHUNK - 1, "pitch": 0}
    outputs = [{"word": 0, "rewind": rewind} | walk for rewind in (1, 0, 0)]
    rng = random.Random(0)
    cycles = {"issuing": 0, "all": 0}

    async def watch(ctx: Any) -> None:
        ended = 0
        while ended < len(outputs):
            _, _, issuing, advanced = await ctx.tick().sample(feeder.issuing, dut.advanced)
            cycles["issuing"] += issuing
            cycles["all"] += bool(cycles["issuing"])
            ended += advanced

    simulate(
        dut, watch, source(scanner.outputs, outputs, rng, 0), steps=random_bits(dut.step, rng, 1),
        allows=random_bits(dut.allow, rng, 1), neighbours=random_bits(dut.neighbours, rng, 1),
        activations=memory(Masks(scanner.activation_masks, feeder.activation_mask), [0xFF] * 64),
        blocks=memory(Masks(scanner.block_masks, feeder.block_mask), [0xFF] * 256),
    )  # fmt: skip
    assert cycles == {"issuing": 3 * 4 * CHUNK, "all": 3 * 4 * CHUNK}
