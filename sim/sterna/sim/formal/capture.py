"""Capture: sums of an output go in at once and come out in groups."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal

from sterna.gateware.compute.capture import Capture
from sterna.gateware.control.tags import output_tags
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, held, implies, some
from sterna.spec.configuration import Configuration

CONFIGURATION = Configuration(
    name="capture", simd=2, pe=8, requantisers=2, acc_bits=8, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=16,
)  # fmt: skip


class CaptureHandOver(Property):
    """Every lane's sum of every output that is loaded comes out once, in its group, with the output's tags and whether
    a plane or a pixel ended with the output before; groups come in order and hold until they are taken."""

    depth = 2

    def __init__(self, capture: Any = Capture) -> None:
        super().__init__()
        self.capture = capture(configuration=CONFIGURATION)

    def build(self, m: Module) -> None:
        capture, c = self.capture, CONFIGURATION
        count = c.pe // c.requantisers
        m.submodules.capture = opened = Opened(capture)
        free(m, capture.load, capture.sums, capture.tags, capture.groups.ready)
        groups, payload = capture.groups, capture.groups.payload

        # An output is inside from its load until its last group is taken; `group` is the next to come.
        inside, group = Signal(), Signal(range(count))
        lane = some(m, range(c.pe), "lane")
        value, tags = Signal(c.acc_bits), Signal(output_tags(), init={"plane_last": 1, "last_tile": 1})
        begins = Signal(2)  # a plane's first, a pixel's first
        last = groups.valid & groups.ready & (group == count - 1)
        loaded = capture.load & capture.ready
        with m.If(groups.valid & groups.ready):
            m.d.sync += group.eq(group + 1)
        with m.If(last):
            m.d.sync += inside.eq(0)
        with m.If(loaded):
            m.d.sync += [inside.eq(1), value.eq(capture.sums[lane]), tags.eq(capture.tags)]
            m.d.sync += begins.eq(Cat(tags.plane_last, tags.plane_last & tags.last_tile))
        always(m, groups.valid == inside, capture.ready == (~inside | last))
        always(m, held(m, groups, "groups"))
        always(m, payload.tags.as_value() == tags.as_value(), implies(inside, payload.group == group))
        always(m, implies(inside, Cat(payload.plane_first, payload.rewind) == begins))
        always(m, implies(inside, (payload.first == (group == 0)) & (payload.last == (group == count - 1))))
        mine = inside & (group == lane // c.requantisers)
        always(m, implies(mine, payload.sums[lane % c.requantisers].as_unsigned() == value))

        # Where the sum is: lanes move down by a group with each that leaves.
        place = lane - group * c.requantisers
        always(m, opened["group"] == group, opened["last"] == (group == count - 1), implies(~inside, group == 0))
        always(m, implies(inside & (place >= 0), opened["held"].word_select(place[: len(lane)], c.acc_bits) == value))
