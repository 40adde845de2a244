"""The registers that READ returns: constants, state, and counters that block RAM makes 32 bits wide."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.interfaces import counters
from sterna.spec.configuration import CHUNK, FORMAT_VERSION, Configuration
from sterna.spec.registers import MAGIC, REGISTER_COUNT, Register, State

_COUNTERS = [register for register in Register if register >= Register.GOOD_FRAMES]
_STEP_CYCLES = 3
_ROUND_CYCLES = 2 * _STEP_CYCLES * (len(_COUNTERS) + 1)
"""No counter waits longer than this for its turn: after each step that was asked for, one of the round follows."""
_HALF = 16
_NUMBER_BITS = (REGISTER_COUNT - 1).bit_length()


class RegisterFile(wiring.Component):
    """Reads any register of ``sterna.spec.registers``, exactly as it stands.

    Only the low bits of the counters are looked at, so few that no counter comes round between two looks; the bits
    above are dropped by synthesis, in the counters too. The totals lie in block RAM as pairs of 16-bit halves. A step
    takes one counter: its bits replace the low ones of the total, and if that made those smaller, one is added to the
    rest. Steps go round all counters for ever; to read one is to have its step next. Against counters and multiplexers
    of 32 bits this saves about 130 LUT4 here and 190 in the core on iCE40.

    Latency: 3…9 cycles from ``ask`` to ``done``. Flow control: ``ask`` and ``register`` hold until ``done``. Bad input:
    numbers of no register read anything. Counters start at zero with the ones they follow, whatever the RAM holds.
    Cost at simd 4: 269 LUT4, 42 FF, 1 EBR on iCE40.

    Members
    -------
    counters, good_frames, bad_frames
        Free-running counters. No one may rise by more than ``CHUNK * simd`` per cycle.
    state : ``In(State)``
        Register STATE.
    register : ``In(5)``
        Its number.
    ask : ``In(1)``
        To read it.
    done : ``Out(1)``
        The register is in ``value`` from the next cycle on.
    shift : ``In(1)``
        Moves ``value`` down a byte.
    value : ``Out(32)``
        The register, until it is shifted.
    """

    def __init__(self, *, configuration: Configuration, build_id: int):
        self.configuration = configuration
        self.build_id = build_id
        self.seen_bits = (CHUNK * configuration.simd * _ROUND_CYCLES).bit_length()
        assert self.seen_bits <= _HALF
        super().__init__({
            "counters": In(counters()),
            "good_frames": In(32),
            "bad_frames": In(32),
            "state": In(max(State).bit_length()),
            "register": In(_NUMBER_BITS),
            "ask": In(1),
            "done": Out(1),
            "shift": In(1),
            "value": Out(32),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.totals = totals = memory.Memory(
            shape=_HALF, depth=2 << _NUMBER_BITS, init=[], attrs={"no_rw_check": 1}
        )
        read, write = totals.read_port(), totals.write_port()

        fresh = Signal(init=1)  # the first round: what the RAM holds counts as zero
        asked = Signal()  # this step was asked for
        turn = Signal(_NUMBER_BITS, init=_COUNTERS[0])  # of the round
        number = Signal(_NUMBER_BITS)
        high = Signal()
        m.d.comb += [
            number.eq(Mux(asked, self.register, turn)),
            read.addr.eq(Cat(0, number)),
            read.en.eq(~high),
            write.data.eq(self._sum(m, read.data, number, high, fresh)),
        ]

        with m.FSM():
            with m.State("READ LOW"):
                m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [write.en.eq(1), write.addr.eq(Cat(0, number)), read.addr.eq(Cat(1, number))]
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [high.eq(1), write.en.eq(1), write.addr.eq(Cat(1, number)), self.done.eq(asked)]
                m.d.sync += asked.eq(self.ask & ~asked & ~fresh)
                with m.If(~asked):
                    m.d.sync += turn.eq(turn + 1)
                    with m.If(turn == _COUNTERS[-1]):
                        m.d.sync += [turn.eq(_COUNTERS[0]), fresh.eq(0)]
                m.next = "READ LOW"

        # `value` takes both halves as they pass; what passes while nobody asked does no harm before `done`.
        half = Mux(number < _COUNTERS[0], self._fixed(m, number, high), write.data)
        with m.If(self.shift):
            m.d.sync += self.value.eq(self.value >> 8)
        with m.Elif(asked & write.en):
            m.d.sync += self.value.word_select(high, _HALF).eq(half)

        return m

    def _sum(self, m: Module, before: Signal, number: Signal, high: Signal, fresh: Signal) -> Signal:
        """The half of the total that is written: the low one takes the counter's bits, both take a carry."""
        bits = self.seen_bits
        seen = Signal(bits)
        sources = {Register.GOOD_FRAMES: self.good_frames, Register.BAD_FRAMES: self.bad_frames}
        with m.Switch(number):
            for register in _COUNTERS:
                source = sources[register] if register in sources else getattr(self.counters, register.name.lower())
                with m.Case(register):
                    m.d.comb += seen.eq(source[:bits])
        came_round = Signal()
        carry = Signal()
        total = Signal(_HALF + 1)
        m.d.comb += [
            came_round.eq(seen < before[:bits]),
            total.eq(before + Mux(high, carry, came_round << bits)),
        ]
        m.d.sync += carry.eq(total[_HALF] & ~fresh)
        written = Signal(_HALF)
        m.d.comb += written.eq(Mux(fresh, 0, total))
        with m.If(~high):
            m.d.comb += written[:bits].eq(seen)
        return written

    def _fixed(self, m: Module, number: Signal, high: Signal) -> Signal:
        """A half of a register that is no counter."""
        digest = int.from_bytes(self.configuration.digest, "little")
        mask = (1 << 32) - 1
        constants = {
            Register.MAGIC: MAGIC,
            Register.FORMAT: FORMAT_VERSION,
            Register.DIGEST_LOW: digest & mask,
            Register.DIGEST_HIGH: digest >> 32,
            Register.BUILD_LOW: self.build_id & mask,
            Register.BUILD_HIGH: self.build_id >> 32,
        }
        half = Signal(_HALF)
        with m.Switch(Cat(high, number[: Register.STATE.bit_length()])):
            for register, constant in constants.items():
                for part in range(2):
                    with m.Case(2 * register + part):
                        m.d.comb += half.eq(constant >> _HALF * part & ((1 << _HALF) - 1))
            with m.Case(2 * Register.STATE):
                m.d.comb += half.eq(self.state)
        return half
