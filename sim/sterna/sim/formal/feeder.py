"""Feeder: which positions of the chunks are issued, with which addresses, and where outputs end."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data

from sterna.gateware.compute.feeder import Feeder, all_ready
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.order import Follower
from sterna.sim.formal.property import Property, always, constant, free, given, implies, population, some
from sterna.spec.configuration import CHUNK, Configuration

CONFIGURATION = Configuration(
    name="feeder", simd=1, pe=4, weight_depth=32, mask_depth=16, activation_depth=32, parameter_depth=16,
)  # fmt: skip


class FeederIssues(Property):
    """Every position of every chunk whose activation and block are both there (or whose kind of skip is off) is issued
    once, chunk by chunk and lowest first, with the word of its activation and the address of its block; no other is.
    An output's end is met after its last position and before the next output's first; so under any stall, with any
    masks, windows that begin at any word, and each combination of skips.
    """

    depth = 2

    def __init__(self, feeder: Any = Feeder) -> None:
        super().__init__()
        self.feeder = feeder(configuration=CONFIGURATION)

    def build(self, m: Module) -> None:
        f = self.feeder
        m.submodules.feeder = opened = Opened(f)
        chunk = f.chunk
        free(m, chunk, f.take, f.activation_mask, f.block_mask, f.step, f.advance)
        constant(m, f.first_block, f.no_activation_skip, f.no_block_skip)
        ready, advanced = all_ready([f], f.step), Signal()
        given(m, implies(f.take, ready), implies(f.advance, f.complete))
        m.d.comb += advanced.eq(f.advance & f.step)

        # What has to be issued of the chunk that comes.
        word_bits, block_bits = len(chunk.word), len(f.block)
        before = Signal(CHUNK)  # the activation mask of the word before
        end = Signal(block_bits)  # of the blocks of the chunks that came
        active = (Cat(before, f.activation_mask) >> chunk.word[:3])[:CHUNK]
        shifted = Mux(chunk.word[:3] == 0, f.activation_mask, active)
        begin = Mux(chunk.rewind, f.first_block, end)
        wanted = Signal(CHUNK)
        m.d.comb += wanted.eq(
            (shifted | f.no_activation_skip.replicate(CHUNK))
            & (f.block_mask | (chunk.positions & f.no_block_skip.replicate(CHUNK)))
        )
        whole = f.take & ~chunk.half
        with m.If(f.take):
            m.d.sync += before.eq(f.activation_mask)
        with m.If(whole):
            m.d.sync += end.eq(begin + population(f.block_mask))

        # One position of the chunks that come, and how many issues and ends go before it.
        position = some(m, range(CHUNK), "position")
        below = (1 << position) - 1
        issue = data.StructLayout({"word": word_bits, "block": block_bits, "present": 1})
        arriving = Signal(issue)
        lower = Signal(range(CHUNK))
        m.d.comb += [
            lower.eq(population((wanted & below)[:CHUNK])),
            arriving.word.eq(chunk.word + position),
            arriving.block.eq(begin + population((f.block_mask & below)[:CHUNK])),
            arriving.present.eq((shifted & f.block_mask).bit_select(position, 1)),
        ]
        arrived = Signal(range(CHUNK + 1))
        m.d.comb += arrived.eq(Mux(whole, population(wanted), 0))
        can = whole & wanted.bit_select(position, 1)
        issues = Follower(m, item=arriving, arriving=arrived, place=Mux(can, lower, CHUNK), leaving=f.step & f.issuing,
                          capacity=2 * CHUNK)  # fmt: skip
        followed = data.View(issue, issues.item)
        ends = Follower(m, item=0, arriving=whole & chunk.last, leaving=advanced, capacity=2)

        ends_before = Signal(range(3))  # of the issue that is followed
        with m.If(issues.begins):
            m.d.sync += ends_before.eq(ends.inside - advanced)
        with m.Elif(advanced):
            m.d.sync += ends_before.eq(ends_before - 1)
        always(m, implies(issues.leaves, ends_before == 0))
        always(m, implies(issues.following & ~issues.leaves & advanced, ends_before != 0))
        empty = (issues.inside == 0) & (ends.inside == 0)
        always(m, implies(f.step, f.issuing | f.complete | empty), implies(empty, ready))

        # The addresses come a cycle after the decision and stand until the next.
        due, none = Signal(), Signal()
        expected = Signal(issue)
        with m.If(f.step):
            m.d.sync += [due.eq(issues.leaves), none.eq(~f.issuing), expected.eq(issues.item)]
        always(m, implies(due, f.read & (f.word == expected.word) & (f.present == expected.present)))
        always(m, implies(due, f.block == expected.block), implies(none, ~f.read))

        # Where they are: in the chunk that is current, and in the one behind it.
        entry = data.StructLayout({"mask": CHUNK, "blocks": CHUNK, "live": CHUNK, "pointer": block_bits,
                                   "word": word_bits, "last": 1})  # fmt: skip
        current, queued = (data.View(entry, opened[name]) for name in ("current", "queued"))
        holding, waiting = opened["holding"], opened["waiting"]
        here, behind = Mux(holding, population(current.mask), 0), Mux(waiting, population(queued.mask), 0)
        always(m, implies(waiting, holding & (queued.last | queued.mask.any())))
        always(m, implies(holding, current.last | current.mask.any()))
        always(m, issues.inside == here + behind, ends.inside == (holding & current.last) + (waiting & queued.last))
        always(m, opened["after"] == end, opened["lower"] == before)
        followed = data.View(issue, issues.item)
        in_current = issues.ahead < here
        for chosen, held, ahead, ends_ahead in (
            (in_current, current, issues.ahead, 0), (~in_current, queued, issues.ahead - here, holding & current.last),
        ):  # fmt: skip
            with m.If(issues.following & chosen):
                always(m, held.mask.bit_select(position, 1), population((held.mask & below)[:CHUNK]) == ahead)
                always(m, (held.word + position)[:word_bits] == followed.word)
                always(m, (held.pointer + population((held.blocks & below)[:CHUNK]))[:block_bits] == followed.block)
                always(m, held.live.bit_select(position, 1) == followed.present, ends_before == ends_ahead)
