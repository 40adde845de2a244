"""Receiver: which frames it keeps, where it puts their bytes, and that it never stops for ever."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from sterna.gateware.link.receiver import RING_BYTES, SPARE, FrameReceiver
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, held, implies, some
from sterna.spec.frames import CRC_BYTES, MAX_CONTENT

GAP_LOW, GAP_HIGH, TAKE, LENGTH_LOW, LENGTH_HIGH = range(5)
"""States of the receiver's writing side, as Amaranth numbers them: in the order in which they are named."""
LONGEST = MAX_CONTENT + CRC_BYTES
PREFIX = 2


class ReceiverFrames(Property):
    """A frame is kept if its stuffing is right, its length is in range and its CRC, over all its bytes and
    no others, is right; else it is dropped, counted, and the next begins where it began. Kept bytes lie in the ring in
    their order, behind the length; what comes later never overwrites what was not read, and nothing of an open frame
    is read.
    """

    depth = 2

    def __init__(self, receiver: Any = FrameReceiver) -> None:
        super().__init__()
        self.receiver = receiver()

    def build(self, m: Module) -> None:
        receiver = self.receiver
        m.submodules.receiver = opened = Opened(receiver)
        free(m, receiver.i.valid, receiver.i.payload, receiver.o.ready)
        given(m, held(m, receiver.i, "i"))
        committed, state = opened["committed"], opened["fsm_state"]
        byte, valid, ready = (opened[name] for name in ("unstuffed.o__payload", "unstuffed.o__valid", "byte_ready"))
        data, end, error = byte[:8], byte[8], byte[9]

        # The open frame: its bytes, one above the longest standing for all that are longer. Those of a frame that is
        # not too long go into the CRC, and nothing else does.
        count, fresh = Signal(range(LONGEST + 3)), Signal(init=1)
        good = opened["crc.matched"] & (count >= 2 + CRC_BYTES) & (count <= LONGEST) & ~error
        taken = valid & ready
        publishing = (state == LENGTH_LOW) | (state == LENGTH_HIGH)
        kept, dropped, length = Signal(32), Signal(32), Signal.like(count)
        with m.If(taken & end):
            m.d.sync += count.eq(0)
            with m.If(good):
                m.d.sync += [kept.eq(kept + 1), length.eq(count)]
            with m.Else():
                m.d.sync += dropped.eq(dropped + 1)
        with m.Elif(taken):
            m.d.sync += count.eq(Mux(count == LONGEST + 2, count, count + 1))
        m.d.sync += fresh.eq(opened["clear"] | (fresh & ~opened["valid"]))
        moved = Signal()  # length and CRC, in the cycle before
        m.d.sync += moved.eq(opened["clear"] | opened["valid"])
        in_range = (opened["length"] >= 2) & (opened["length"] <= MAX_CONTENT)
        always(m, moved | (opened["good"] == (opened["crc.matched"] & in_range)))
        always(m, implies(moved, (state == GAP_LOW) | (state == GAP_HIGH) | ~valid))
        always(
            m, opened["valid"] == (taken & ~end & (count <= LONGEST)), implies(opened["valid"], opened["data"] == data)
        )
        always(
            m,
            implies(opened["clear"], ~opened["valid"]),
            implies((count == 0) & ~publishing & (state != GAP_LOW), fresh),
        )
        always(m, receiver.bad_frames == dropped, receiver.good_frames == (kept - publishing)[:32])

        before = Signal.like(committed)
        published = Signal()
        m.d.sync += [before.eq(committed), published.eq(taken & end & good)]
        always(m, committed == (before + Mux(published, PREFIX + length, 0))[: len(committed)])

        # One byte of the open frame, and one of those that were kept, in the ring.
        index = some(m, range(LONGEST), "index")
        given(m, index < LONGEST)
        value = Signal(8)
        with m.If(taken & ~end & (count == index)):
            m.d.sync += value.eq(data)
        bits = len(committed)
        start = Mux(publishing, committed - PREFIX - length, committed)[:bits]
        at_index = opened.word("ring", (start + PREFIX + index)[:bits])
        stored = Mux(publishing, length, count)
        always(m, implies(index < stored, at_index == value))
        prefix = [opened.word("ring", (committed - PREFIX - length + k)[:bits]) for k in range(PREFIX)]
        content = (length - CRC_BYTES)[:16]
        always(m, implies(state == LENGTH_HIGH, prefix[0] == content[:8]))
        after_high = Signal()
        m.d.sync += after_high.eq(state == LENGTH_HIGH)
        always(m, implies(after_high, Cat(*prefix) == content))

        flow_invariants(m, opened, count, length)


def flow_invariants(m: Module, opened: Opened, count: Value, length: Value) -> None:
    """Where the pointers are: reader ≤ frame's start ≤ writer, around the ring, which is never full."""
    reader, writer, committed = opened["reader"], opened["writer"], opened["committed"]
    state, bits = opened["fsm_state"], len(reader)
    stored = Mux(count > LONGEST + 1, LONGEST + 1, count)
    gap = Mux(state == GAP_LOW, 0, Mux(state == GAP_HIGH, 1, PREFIX + stored))
    publishing = (state == LENGTH_LOW) | (state == LENGTH_HIGH)
    always(m, state <= LENGTH_HIGH, count <= LONGEST + 2, implies(state != TAKE, count == 0))
    always(m, implies(opened["room"], opened["spare"] != 0))
    counted = state != GAP_LOW  # the counts begin again there
    always(m, implies(counted & ~publishing, opened["too_long"] == (stored == LONGEST + 1)))
    with m.If(publishing):
        start = (committed - PREFIX - length)[:bits]
        always(m, length >= 2 + CRC_BYTES, length <= LONGEST, opened["length"] == (length - CRC_BYTES)[:10])
        always(m, writer == (start + (state == LENGTH_HIGH))[:bits])
        always(m, (start - reader)[:bits] + PREFIX + length < RING_BYTES, implies(opened["there"], reader != start))
    with m.Else():
        always(m, implies(opened["there"], reader != committed))
        always(m, writer == (committed + gap)[:bits])
        always(m, implies(counted, opened["length"] == (stored - CRC_BYTES)[:10]))
        always(m, (committed - reader)[:bits] + gap < RING_BYTES)


class ReceiverFlow(Property):
    """While its taker takes all, the receiver never keeps the host waiting for more than ``patience`` cycles, whatever
    came before and however long a frame is."""

    depth = 2

    def __init__(self, receiver: Any = FrameReceiver, *, patience: int = 19) -> None:
        super().__init__()
        self.patience = patience
        self.receiver = receiver()

    def build(self, m: Module) -> None:
        receiver = self.receiver
        m.submodules.receiver = opened = Opened(receiver)
        free(m, receiver.i.valid, receiver.i.payload, receiver.o.ready)
        given(m, held(m, receiver.i, "i"))
        byte, valid, ready = (opened[name] for name in ("unstuffed.o__payload", "unstuffed.o__valid", "byte_ready"))
        count, length = Signal(range(LONGEST + 3)), Signal(range(LONGEST + 3))
        with m.If(valid & ready):
            m.d.sync += count.eq(Mux(byte[8], 0, Mux(count == LONGEST + 2, count, count + 1)))
            with m.If(byte[8]):
                m.d.sync += length.eq(count)
        flow_invariants(m, opened, count, length)

        waits = Signal(range(32))
        m.d.sync += waits.eq(Mux(receiver.i.valid & ~receiver.i.ready & receiver.o.ready, waits + 1, 0))
        always(m, waits <= self.patience)
        # Each state passes on when there is room, which is so many cycles away while the reader goes on.
        state, full, there, loaded = (opened[name] for name in ("fsm_state", "unstuffed.full", "there", "loaded"))
        reads = Mux(there & ~loaded, 2, 3) + Mux(opened["spare"] == 0, 2, 0)  # of each byte: two cycles
        away = Mux(opened["room"], 0, Mux((opened["spare"] >= SPARE) & ~opened["recall"], 1, reads))
        with m.If(full):  # else the host waits no longer
            always(m, state != LENGTH_LOW, implies(state == LENGTH_HIGH, waits == 0))
            for at, most in ((GAP_LOW, 6), (GAP_HIGH, 12), (TAKE, 18)):
                always(m, implies(state == at, waits <= most - away))
