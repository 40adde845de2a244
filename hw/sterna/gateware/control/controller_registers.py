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


def most_per_cycle(register: Register, simd: int, cores: int = 1) -> int:
    """By how much a counter rises in a cycle at most."""
    if register < Register.CYCLES:  # those of frames
        return 1
    each = {Register.ISSUED: simd, Register.STORED: CHUNK * simd, Register.POSITIONS: CHUNK * simd}
    return cores * each.get(register, 1)


class RegisterFile(wiring.Component):
    """Reads any register of ``sterna.spec.registers``, exactly as it stands.

    All lie in block RAM as pairs of 16-bit halves; constants are its initial contents. Only the low bits of the
    counters are looked at, of each so few that it does not come round between two looks; the bits above are dropped by
    synthesis, in the counters too. A step takes one register: by as much as a counter has moved on from the low bits of
    its total, the total does; so a reset moves totals by any amount. Steps go round all counters for ever; to read a
    register is to have its step next.

    Latency: 3…9 cycles from ``ask`` to ``done``. Flow control: ``ask`` and ``register`` hold until ``done``. Bad input:
    numbers of no register read anything. Cost at simd 4: 150 LUT4, 31 FF, 1 EBR on iCE40.

    Members
    -------
    counters, good_frames, bad_frames
        Free-running counters. No one may rise by more than ``most_per_cycle``.
    state : ``In(State)``
        Register STATE.
    register : ``In(5)``
        Its number.
    ask : ``In(1)``
        To read it.
    half : ``Out(16)``
        With ``low`` the register's low half, with ``done``, a cycle later, its high one.
    """

    def __init__(self, *, configuration: Configuration, build_id: int):
        self.configuration = configuration
        self.build_id = build_id
        c = configuration
        self._bits = {r: (most_per_cycle(r, c.simd, c.cores) * _ROUND_CYCLES).bit_length() for r in _COUNTERS}
        assert max(self._bits.values()) <= _HALF
        super().__init__({
            "counters": In(counters()),
            "good_frames": In(32),
            "bad_frames": In(32),
            "state": In(max(State).bit_length()),
            "register": In(_NUMBER_BITS),
            "ask": In(1),
            "low": Out(1),
            "done": Out(1),
            "half": Out(_HALF),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.totals = totals = memory.Memory(
            shape=_HALF, depth=2 << _NUMBER_BITS, init=self._contents(), attrs={"no_rw_check": 1}
        )
        read, write = totals.read_port(), totals.write_port()

        asked = Signal()  # this step was asked for
        number = Signal(_NUMBER_BITS, init=_COUNTERS[0])
        turn = Signal(_NUMBER_BITS, init=_COUNTERS[1])  # that follows in the round
        high = Signal()
        seen, mask = self._seen(m, number)
        moved = Signal(len(seen))  # from the total's low bits to the counter's
        carry = Signal()
        total = Signal(_HALF + 1)
        state = Signal.like(self.state)
        m.d.comb += [
            read.addr.eq(Cat(high, number)),
            write.addr.eq(Cat(high, number)),
            moved.eq((seen - read.data) & mask),
            total.eq((Cat(1, read.data) + Cat(carry, moved))[1:]),
            write.data.eq(total),
            self.half.eq(total | state),
        ]

        with m.FSM():
            with m.State("READ LOW"):
                m.d.sync += state.eq(Mux(number == Register.STATE, self.state, 0))
                m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [write.en.eq(1), read.addr[0].eq(1), self.low.eq(asked & self.ask)]
                m.d.sync += [carry.eq(total[_HALF]), mask.eq(0), state.eq(0)]
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [high.eq(1), write.en.eq(1), read.en.eq(0), self.done.eq(asked & self.ask)]
                m.d.sync += [carry.eq(0), asked.eq(0), number.eq(turn)]
                with m.If(self.ask & ~asked):
                    m.d.sync += [asked.eq(1), number.eq(self.register)]
                with m.Else():
                    m.d.sync += turn.eq(Mux(turn == _COUNTERS[-1], _COUNTERS[0], turn + 1))
                m.next = "READ LOW"
        return m

    def _seen(self, m: Module, number: Signal) -> tuple[Signal, Signal]:
        """The low bits of the counter whose number stands, a cycle later, and which of them count."""
        seen, mask = Signal(max(self._bits.values())), Signal(max(self._bits.values()))
        sources = {Register.GOOD_FRAMES: self.good_frames, Register.BAD_FRAMES: self.bad_frames}
        m.d.sync += mask.eq(0)
        with m.Switch(number):
            for register, bits in self._bits.items():
                source = sources[register] if register in sources else getattr(self.counters, register.name.lower())
                with m.Case(register):
                    m.d.sync += [seen.eq(source[:bits]), mask.eq((1 << bits) - 1)]
        return seen, mask

    def _contents(self) -> list[int]:
        """The memory at power-up."""
        digest = int.from_bytes(self.configuration.digest, "little")
        constants = {
            Register.MAGIC: MAGIC,
            Register.FORMAT: FORMAT_VERSION,
            Register.DIGEST_LOW: digest,
            Register.DIGEST_HIGH: digest >> 32,
            Register.BUILD_LOW: self.build_id,
            Register.BUILD_HIGH: self.build_id >> 32,
        }
        return [
            constants.get(register, 0) >> _HALF * part & ((1 << _HALF) - 1)
            for register in Register
            for part in range(2)
        ]
