"""What the controller's benches put around it: the protocol in plain Python, and cores that only take notes."""

import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped

from sterna.gateware.control.controller import Controller
from sterna.gateware.control.dealer import Dealer
from sterna.sim.checks.testbench import plain
from sterna.spec import frames
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import CHUNK, FORMAT_VERSION, Configuration
from sterna.spec.frames import CORE_IN_FLAGS, MAX_RESULT, Opcode, StartFlag, Status, crc32c
from sterna.spec.image import Region, region_words, word_bytes
from sterna.spec.registers import MAGIC, REGISTER_COUNT, Register, State

BUILD_ID = 0x0123_4567_89AB_CDEF
Answer = tuple[Status, bytes]
_ARGUMENTS = {
    Opcode.SYNC: (4, 4), Opcode.READ: (2, 2), Opcode.BEGIN: (8, 8), Opcode.WRITE: (5, 638), Opcode.COMMIT: (4, 4),
    Opcode.INPUT: (3, 638), Opcode.START: (6, 6), Opcode.RESULT: (5, 5),
}  # fmt: skip


class DealtController(wiring.Component):
    """A controller with the dealer between it and its cores."""

    def __init__(self, *, configuration: Configuration, build_id: int):
        self._controller = Controller(configuration=configuration, build_id=build_id)
        self._dealer = Dealer(configuration=configuration)
        outside = {name: self._controller.signature.members[name] for name in
                   ("requests", "answers", "good_frames", "bad_frames")}  # fmt: skip
        super().__init__(outside | {"cores": self._dealer.signature.members["cores"]})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.controller = controller = self._controller
        m.submodules.dealer = dealer = self._dealer
        connect(m, flipped(self.requests), controller.requests)
        connect(m, controller.answers, flipped(self.answers))
        for name in ("write", "inputs", "starts", "reads", "read_values"):
            connect(m, getattr(controller, name), getattr(dealer, name))
        for ours, its in zip(self.cores, dealer.cores, strict=True):
            connect(m, its, flipped(ours))
        m.d.comb += [
            dealer.core.eq(controller.core),
            controller.running.eq(dealer.running),
            controller.counters.eq(dealer.counters),
            controller.good_frames.eq(self.good_frames),
            controller.bad_frames.eq(self.bad_frames),
        ]
        return m


@dataclass
class Notes:
    """What reached a core."""

    writes: list[tuple[int, int, int]] = field(default_factory=list)
    """Region, address, word."""
    inputs: list[tuple[int, list[int]]] = field(default_factory=list)
    """Word and activations of each burst."""
    starts: list[tuple[int, int, bool, bool, int]] = field(default_factory=list)
    """Entry, offset, no activation skip, no block skip, ops."""


class Protocol:
    """Answers requests as ``sterna.spec.frames`` says; ``notes`` is what each core must have seen."""

    def __init__(self, configuration: Configuration, activations: Callable[[int, int, int], int], counters: list[int]):
        """``activations``: of core, word and bank."""
        self.c = configuration
        self.activations = activations
        self.counters = counters
        self.notes = [Notes() for _ in range(configuration.cores)]
        self.expected = 0
        self.open = False
        self.loaded = False
        self.crc: int | None = None

    def answer(self, content: bytes, busy: bool = False) -> Answer:
        """``busy``: a run is under way."""
        sequence, opcode, arguments = content[0], content[1], content[2:]
        behind = (self.expected - sequence) % 256
        if opcode == Opcode.SYNC and len(arguments) == 4:
            self.expected = (sequence + 1) % 256
            return Status.OK, arguments
        if behind > 127:
            return Status.OUT_OF_ORDER, bytes([self.expected])
        if behind == 0:
            self.expected = (sequence + 1) % 256
        if opcode not in set(Opcode):
            return Status.UNKNOWN_OPCODE, b""
        low, high = _ARGUMENTS[Opcode(opcode)]
        if not low <= len(arguments) <= high:
            return Status.BAD_LENGTH, b""
        handler = getattr(self, Opcode(opcode).name.lower())
        result = handler(arguments, behind > 0, busy) if opcode == Opcode.BEGIN else handler(arguments, behind > 0)
        return result if isinstance(result, tuple) else (result, b"")

    def read(self, arguments: bytes, repeated: bool) -> Answer | Status:
        first, count = arguments
        if count and first + count > REGISTER_COUNT:
            return Status.BAD_ADDRESS
        values = [MAGIC, FORMAT_VERSION, *struct.unpack("<II", self.c.digest), BUILD_ID & 0xFFFF_FFFF, BUILD_ID >> 32]
        values += [State.LOADED if self.loaded else 0, *self.counters]
        return Status.OK, struct.pack(f"<{count}I", *values[first : first + count])

    def begin(self, arguments: bytes, repeated: bool, busy: bool) -> Status:
        if arguments != self.c.digest:
            return Status.WRONG_CONFIGURATION
        if not repeated:
            if busy:
                return Status.BUSY
            self.open, self.loaded, self.crc = True, False, None
        return Status.OK

    def write(self, arguments: bytes, repeated: bool) -> Status:
        number, address, data = arguments[0], int.from_bytes(arguments[1:4], "little"), arguments[4:]
        if number >= len(Region):
            return Status.BAD_ADDRESS
        region = Region(number)
        size = word_bytes(region, self.c)
        if len(data) % size:
            return Status.BAD_LENGTH
        if address + len(data) // size > region_words(region, self.c):
            return Status.BAD_ADDRESS
        if not (self.open or (self.loaded and (repeated or region != Region.PROGRAM))):
            return Status.NOT_LOADED
        for k in range(len(data) // size):
            word = int.from_bytes(data[k * size : (k + 1) * size], "little")
            if region == Region.WEIGHTS and any(word >> bit & 3 == 2 for bit in range(0, 8 * size, 2)):
                self.open, self.loaded = self.open and repeated, self.loaded and repeated
                return Status.BAD_TRIT
            if not (self.loaded and repeated):
                for notes in self.notes:
                    notes.writes.append((region, address + k, word))
        if not repeated:
            self.crc = crc32c(data, self.crc)
        return Status.OK

    def commit(self, arguments: bytes, repeated: bool) -> Status:
        if repeated:
            return Status.OK if self.loaded else Status.NOT_LOADED
        if not self.open:
            return Status.NOT_LOADED
        self.open = False
        self.loaded = int.from_bytes(arguments, "little") == (crc32c(b"") if self.crc is None else self.crc)
        return Status.OK if self.loaded else Status.BAD_CHECKSUM

    def input(self, arguments: bytes, repeated: bool) -> Status:
        word, values = int.from_bytes(arguments[:2], "little"), struct.unpack(f"{len(arguments) - 2}b", arguments[2:])
        word, core = word - word % CHUNK, word % CHUNK
        if core >= self.c.cores or word + (len(values) - 1) // self.c.simd >= self.c.activation_depth:
            return Status.BAD_ADDRESS
        limit = max_activation(self.c.act_bits)
        self.notes[core].inputs.append((word, [max(-limit, min(limit, value)) for value in values]))
        return Status.OK

    def start(self, arguments: bytes, repeated: bool) -> Status:
        entry, offset, flags, ops = struct.unpack("<HHBB", arguments)
        core = flags >> CORE_IN_FLAGS if self.c.cores > 1 else 0
        if entry >= self.c.program_depth or core >= self.c.cores:
            return Status.BAD_ADDRESS
        if not self.loaded:
            return Status.NOT_LOADED
        if not repeated:
            skips = bool(flags & StartFlag.NO_ACTIVATION_SKIP), bool(flags & StartFlag.NO_BLOCK_SKIP)
            self.notes[core].starts.append((entry, offset, *skips, ops))
        return Status.OK

    def result(self, arguments: bytes, repeated: bool) -> Answer | Status:
        slot, word, count = struct.unpack("<BHH", arguments)
        if count > MAX_RESULT:
            return Status.BAD_LENGTH
        core = slot // 2 if self.c.cores > 1 else 0
        if core >= self.c.cores:
            return Status.BAD_ADDRESS
        if count and word + (count - 1) // self.c.simd >= self.c.activation_depth:
            return Status.BAD_ADDRESS
        if not self.loaded:
            return Status.NOT_LOADED
        values = [self.activations(core, word + k // self.c.simd, k % self.c.simd) for k in range(count)]
        return Status.OK, struct.pack(f"{count}b", *values)


async def _taken(ctx: Any, port: Any) -> Any:
    """The stream's next payload. (`until` leaves a generator behind that a background bench cannot close.)"""
    ctx.set(port.ready, 1)
    valid = payload = None
    while not valid:
        _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
    ctx.set(port.ready, 0)
    return plain(payload)


class Core:
    """Takes whatever comes, at its own pace, and notes it. A run lasts ``run_cycles()``."""

    def __init__(self, ports: Any, configuration: Configuration, rng: random.Random, stall: float):
        self.ports, self.c, self.rng, self.stall = ports, configuration, rng, stall
        self.notes = Notes()
        self.running = False
        self.run_cycles = lambda: rng.choice([1, 2, 30, 300])
        limit = max_activation(configuration.act_bits)
        self._activations = [
            [rng.randint(-limit, limit) for _ in range(configuration.simd)]
            for _ in range(configuration.activation_depth)
        ]

    def activation(self, word: int, bank: int) -> int:
        return self._activations[word][bank]

    def benches(self) -> dict[str, Callable[[Any], Any]]:
        """To run in the background."""
        return {"writes": self._take_writes, "inputs": self._take_inputs, "starts": self._run, "reads": self._read}

    async def _pause(self, ctx: Any) -> None:
        while self.rng.random() < self.stall:
            await ctx.tick()

    async def _take_writes(self, ctx: Any) -> None:
        port = self.ports.write
        while True:
            await self._pause(ctx)
            ctx.set(port.ready, 1)
            *_, valid, region, address, word = await ctx.tick().sample(port.valid, port.region, port.address, port.data)
            ctx.set(port.ready, 0)
            if valid:
                size = word_bytes(Region(region), self.c)
                self.notes.writes.append((region, address, word & ((1 << 8 * size) - 1)))

    async def _take_inputs(self, ctx: Any) -> None:
        port = self.ports.inputs
        within = False
        while True:
            await self._pause(ctx)
            payload = await _taken(ctx, port)
            assert payload["first"] != within
            if payload["first"]:
                self.notes.inputs.append((payload["word"], []))
            self.notes.inputs[-1][1].append(payload["value"])
            within = not payload["last"]

    async def _run(self, ctx: Any) -> None:
        port = self.ports.starts
        while True:
            run = await _taken(ctx, port)
            ctx.set(self.ports.running, 1)
            self.running = True
            skips = bool(run["no_activation_skip"]), bool(run["no_block_skip"])
            self.notes.starts.append((run["entry"], run["offset"], *skips, run["ops"]))
            cycles = self.run_cycles()
            while self.running and cycles:
                await ctx.tick()
                cycles -= 1
            self.running = False
            ctx.set(self.ports.running, 0)

    async def _read(self, ctx: Any) -> None:
        requests, values = self.ports.reads, self.ports.read_values
        while True:
            await self._pause(ctx)
            request = await _taken(ctx, requests)
            await ctx.tick()
            await self._pause(ctx)
            ctx.set(values.payload, self.activation(request["word"], request["bank"]))
            ctx.set(values.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(values.ready)
            ctx.set(values.valid, 0)


class Bench:
    """A controller, its cores, and the host's side of both streams."""

    def __init__(self, configuration: Configuration, seed: int, stall: float = 0.2):
        self.rng = random.Random(seed)
        self.stall = stall
        self.c = configuration
        several = configuration.cores > 1
        self.dut = (DealtController if several else Controller)(configuration=configuration, build_id=BUILD_ID)
        self._ports = list(self.dut.cores) if several else [self.dut]
        self.cores = [Core(ports, configuration, self.rng, stall) for ports in self._ports]
        self.core = self.cores[0]
        # Less than any counter may rise by in a round of the register file, as they get there at once.
        self._frames = [self.rng.getrandbits(6) for _ in range(2)]
        count = REGISTER_COUNT - Register.CYCLES
        self._counters = [[self.rng.getrandbits(6) for _ in range(count)] for _ in self.cores]
        sums = [sum(each) for each in zip(*self._counters, strict=True)]
        self.protocol = Protocol(
            configuration, lambda core, word, bank: self.cores[core].activation(word, bank), self._frames + sums
        )
        self._answer = bytearray()
        self.answers: deque[Answer] = deque()
        self._sequences: deque[int] = deque()

    def benches(self) -> dict[str, Callable[[Any], Any]]:
        """To run in the background."""
        of_cores = {f"{name}_{k}": each for k, core in enumerate(self.cores) for name, each in core.benches().items()}
        return of_cores | {"answers": self._receive, "counters": self._count}

    @property
    def notes(self) -> list[Notes]:
        """What reached each core."""
        return [core.notes for core in self.cores]

    async def _count(self, ctx: Any) -> None:
        ctx.set(self.dut.good_frames, self._frames[0])
        ctx.set(self.dut.bad_frames, self._frames[1])
        names = [register.name.lower() for register in Register if register >= Register.CYCLES]
        for ports, counters in zip(self._ports, self._counters, strict=True):
            ctx.set(ports.counters, dict(zip(names, counters, strict=True)))

    async def send(self, ctx: Any, content: bytes) -> None:
        port = self.dut.requests
        self._sequences.append(content[0])
        for k, byte in enumerate(content):
            while self.rng.random() < self.stall:
                await ctx.tick()
            left = len(content) - k
            ctx.set(port.payload, {"data": byte, "left": left, "last": left == 1})
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    async def _receive(self, ctx: Any) -> None:
        port, offered = self.dut.answers, None
        while True:
            ready = self.rng.random() >= self.stall
            ctx.set(port.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
            if offered is not None:
                assert valid
                assert plain(payload) == offered
            offered = plain(payload) if valid and not ready else None
            if valid and ready:
                self._answer.append(payload.data)
                if payload.last:
                    whole, self._answer = bytes(self._answer), bytearray()
                    assert whole[0] == self._sequences.popleft()
                    self.answers.append((Status(whole[1]), whole[2:]))

    async def receive(self, ctx: Any) -> Answer:
        while not self.answers:
            await ctx.tick()
        return self.answers.popleft()

    async def ask(self, ctx: Any, content: bytes) -> Answer:
        await self.send(ctx, content)
        return await self.receive(ctx)

    async def idle(self, ctx: Any) -> None:
        """Waits until no run is under way."""
        while any(core.running for core in self.cores):
            await ctx.tick()

    async def load(self, ctx: Any, words: bytes = bytes(4)) -> None:
        """A session with an image of mask words, loaded."""
        for content in (
            frames.request(0, Opcode.SYNC, frames.sync_arguments(1)),
            frames.request(1, Opcode.BEGIN, self.c.digest),
            frames.request(2, Opcode.WRITE, frames.write_header(Region.MASKS, 0) + words),
            frames.request(3, Opcode.COMMIT, frames.commit_arguments(crc32c(words))),
        ):
            assert self.protocol.answer(content)[0] == Status.OK
            assert (await self.ask(ctx, content))[0] == Status.OK
