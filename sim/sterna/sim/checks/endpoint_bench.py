"""A bench for the endpoint: cores that only take notes, and the host's side of both streams."""

import functools
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped

from sterna.gateware.control.dealer import Dealer
from sterna.gateware.link.endpoint import Endpoint
from sterna.gateware.tally import most_per_cycle, tally_bits
from sterna.sim.checks.protocol import BUILD_ID, Answer, Notes, Protocol
from sterna.sim.checks.testbench import Simulate, plain, source
from sterna.sim.model import compiled, simulator
from sterna.spec import frames
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import Configuration
from sterna.spec.errors import EncodingError
from sterna.spec.frames import Opcode, Status, crc32c
from sterna.spec.image import Region, word_bytes
from sterna.spec.registers import Register


class DealtEndpoint(wiring.Component):
    """An endpoint with the dealer between it and its cores."""

    def __init__(self, *, configuration: Configuration, build_id: int):
        self._endpoint = Endpoint(configuration=configuration, build_id=build_id)
        self._dealer = Dealer(configuration=configuration)
        outside = {name: self._endpoint.signature.members[name] for name in ("rx", "tx", "bad_frame")}
        super().__init__(outside | {"cores": self._dealer.signature.members["cores"]})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.endpoint = endpoint = self._endpoint
        m.submodules.dealer = dealer = self._dealer
        connect(m, flipped(self.rx), endpoint.rx)
        connect(m, endpoint.tx, flipped(self.tx))
        for name in ("write", "inputs", "starts", "reads", "read_values"):
            connect(m, getattr(endpoint, name), getattr(dealer, name))
        for ours, its in zip(self.cores, dealer.cores, strict=True):
            connect(m, its, flipped(ours))
        m.d.comb += [
            self.bad_frame.eq(endpoint.bad_frame),
            dealer.core.eq(endpoint.core),
            endpoint.running.eq(dealer.running),
            endpoint.counters.eq(dealer.counters),
        ]
        return m


def endpoint(configuration: Configuration) -> Endpoint | DealtEndpoint:
    """For one core or several."""
    return (DealtEndpoint if configuration.cores > 1 else Endpoint)(configuration=configuration, build_id=BUILD_ID)


@functools.cache
def simulation(configuration: Configuration) -> Simulate:
    """Runs benches on such an endpoint, compiled: its program takes many cycles."""
    return simulator(compiled(endpoint(configuration), name=f"endpoint-{configuration.name}"))


async def _taken(ctx: Any, port: Any) -> Any:
    """The stream's next payload. (`until` leaves a generator behind that a background bench cannot close.)"""
    ctx.set(port.ready, 1)
    valid = payload = None
    while not valid:
        _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
    ctx.set(port.ready, 0)
    return plain(payload)


def _decoded(frame: bytes) -> bytes:
    """Content of an answer's frame; a damaged one is the endpoint's fault."""
    try:
        return frames.decode_frame(frame)
    except EncodingError as error:
        raise AssertionError(f"an answer: {error}") from None


class Core:
    """Takes whatever comes, at its own pace, and notes it. A run lasts ``run_cycles()``."""

    def __init__(self, ports: Any, configuration: Configuration, rng: random.Random, stall: float):
        self.ports, self.c, self.rng, self.stall = ports, configuration, rng, stall
        self.notes = Notes()
        self.running = False
        self.run_cycles: Callable[[], int] = lambda: rng.choice([1, 2, 30, 300])
        limit = max_activation(configuration.act_bits)
        self._activations = [
            [rng.randint(-limit, limit) for _ in range(configuration.simd)]
            for _ in range(configuration.activation_depth)
        ]

    def activation(self, word: int, bank: int) -> int:
        assert word < self.c.activation_depth, "an activation that is not there is asked for"
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
                self.notes.writes.append((region, address, word >> len(port.data) - 8 * size))

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
            self.notes.starts.append((run["entry"], run["offset"], run["ops"]))
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
    """An endpoint, its cores, and the host's side of both streams."""

    def __init__(self, configuration: Configuration, seed: int, stall: float = 0.2):
        self.rng = random.Random(seed)
        self.stall = stall
        self.c = configuration
        self.dut = endpoint(configuration)
        self._ports = list(self.dut.cores) if isinstance(self.dut, DealtEndpoint) else [self.dut]
        self.cores = [Core(ports, configuration, self.rng, stall) for ports in self._ports]
        self.core = self.cores[0]
        bits = [tally_bits(register, configuration) for register in Register if register >= Register.CYCLES]
        carries = (configuration.cores - 1).bit_length()  # their sums fit too
        self._counters = [[self.rng.getrandbits(n - carries) for n in bits] for _ in self.cores]
        sums = [sum(each) for each in zip(*self._counters, strict=True)]
        self.protocol = Protocol(configuration, lambda core, word, bank: self.cores[core].activation(word, bank), sums)
        self.rises = False
        """Whether counters rise as fast as they can, or stay."""
        self.taker_stall = stall
        self.bad_frames = 0
        """That were told of."""
        self._answer = bytearray()
        self.answers: deque[Answer] = deque()
        self._sequences: deque[int] = deque()

    def benches(self) -> dict[str, Callable[[Any], Any]]:
        """To run in the background."""
        of_cores = {f"{name}_{k}": each for k, core in enumerate(self.cores) for name, each in core.benches().items()}
        return of_cores | {"answers": self._receive, "counters": self._count, "damage": self._note_damage}

    @property
    def notes(self) -> list[Notes]:
        """What reached each core."""
        return [core.notes for core in self.cores]

    def counted(self, register: Register) -> int:
        """What the counters have come to, over all cores, however wide they are."""
        return sum(counters[register - Register.CYCLES] for counters in self._counters)

    async def _count(self, ctx: Any) -> None:
        registers = [register for register in Register if register >= Register.CYCLES]
        most = [most_per_cycle(register, self.c) // self.c.cores for register in registers]
        mask = [(1 << tally_bits(register, self.c)) - 1 for register in registers]
        while True:
            for ports, counters in zip(self._ports, self._counters, strict=True):
                values = {r.name.lower(): n & m for r, n, m in zip(registers, counters, mask, strict=True)}
                ctx.set(ports.counters, values)
            if not self.rises:
                return
            await ctx.tick()
            self._counters = [[n + rise for n, rise in zip(each, most, strict=True)] for each in self._counters]

    async def _note_damage(self, ctx: Any) -> None:
        while True:
            _, _, bad = await ctx.tick().sample(self.dut.bad_frame)
            self.bad_frames += bad

    def expect(self, contents: Sequence[bytes]) -> None:
        """Answers to these requests will come."""
        self._sequences.extend(content[0] for content in contents)

    async def send(self, ctx: Any, content: bytes) -> None:
        self.expect([content])
        await source(self.dut.rx, frames.encode_frame(content), self.rng, self.stall)(ctx)

    async def _receive(self, ctx: Any) -> None:
        port, offered = self.dut.tx, None
        while True:
            ready = self.rng.random() >= self.taker_stall
            ctx.set(port.ready, ready)
            _, _, valid, byte = await ctx.tick().sample(port.valid, port.payload)
            if offered is not None:
                assert valid
                assert byte == offered
            offered = byte if valid and not ready else None
            if valid and ready and byte:
                self._answer.append(byte)
            elif valid and ready:
                whole = _decoded(bytes(self._answer))
                self._answer.clear()
                assert self._sequences, "an answer to no request"
                assert whole[0] == self._sequences.popleft()
                assert whole[1] in set(Status)
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
