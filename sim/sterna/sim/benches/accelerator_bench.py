"""Bench of the top, ``Accelerator``: frames in, frames out, random stalls at both ends, scored against golden.

Parameters: ``configuration`` (its fields), ``seed``, ``stalls``, ``widths`` of a network of dense layers with this
``density`` of weight blocks, or ``layers`` of a network of every kind of layer, or ``resnet8`` (its arguments);
``images``; ``behind``: how many images later results are asked for; whether ``a_batch_is_timed`` with ``skips``, and
the file for its ``report``.
"""

import json
import struct
from itertools import groupby
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.utils import get_sim_time

from sterna.compiler import compile_network
from sterna.driver.streaming import overlap
from sterna.golden import trace
from sterna.sim.bench import parameters
from sterna.sim.link import Answer, Link
from sterna.sim.networks import random_dense, random_images, random_network
from sterna.sim.streams import PERIOD_NS, Handle, Monitor, Scoreboard, Sink, Source, start
from sterna.sim.topologies import resnet8
from sterna.spec.configuration import CHOICES, CHUNK, FORMAT_VERSION, Configuration
from sterna.spec.frames import (
    MAX_CONTENT,
    MAX_RESULT,
    Opcode,
    StartFlag,
    Status,
    commit_arguments,
    input_header,
    read_arguments,
    result_arguments,
    start_arguments,
)
from sterna.spec.image import Image, Section, TensorPlace, write_requests
from sterna.spec.registers import MAGIC, Register, State
from sterna.spec.skips import ALL_SKIPS, NO_SKIPS, SKIPS, Skips

Pending = list[tuple[TensorPlace, list[Answer]]]
"""Outputs of one run, and the answers that will hold them."""


def configuration_of(parameters: dict[str, Any]) -> Configuration:
    """A configuration from its fields as JSON holds them."""
    chosen = {name: type(allowed[0])(parameters[name]) for name, allowed in CHOICES.items()}
    return Configuration(**parameters | chosen)


class Bench:
    """The top with agents at both ends, and the network that it is to run."""

    def __init__(self, dut: Handle) -> None:
        given: dict[str, Any] = {"seed": 0, "stalls": 0.5, "widths": (64, 24, 10), "images": 6, "density": 0.5,
                                 "behind": 0, "skips": True}  # fmt: skip
        given |= parameters()
        self.given = given
        self.configuration = configuration_of(given["configuration"])
        self.random = np.random.default_rng(given["seed"])
        self.dut = dut
        if "layers" in given:
            self.network = random_network(self.random, self.configuration, layers=given["layers"])
        elif "resnet8" in given:
            self.network = resnet8(**given["resnet8"])
        else:
            self.network = random_dense(given["seed"], tuple(given["widths"]), act_bits=self.configuration.act_bits,
                                        block=self.configuration.pe, density=given["density"])  # fmt: skip
        self.image = self.compiled(ALL_SKIPS if given["skips"] else NO_SKIPS)
        self.images = random_images(self.random, self.network, given["images"])
        self.under_way: tuple[tuple[Section, ...], int] = (), 0
        """Streamed sections that the last run reads, and its slot."""
        self.scores = Scoreboard("outputs")
        Monitor(dut, "rx", lambda item: None)
        Monitor(dut, "tx", lambda item: None)
        source = Source(dut, "rx", seed=int(self.random.integers(1 << 31)), stalls=given["stalls"])
        sink = Sink(dut, "tx", seed=int(self.random.integers(1 << 31)), stalls=given["stalls"])
        self.link = Link(source, sink)

    async def begin(self) -> None:
        """Reset and a session."""
        await start(self.dut)
        await self.link.synchronise(int(self.random.integers(1 << 32)))

    async def registers(self, first: Register, count: int = 1) -> list[int]:
        data = await self.link.call(Opcode.READ, read_arguments(first, count))
        return list(struct.unpack(f"<{count}I", data))

    def compiled(self, skips: Skips) -> Image:
        return compile_network(self.network, self.configuration, skips)

    async def load(self) -> None:
        """Writes the image, pipelined, and has it checked."""
        await self.link.call(Opcode.BEGIN, self.image.digest)
        written = [
            await self.link.submit(Opcode.WRITE, words)
            for words in write_requests(self.image.sections, self.configuration)
        ]
        for answer in written:
            await self.link.result(answer)
        await self.link.call(Opcode.COMMIT, commit_arguments(self.image.payload_crc()))

    async def infer(self) -> None:
        """Runs all images through the slots of all cores in turn and scores the outputs against golden."""
        tensors = trace(self.network, self.images)
        inputs = tensors[self.network.input.name]
        slots = [2 * core + half for half in (0, 1) for core in range(self.configuration.cores)]
        behind = self.given["behind"]
        pending: list[Pending] = []
        for index in range(len(inputs) + behind):
            if index < len(inputs):
                slot = slots[index % len(slots)]
                if index >= len(slots):  # this slot's former run
                    await self._score(pending.pop(0))
                await self._submit_input(slot, self.image.input.layout.scatter(inputs[index]))
                await self._submit_run(slot)
            if index >= behind:
                slot = slots[(index - behind) % len(slots)]
                pending.append([(place, await self._submit_result(slot, place)) for place in self.image.outputs])
                self.scores.expect([tensors[name][index - behind].tolist() for name in self.network.outputs])
        for results in pending:
            await self._score(results)

    async def _submit_run(self, slot: int) -> None:
        """All segments; the words of each are on their way while the one before runs, if they do not lie over it."""
        image = self.image
        for index, segment in enumerate(image.segments):
            under_way, its_slot = self.under_way
            if overlap(under_way, segment.sections, self.configuration):
                await self.link.submit(Opcode.RESULT, result_arguments(its_slot, image.outputs[0].word, 1))
            for words in write_requests(segment.sections, self.configuration):
                await self.link.submit(Opcode.WRITE, words)
            core, half = divmod(slot, 2)
            entry, offset = image.ops[image.first_op(index)].entry, half * image.slot_offset
            run = start_arguments(entry, offset, StartFlag.SLOT * half, segment.ops, core)
            await self.link.submit(Opcode.START, run)
            self.under_way = segment.sections, slot

    async def _submit_input(self, slot: int, activations: np.ndarray) -> None:
        simd = self.configuration.simd
        core, half = divmod(slot, 2)
        word = self.image.input.word + half * self.image.slot_offset
        step = (MAX_CONTENT - 4) // (CHUNK * simd) * CHUNK * simd
        for at in range(0, len(activations), step):
            await self.link.submit(
                Opcode.INPUT, input_header(word + at // simd, core) + activations[at : at + step].tobytes()
            )

    async def _submit_result(self, slot: int, place: TensorPlace) -> list[Answer]:
        simd = self.configuration.simd
        first, step = place.word + slot % 2 * self.image.slot_offset, MAX_RESULT // simd * simd
        size = place.layout.words * simd
        return [
            await self.link.submit(Opcode.RESULT, result_arguments(slot, first + at // simd, min(step, size - at)))
            for at in range(0, size, step)
        ]

    async def _score(self, results: Pending) -> None:
        for _, parts in groupby(results, key=lambda result: result[0].name):
            found = []
            for place, answers in parts:
                flat = b"".join([await self.link.result(answer) for answer in answers])
                found.append(place.layout.gather(np.frombuffer(flat, np.int8)))
            self.scores.see(np.concatenate(found, axis=2).tolist())


@cocotb.test()
async def outputs_equal_golden(dut: Handle) -> None:
    """Load, then infer with every combination of the two skips: the outputs are golden's each time."""
    bench = Bench(dut)
    await bench.begin()
    cycles = []
    for skips in SKIPS:
        bench.image = bench.compiled(skips)
        await bench.load()
        (before,) = await bench.registers(Register.CYCLES)
        await bench.infer()
        (after,) = await bench.registers(Register.CYCLES)
        cycles.append((after - before) % (1 << 32))
    bench.scores.finish()
    assert cycles[0] == min(cycles), f"skipping costs cycles: {cycles}"
    dut._log.info("cycles with both skips, block skip, activation skip, none: %s", cycles)


@cocotb.test()
async def a_batch_is_timed(dut: Handle) -> None:
    """How many cycles a batch takes, and how many of them cores were running, all together."""
    bench = Bench(dut)
    await bench.begin()
    await bench.load()
    (before,) = await bench.registers(Register.CYCLES)
    begin = get_sim_time("ns")
    await bench.infer()
    cycles = round((get_sim_time("ns") - begin) / PERIOD_NS)
    (after,) = await bench.registers(Register.CYCLES)
    bench.scores.finish()
    found = {"images": len(bench.images), "cycles": cycles, "core_cycles": (after - before) % (1 << 32)}
    assert 0 < found["core_cycles"] <= bench.configuration.cores * cycles, found
    if "report" in bench.given:
        Path(bench.given["report"]).write_text(json.dumps(found))


@cocotb.test()
async def identity_is_that_of_the_configuration(dut: Handle) -> None:
    """Magic, format and digest; nothing loaded after reset."""
    bench = Bench(dut)
    await bench.begin()
    magic, version, low, high = await bench.registers(Register.MAGIC, 4)
    assert (magic, version) == (MAGIC, FORMAT_VERSION)
    assert low.to_bytes(4, "little") + high.to_bytes(4, "little") == bench.configuration.digest
    assert await bench.registers(Register.STATE) == [0]


@cocotb.test()
async def refuses_what_it_must(dut: Handle) -> None:
    """No run before a complete image, no image for another configuration, none whose CRC differs."""
    bench = Bench(dut)
    await bench.begin()
    link, image = bench.link, bench.image

    async def refusal(opcode: Opcode, arguments: bytes) -> Status:
        return await link.status(await link.submit(opcode, arguments))

    assert await refusal(Opcode.START, start_arguments(image.ops[0].entry, 0, 0)) == Status.NOT_LOADED
    assert await refusal(Opcode.RESULT, result_arguments(0, 0, 1)) == Status.NOT_LOADED
    assert await refusal(Opcode.BEGIN, bytes(8)) == Status.WRONG_CONFIGURATION
    await link.call(Opcode.BEGIN, image.digest)
    assert await refusal(Opcode.COMMIT, commit_arguments(image.payload_crc())) == Status.BAD_CHECKSUM
    assert await refusal(Opcode.START, start_arguments(image.ops[0].entry, 0, 0)) == Status.NOT_LOADED
    await bench.load()
    assert await bench.registers(Register.STATE) == [State.LOADED]
    await bench.infer()
    bench.scores.finish()


@cocotb.test()
async def counters_add_up(dut: Handle) -> None:
    """Every cycle of a run is in exactly one class, and no more is issued than stored, nor stored than walked."""
    bench = Bench(dut)
    await bench.begin()
    await bench.load()
    first = Register.CYCLES
    before = await bench.registers(first, Register.POSITIONS - first + 1)
    await bench.infer()
    after = await bench.registers(first, Register.POSITIONS - first + 1)
    moved = [(b - a) % 2**32 for a, b in zip(before, after, strict=True)]
    count = dict(zip(list(Register)[first:], moved, strict=True))
    classes = (Register.ISSUE_CYCLES, Register.EMPTY_CYCLES, Register.IDLE_CYCLES, Register.REQUANTISER_STALLS,
               Register.MEMORY_STALLS)  # fmt: skip
    assert count[Register.CYCLES] == sum(count[register] for register in classes) > 0
    assert 0 < count[Register.ISSUED] <= count[Register.STORED] <= count[Register.POSITIONS]
