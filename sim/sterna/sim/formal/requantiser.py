"""Requantiser: groups of sums go through five stages, planes are summed on the way."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data

from sterna.gateware.compute.requantiser import STAGES, Requantiser, group_flags
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.order import Follower
from sterna.sim.formal.property import Property, always, constant, free, given, held, implies, population, some
from sterna.spec.arithmetic import SUM_BITS
from sterna.spec.configuration import Configuration

CONFIGURATION = Configuration(
    name="requantiser", simd=1, pe=4, act_bits=6, acc_bits=8, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=16,
)  # fmt: skip


class RequantiserHandOver(Property):
    """Every group of an output's last plane comes out once, in order, with its flags, and with the sum over the planes
    of its own lane; nothing else comes out, under any stall.

    The arithmetic is left out: parameters are m = 1, s = 0, b = 0, so that what comes out is the clamped sum. Groups
    are given in the order in which capture gives them.
    """

    depth = 2

    def __init__(self, requantiser: Any = Requantiser) -> None:
        super().__init__()
        self.requantiser = requantiser(configuration=CONFIGURATION)

    def build(self, m: Module) -> None:
        unit, c = self.requantiser, CONFIGURATION
        count = c.pe // c.requantisers
        m.submodules.requantiser = opened = Opened(unit)
        groups, group, activations = unit.groups, unit.groups.payload, unit.activations
        free(m, groups.valid, group, activations.ready)
        constant(m, unit.first_parameter, unit.tail_groups, unit.minimum, unit.maximum)
        m.d.comb += unit.parameters.data[0].multiplier.eq(1)
        accepted = groups.valid & groups.ready

        # What capture gives: groups 0, 1, …, with the output's tags beside each.
        due = Signal(range(count))
        with m.If(accepted):
            m.d.sync += due.eq(due + 1)
        given(m, held(m, groups, "groups"))
        given(m, group.group == due, group.first == (due == 0), group.last == (due == count - 1))

        # The sum of one lane over the planes.
        lane = some(m, range(count), "lane")
        total = Signal(signed(SUM_BITS))
        with m.If(accepted & (due == lane)):
            m.d.sync += total.eq(Mux(group.plane_first, 0, total) + group.sums[0])

        item = data.StructLayout({"group": range(count), "flags": group_flags()})
        arriving, leaving = Signal(item), activations.valid & activations.ready
        tags, flags = group.tags, arriving.flags
        m.d.comb += [
            arriving.group.eq(due),
            flags.write.eq(~tags.last_tile | (due <= unit.tail_groups)),
            flags.pixel_end.eq(tags.last_tile & group.last),
            flags.op_end.eq(tags.op_last & group.last),
            flags.row_end.eq(tags.row_end),
            flags.pool_first.eq(tags.pool_first),
            flags.pool_last.eq(tags.pool_last),
            flags.pool_column_end.eq(tags.pool_column_end),
        ]
        follower = Follower(m, item=arriving, arriving=accepted & tags.plane_last, leaving=leaving, capacity=STAGES)
        followed = data.View(item, follower.item)
        value = activations.payload.values[0]
        clamped = Mux(total < unit.minimum, unit.minimum, Mux(total > unit.maximum, unit.maximum, total))
        always(m, held(m, activations, "activations"), groups.ready == activations.ready)
        always(m, implies(follower.leaves, activations.payload.flags == followed.flags))
        # An answer stands at the end while the lane's next sum comes in.
        answer = Signal.like(value)
        always(m, implies(follower.leaves & (followed.group == lane), value == answer))

        # Where they are: what is valid in a stage came one after the other.
        stage = data.StructLayout({"group": group.group.shape(), "plane_first": 1, "plane_last": 1,
                                   "flags": group_flags()})  # fmt: skip
        valid = [opened[f"valid_{k}"] for k in range(STAGES)]
        at = [data.View(stage, opened[f"stage_{k}"]) for k in range(STAGES)]
        last = [valid[k] & at[k].plane_last for k in range(STAGES)]
        always(m, *(implies(valid[k], at[k].plane_last) for k in (3, 4)), follower.inside == population(last))
        for k in range(STAGES):
            younger = population([*valid[:k], 0]) if k else 0
            if k < STAGES - 1:
                always(m, implies(valid[k], at[k].group == (due - 1 - younger)[:2]))
            older = population(last[k + 1 :]) if k < STAGES - 1 else 0
            here = follower.following & last[k] & (follower.ahead == older)
            always(m, implies(here, (at[k].flags == followed.flags) & (at[k].group == followed.group)))
        found = [
            last[k] & (follower.ahead == (population(last[k + 1 :]) if k < STAGES - 1 else 0)) for k in range(STAGES)
        ]
        always(m, implies(follower.following, sum(found[1:], found[0]) != 0))

        # Where the lane's sum is: in the stage that holds its group, else in the memory of sums.
        mine = [valid[k] & (at[k].group == lane) for k in range(STAGES)]
        names = {"accumulated": "accumulated_0", "product": "product_0_0", "addend": "addend_0"}
        signal = {name: opened[path].as_signed() for name, path in names.items()}
        stored = opened.word("partial_sums.low.memory", lane).as_signed()
        before = Mux(at[0].plane_first, 0, opened["partial_sums.read__data"].as_signed())
        always(m, opened["shift_0_0"] == 0, opened["shift_0_1"] == 0)
        always(m, implies(mine[0], (signal["accumulated"] + before)[:SUM_BITS] == total.as_unsigned()))
        always(m, implies(mine[1], (signal["product"] + signal["addend"])[:SUM_BITS] == total.as_unsigned()))
        always(m, implies(mine[2], opened["total"].as_signed() == total))
        near, limit = opened["shifted_0"].as_signed(), 1 << (c.act_bits - 1)
        beyond = (total < -limit) | (total >= limit)
        always(m, implies(mine[3], (opened["beyond_0"] == beyond) & (opened["negative_0"] == (total < 0))))
        always(m, implies(mine[3] & ~beyond, near == total), implies(mine[4], value == answer))
        with m.If(mine[3] & groups.ready):
            m.d.sync += answer.eq(clamped)
        always(m, implies(~(mine[0] | mine[1] | mine[2]), stored == total))
