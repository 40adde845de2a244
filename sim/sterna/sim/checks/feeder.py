"""Scanner and feeder against a loop over positions: each set bit of mask AND mask once, in order, at its address."""

import random
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from sterna.gateware.compute.feeder import Feeder
from sterna.gateware.compute.scanner import Scanner
from sterna.sim.checks.testbench import Simulate, memory, random_bits, source
from sterna.spec.configuration import CHUNK, Configuration

CONFIGURATION = Configuration(
    name="test", simd=1, pe=4, weight_depth=2048, mask_depth=256, activation_depth=512, parameter_depth=16
)

FIRST_MASK, FIRST_BLOCK = 7, 300
"""Where the op's masks and blocks begin."""


class GatedFeeder(wiring.Component):
    """Scanner and one feeder: it takes chunks when allowed, advances when it is complete, stepped and allowed to."""

    def __init__(self) -> None:
        self.scanner = Scanner(configuration=CONFIGURATION)
        self.feeder = Feeder(configuration=CONFIGURATION)
        self.step = Signal()
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
            chunks.ready.eq(self.feeder.chunks.ready & self.neighbours),
            self.feeder.chunks.valid.eq(chunks.valid),
            self.feeder.chunks.payload.eq(chunks.payload),
            self.feeder.take.eq(chunks.valid & chunks.ready),
            self.feeder.step.eq(self.step),
            self.advanced.eq(self.step & self.allow & self.feeder.complete),
            self.feeder.advance.eq(self.advanced),
        ]
        return m


class Masks:
    """A mask memory: the scanner addresses it, the feeder gets its data."""

    def __init__(self, port: Any, data: Signal) -> None:
        self.enable, self.address, self.data = port.enable, port.address, data


def expected_issues(
    walk: dict[str, int], outputs: list[dict[str, int]], activation_masks: list[int], block_masks: list[int],
    no_activation_skip: bool, no_block_skip: bool,
) -> tuple[list[list[tuple[int, int, int]]], int, int]:  # fmt: skip
    """(block, word, present) of each issue, by output; positions and stored blocks walked."""
    mask_pointer = block_pointer = positions = stored_blocks = 0
    issues = []
    for output in outputs:
        if output["rewind"]:
            mask_pointer, block_pointer = FIRST_MASK, FIRST_BLOCK
        issued = []
        for row in range(walk["rows"] + 1):
            for chunk in range(walk["chunks"] + 1):
                valid = walk["tail"] + 1 if chunk == walk["chunks"] else CHUNK
                for k in range(valid):
                    word = output["word"] + row * walk["pitch"] + chunk * CHUNK + k
                    active = activation_masks[word // CHUNK] >> word % CHUNK & 1
                    stored = block_masks[mask_pointer] >> k & 1
                    if (active or no_activation_skip) and (stored or no_block_skip):
                        issued.append((block_pointer, word, stored & active))
                    block_pointer += stored
                    stored_blocks += stored
                    positions += 1
                mask_pointer += 1
        issues.append(issued)
    return issues, positions, stored_blocks


def random_case(rng: random.Random) -> tuple[dict[str, int], list[dict[str, int]], list[int], list[int]]:
    rows, chunks = rng.randint(1, 3), rng.randint(1, 3)
    walk = {"rows": rows - 1, "chunks": chunks - 1, "tail": rng.randrange(CHUNK), "pitch": rng.randint(0, 60)}
    reach = (rows - 1) * walk["pitch"] + chunks * CHUNK + CHUNK
    outputs, tiles, phases = [], rng.randint(1, 3), rng.randint(1, 2)
    for pixel in range(rng.randint(1, 5)):
        word = rng.randrange(CONFIGURATION.activation_depth - reach)
        word -= word % CHUNK if rng.random() < 0.3 else 0
        outputs += [{"word": word, "rewind": int(tile == 0 and pixel % phases == 0)} for tile in range(tiles)]
    density, active = rng.choice([0, 0.2, 0.5, 1]), rng.choice([0, 0.2, 0.5, 1])

    def bits(probability: float) -> int:
        return sum((rng.random() < probability) << k for k in range(CHUNK))

    block_masks = [bits(0.5) for _ in range(FIRST_MASK)]
    for _ in range(phases * tiles * rows):
        for chunk in range(chunks):
            mask = bits(density)
            block_masks.append(mask & ((2 << walk["tail"]) - 1) if chunk == chunks - 1 else mask)
    activation_masks = [bits(active) for _ in range(CONFIGURATION.activation_depth // CHUNK)]
    return walk, outputs, activation_masks, block_masks


def check_issues(rng: random.Random, simulate: Simulate) -> None:
    """Random windows, masks, skips and stalls."""
    walk, outputs, activation_masks, block_masks = random_case(rng)
    requests = [output | walk for output in outputs]
    no_activation_skip, no_block_skip = rng.random() < 0.25, rng.random() < 0.25
    expected, positions, stored = expected_issues(
        walk, outputs, activation_masks, block_masks, no_activation_skip, no_block_skip
    )
    dut = GatedFeeder()
    feeder, scanner = dut.feeder, dut.scanner
    issues: list[list[tuple[int, int, int]]] = [[]]
    walked = {"positions": 0, "stored": 0}

    async def watch(ctx: Any) -> None:
        ctx.set(scanner.first_mask, FIRST_MASK)
        ctx.set(feeder.first_block, FIRST_BLOCK)
        ctx.set(feeder.no_activation_skip, no_activation_skip)
        ctx.set(feeder.no_block_skip, no_block_skip)
        pending = just_advanced = False  # of what stands in the address stage: not looked at; ended its output
        ended = 0
        while ended < len(outputs):
            names = (dut.step, dut.advanced, feeder.read, feeder.block, feeder.word, feeder.present, feeder.take,
                     scanner.chunks.payload, feeder.stored)  # fmt: skip
            _, _, step, advanced, read, block, word, present, take, chunk, blocks = await ctx.tick().sample(*names)
            if pending and read and step:
                issues[-1 if not just_advanced else -2].append((block, word, present))
            if take and not chunk.half:
                walked["positions"] += int(chunk.positions).bit_count()
                walked["stored"] += blocks
            if step:
                just_advanced = bool(advanced)
                pending = True
            if advanced:
                ended += 1
                issues.append([])
        # the last issue of the last output stands in the address stage now
        read, block, word, present = (ctx.get(s) for s in (feeder.read, feeder.block, feeder.word, feeder.present))
        if read:
            issues[-2].append((block, word, present))

    simulate(
        dut, watch, source(scanner.outputs, requests, rng, rng.choice([0, 0.8])),
        steps=random_bits(dut.step, rng, rng.choice([1, 0.5])),
        allows=random_bits(dut.allow, rng, rng.choice([1, 0.3])),
        neighbours=random_bits(dut.neighbours, rng, rng.choice([1, 0.5])),
        activations=memory(Masks(scanner.activation_masks, feeder.activation_mask), activation_masks),
        blocks=memory(Masks(scanner.block_masks, feeder.block_mask), block_masks),
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
