"""The link's processor: bytes of the host in a ring, bytes of its own, an accumulator, and the core at its hands."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring

from sterna.gateware.arithmetic import at_least, down_or, sum_or, up_or
from sterna.gateware.link.crc import Crc32c
from sterna.gateware.link.instructions import (
    PROGRAM_DEPTH,
    WORK_DEPTH,
    Action,
    Condition,
    Operation,
    Port,
    Source,
)
from sterna.gateware.link.ports import link_ports
from sterna.gateware.memory.ram import attributes
from sterna.gateware.memory.trit_decoder import BlockDecoder
from sterna.gateware.tally import NARROW_BITS, WIDE_BITS
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import Configuration, Primitive
from sterna.spec.frames import LONGEST_BLOCK, WINDOW_BYTES, WINDOW_FRAMES
from sterna.spec.image import Region, region_words
from sterna.spec.registers import REGISTER_COUNT, Register

ACTIVATIONS = len(Region)
"""The kind of words that activations are."""
ADDRESS_BITS = 24
START_BITS = 48
RING_BYTES = 1024
"""What the host may send ahead, and the frame that is worked on, all as they come on the wire."""
# A whole window: each frame has a delimiter and the codes of its blocks. One byte tells full from empty, and one may be
# taken before a flip-flop tells of it.
assert WINDOW_BYTES + 2 * WINDOW_FRAMES + WINDOW_BYTES // LONGEST_BLOCK + 2 <= RING_BYTES


class LinkProcessor(wiring.Component):
    """Carries out a program of :mod:`sterna.gateware.link.instructions`, an instruction in two cycles.

    Bytes from the host go into a ring as they come. ``reader`` and ``writer`` are the program's places in it: it takes
    stuffed bytes at one and leaves plain ones at the other, which never gets ahead. What lies behind ``frame`` is not
    overwritten. What goes to the core stands in registers until the core has taken it.

    Flow control: valid/ready; ``rx`` stalls while the ring is full. Bad input: the program's affair; what the ring
    cannot hold is not lost. No instruction waits.

    Parameters
    ----------
    configuration
        What the core was built for.
    program, work
        What the two memories hold at power-up. A reset begins the program anew and leaves the work memory as it is.
    """

    ring_bytes = RING_BYTES

    def __init__(self, *, configuration: Configuration, program: Sequence[int], work: Sequence[int]):
        self.configuration = configuration
        self.program = program
        self.work = work
        super().__init__(link_ports(configuration))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._build_fetch(m)
        self._build_registers(m)
        self._build_ring(m)
        self._build_work(m)
        self._build_accumulator(m)
        self._build_address(m)
        self._build_core(m)
        self._build_counters(m)
        self._build_conditions(m)
        return m

    def _build_fetch(self, m: Module) -> None:
        depth = 1 << (len(self.program) - 1).bit_length()
        assert depth <= PROGRAM_DEPTH
        m.submodules.program = program = memory.Memory(shape=16, depth=depth, init=self.program)
        fetch = program.read_port()
        word = fetch.data
        at = Signal(range(depth), init=depth - 1)
        following = Signal(range(depth))
        links = [Signal(range(depth), name=f"link_{k}", reset_less=True) for k in range(2)]
        # In the first cycle of an instruction its word is there, memories are read, and what is to be done is worked
        # out; in the second it is done, from flip-flops, and the next word is fetched.
        second = Signal(init=1)
        starting = Signal(init=1)  # the word is not the program's: what was there at power-up, or before a reset
        m.d.sync += [second.eq(~second), starting.eq(0)]
        branches, acts = word[15], ~word[15] & word[14]
        self._operation, self._source, self._operand = word[11:14], word[8:11], word[:8]
        self._condition = word[10:14]
        # In the second cycle, too, from flip-flops, where what comes out of a memory comes late.
        if self.configuration.read_latency == 1:
            kept = word
        else:
            kept = Signal(16, reset_less=True)
            m.d.sync += kept.eq(word)
        self._stored_at = kept[:8]
        self._holds = Signal(4)  # by the upper bits of the condition, in flip-flops: chosen from in the second cycle

        def decoded(name: str, value: Value) -> Signal:
            signal = Signal(name=name)
            m.d.sync += signal.eq(~second & value)
            return signal

        groups = [Signal(name=f"group_{k}") for k in range(5)]
        m.d.comb += [group.eq(~second & acts & (word[11:14] == k)) for k, group in enumerate(groups)]
        self._store = decoded("store", acts & (word[11:14] == 0))
        self._acts = {each: Signal(name=f"act_{each.name.lower()}") for each in Action}
        m.d.sync += [act.eq(groups[each >> 3] & word[each & 7]) for each, act in self._acts.items()]
        accumulates = ~word[15] & ~word[14]
        self._accumulate = decoded("accumulate", accumulates)
        self._from_ring = decoded("from_ring", accumulates & (self._source == Source.RING))
        self._from_value = decoded(
            "from_value", accumulates & (self._source == Source.PORT) & (self._operand[:3] == Port.VALUE)
        )
        self._up = decoded("up", accumulates & self._operand[7] & (self._source[1:] == Source.TABLE >> 1))
        self._branch_on = {
            condition: decoded(f"on_{condition.name.lower()}", branches & (self._condition == condition))
            for condition in (Condition.COUNT, Condition.LENGTH)
        }
        calls = decoded("calls", branches & (self._condition == Condition.CALL))

        returns = self._acts[Action.RETURN]
        straight = Signal.like(following)
        m.d.comb += [
            straight.eq(up_or(returns, links[0], at)),
            following.eq(straight),
            fetch.en.eq(second),
            fetch.addr.eq(following),
        ]
        with m.If(~starting & kept[15] & (self._holds.bit_select(kept[12:14], 1) ^ kept[14])):
            m.d.comb += following.eq(kept)
        with m.If(calls | returns):
            m.d.sync += links[0].eq(Mux(calls, straight, links[1]))
        with m.If(calls):
            m.d.sync += links[1].eq(links[0])
        with m.If(second):
            m.d.sync += at.eq(following)

    def _build_registers(self, m: Module) -> None:
        self._a = Signal(8, reset_less=True)
        self._carry = Signal(reset_less=True)
        self._index = Signal(8, reset_less=True)
        self._count = Signal(10, reset_less=True)
        self._length = Signal(8, reset_less=True)
        a, acts = self._a, self._acts
        ups = acts[Action.INDEX_UP] | self._up
        with m.If(acts[Action.SET_INDEX] | ups):
            m.d.sync += self._index.eq(up_or(acts[Action.SET_INDEX], a, self._index))
        counts, shortens = self._branch_on[Condition.COUNT], self._branch_on[Condition.LENGTH]
        # A frame's bytes are counted too, but for one far too long.
        down = (counts & self._count.any()) | (acts[Action.PUT] & ~self._count[-3:].all())
        fewer = down_or(down, self._count, Cat(a, a))
        with m.If(acts[Action.COUNT_LOW] | down):
            m.d.sync += self._count[:8].eq(fewer)
        with m.If(acts[Action.COUNT_HIGH] | down):
            m.d.sync += self._count[8:].eq(fewer[8:])
        shorter = shortens & self._length.any()
        with m.If(acts[Action.LENGTH] | shorter):
            m.d.sync += self._length.eq(down_or(shorter, self._length, a))

    def _build_ring(self, m: Module) -> None:
        m.submodules.ring = ring = memory.Memory(
            shape=8, depth=self.ring_bytes, init=[], attrs=attributes(Primitive.BLOCK)
        )
        write, read = ring.write_port(), ring.read_port()
        pointer = range(self.ring_bytes)
        head = Signal(pointer)
        frame = Signal(pointer)
        reader = Signal(pointer)
        writer = Signal(pointer)
        room = Signal()
        take = Signal()
        self._full, self._received = Signal(), Signal()
        reading = Signal(pointer)  # ahead of the pointer, so that the byte is there in an instruction's first cycle
        jumps, loads = Signal(), Signal()
        acts = self._acts
        put = acts[Action.PUT]
        m.d.comb += [
            self.rx.ready.eq(room & ~put),
            take.eq(self.rx.valid & self.rx.ready),
            write.en.eq(take | put),
            write.addr.eq(Mux(put, writer, head)),
            write.data.eq(Mux(put, self._a, self.rx.payload)),
            read.addr.eq(reading),
            jumps.eq(acts[Action.BACK] | acts[Action.NEXT]),
            loads.eq(acts[Action.MARK] | acts[Action.BACK]),
            reading.eq(sum_or(jumps, Mux(acts[Action.BACK], frame, writer), reader, self._from_ring)),
        ]
        full = Signal()
        m.d.comb += full.eq((head + 1)[: len(head)] == frame)
        # In flip-flops: no byte is taken in the cycle after another, and the program asks a cycle later at the soonest.
        m.d.sync += [self._full.eq(full), room.eq(~full & ~take), self._received.eq(reader != head)]
        with m.If(take):
            m.d.sync += head.eq(head + 1)
        m.d.sync += reader.eq(reading)
        with m.If(loads | put):
            m.d.sync += writer.eq(up_or(loads, reader, writer))
        with m.If(acts[Action.MARK]):
            m.d.sync += frame.eq(reader)
        self._ring_data = read.data

    def _build_work(self, m: Module) -> None:
        m.submodules.work = work = memory.Memory(
            shape=8, depth=WORK_DEPTH, init=self.work, attrs=attributes(Primitive.BLOCK)
        )
        write = work.write_port()
        read = work.read_port()
        acts = self._acts
        in_block = acts[Action.STORE_BLOCK]
        m.d.comb += [
            read.addr.eq(Cat(Mux(self._source[1], self._index, self._operand), self._source == Source.BLOCK)),
            write.en.eq(self._store | acts[Action.STORE_TABLE] | in_block),
            write.addr.eq(Cat(Mux(self._store, self._stored_at, self._index), in_block)),
            write.data.eq(self._a),
        ]
        self._work_data = read.data

    def _build_accumulator(self, m: Module) -> None:
        a, acts, operation = self._a, self._acts, self._operation
        m.submodules.crc = crc = Crc32c()
        m.d.comb += [
            crc.start.eq(acts[Action.CRC_START]),
            crc.valid.eq(acts[Action.PUT] | acts[Action.SUM]),
            crc.exchange.eq(acts[Action.EXCHANGE]),
            crc.data.eq(a),
        ]
        port = Signal(8)
        self._seen = Signal(WIDE_BITS, reset_less=True)
        sources = {
            Port.COUNT_LOW: self._count[:8],
            Port.COUNT_HIGH: self._count[8:],
            Port.VALUE: self.read_values.payload,  # with its sign
            Port.SEEN: self._seen.word_select(self._index[:2], 8),
        }
        with m.Switch(self._operand[:3]):
            for number, source in sources.items():
                with m.Case(number):
                    m.d.comb += port.eq(source)
        # What is there in the first cycle, and what the work memory gives in the second.
        early = Signal(8, reset_less=True)
        from_work = Signal()
        with m.Switch(self._source):
            with m.Case(Source.IMMEDIATE):
                m.d.sync += early.eq(self._operand)
            with m.Case(Source.RING):
                m.d.sync += early.eq(self._ring_data)
            with m.Default():
                m.d.sync += early.eq(port)
        m.d.sync += from_work.eq((self._source != Source.IMMEDIATE) & ~self._source[2])
        masks, loads, differs, low = (Signal(name=name) for name in ("masks", "loads", "differs", "low"))
        right, total = Signal(8), Signal(9)
        m.d.sync += [
            masks.eq(operation == Operation.AND),
            loads.eq(operation == Operation.LOAD),
            differs.eq((operation == Operation.SUB) | (operation == Operation.SBC)),
            low.eq((operation == Operation.SUB) | (operation[0] & operation[1:].any() & self._carry)),
        ]
        m.d.comb += [
            right.eq(Mux(from_work, self._work_data, early) ^ differs.replicate(8)),
            total.eq((Cat(1, a) + Cat(low, right))[1:]),
        ]
        with m.If(self._accumulate & ~masks):
            m.d.sync += a.eq(Mux(loads, right, total))
            with m.If(~loads):
                m.d.sync += self._carry.eq(total[8])
        with m.Elif(self._accumulate | acts[Action.EXCHANGE]):
            m.d.sync += a.eq(Mux(self._accumulate, a & right, crc.low))

    def _build_address(self, m: Module) -> None:
        c, a, acts = self.configuration, self._a, self._acts
        self._address = address = Signal(ADDRESS_BITS, reset_less=True)
        self._kind, self._bank = Signal(range(ACTIVATIONS + 1), reset_less=True), Signal(range(c.simd), reset_less=True)
        outside, self._beyond = Signal(), Signal()
        activations = self._kind == ACTIVATIONS
        steps = acts[Action.STEP] & (~activations | (self._bank == c.simd - 1))
        with m.If(acts[Action.ADDRESS] | steps):
            m.d.sync += address.eq(up_or(acts[Action.ADDRESS], Cat(address[8:], a), address))
        with m.If(acts[Action.KIND]):
            m.d.sync += [self._kind.eq(a), self._bank.eq(0), self._beyond.eq(0)]
        with m.Elif(acts[Action.STEP]):
            m.d.sync += [self._bank.eq(self._bank + 1), self._beyond.eq(self._beyond | outside)]
        with m.Switch(self._kind):
            for kind, words in enumerate([*(region_words(region, c) for region in Region), c.activation_depth]):
                with m.Case(kind):
                    m.d.sync += outside.eq(at_least(address, words))

    def _build_core(self, m: Module) -> None:
        c, a, acts = self.configuration, self._a, self._acts
        data = Signal(max(START_BITS, len(self.write.data)), reset_less=True)
        with m.If(self._from_ring):
            m.d.sync += data.eq(Cat(data[8:], self._ring_data))
        limit = max_activation(c.act_bits)
        above = ~a[7] & at_least(a[:7], limit + 1)
        below = a[7] & ~at_least(a[:7], 128 - limit)
        first = Signal()
        with m.If(acts[Action.KIND]):
            m.d.sync += first.eq(1)
        with m.Elif(self.inputs.valid & self.inputs.ready):
            m.d.sync += first.eq(0)
        with m.If(acts[Action.INPUT]):
            m.d.sync += [
                self.inputs.payload.value.eq(Mux(above, limit, Mux(below, -limit, a.as_signed()))),
                self.inputs.payload.last.eq(~self._count.any()),
            ]
        m.d.comb += [
            self.write.region.eq(self._kind),
            self.write.address.eq(self._address),
            self.write.data.eq(data[len(data) - len(self.write.data) :]),
            self.inputs.payload.word.eq(self._address),
            self.inputs.payload.first.eq(first),
            self.reads.payload.word.eq(self._address),
            self.reads.payload.bank.eq(self._bank),
            *(self.starts.payload[name].eq(value) for name, value in _start(data[len(data) - START_BITS :]).items()),
            self.read_values.ready.eq(self._from_value),
            self.bad_frame.eq(acts[Action.DAMAGED]),
        ]
        offers = {
            Action.WRITE: self.write,
            Action.INPUT: self.inputs,
            Action.START: self.starts,
            Action.READ: self.reads,
        }
        self._pending = Cat(port.valid for port in offers.values()).any()
        for action, port in [*offers.items(), (Action.SEND, self.tx)]:
            with m.If(acts[action]):
                m.d.sync += port.valid.eq(1)
            with m.Elif(port.ready):
                m.d.sync += port.valid.eq(0)
        with m.If(acts[Action.SEND]):
            m.d.sync += self.tx.payload.eq(a)
        if c.cores > 1:
            with m.If(acts[Action.CORE]):
                m.d.sync += self.core.eq(a)

    def _build_counters(self, m: Module) -> None:
        # Which one the index names stands in flip-flops: it has been set an instruction before its count is asked for.
        self._wide = Signal()
        chosen, wide = Value.cast(0), Value.cast(0)
        for register in Register:
            if register >= Register.CYCLES:
                counter = self.counters[register.name.lower()]
                named = Signal(name=f"names_{register.name.lower()}")
                m.d.sync += named.eq(self._index[2:] == register)
                chosen |= counter & named.replicate(len(counter))
                if len(counter) > NARROW_BITS:
                    wide |= named
        with m.If(self._acts[Action.LATCH]):
            m.d.sync += [self._seen.eq(chosen), self._wide.eq(wide)]
        assert REGISTER_COUNT <= 1 << 6

    def _build_conditions(self, m: Module) -> None:
        c, a = self.configuration, self._a
        m.submodules.trits = trits = BlockDecoder(code=c.weight_code, count=c.weight_code.trits_per_byte)
        m.d.comb += trits.i.eq(a)
        holds = {
            Condition.ALWAYS: 1,
            Condition.ZERO: a == 0,
            Condition.CARRY: self._carry,
            Condition.COUNT: self._count.any(),
            Condition.LENGTH: self._length.any(),
            Condition.RECEIVED: self._received,
            Condition.FULL: self._full,
            Condition.SENT: ~self.tx.valid,
            Condition.PENDING: self._pending,
            Condition.VALUE: self.read_values.valid,
            Condition.BEYOND: self._beyond,
            Condition.ILLEGAL: (self._kind == Region.WEIGHTS) & trits.illegal,
            Condition.RUNS: Mux(a[7], self.running.any(), self.running.bit_select(self.core, 1))
            if c.cores > 1
            else self.running,
            Condition.ALIGNED: self._index[:2] == 0,
            Condition.UNSEEN: self._index[:2] != Mux(self._wide, 3, 2),
            Condition.CALL: 1,
        }
        for upper in range(4):
            chosen = Signal(name=f"chosen_{upper}")
            m.d.sync += self._holds[upper].eq(chosen)
            with m.Switch(self._condition[:2]):
                for lower in range(4):
                    with m.Case(lower):
                        m.d.comb += chosen.eq(holds[Condition(upper << 2 | lower)])


def _start(bits: Value) -> dict[str, Value]:
    """The arguments of START as the core takes them."""
    return {"entry": bits[:16], "offset": bits[16:32], "ops": bits[40:48]}
