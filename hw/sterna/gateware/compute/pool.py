"""Max-pooling: the pixels of a window reduced to their maximum on the way to memory."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.arithmetic import up_or
from sterna.gateware.compute.requantiser import activation_group
from sterna.gateware.memory.packer import packed_run
from sterna.gateware.memory.ram import Ram
from sterna.spec.configuration import Configuration


class MaxPool(wiring.Component):
    """Running maxima of one row of pooling windows; a window's last pixel goes on, the others stay here.

    Pixels come in raster order, so a row of windows is held at once: ``pool_depth`` groups. Windows do not overlap.
    Without pooling every pixel is its window's first and last, and nothing is held.
    Latency: two cycles. Throughput: one group a cycle, but a group comes again four cycles later at the soonest: a
    pixel has four or more. Flow: moves only while ``run`` is ready, which may not wait for what comes.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "activations": In(stream.Signature(activation_group(c))),
            "keeps_zeros": In(1),  # zeros are written as what is not zero
            "run": Out(stream.Signature(packed_run(c, c.requantisers))),
            "coming": Out(1),  # `run` may be valid in the next cycle
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        group = self.activations.payload
        flags = group.flags
        values = data.ArrayLayout(group.values[0].shape(), c.requantisers)
        m.submodules.maxima = maxima = Ram(shape=values, depth=c.pool_depth, primitive=c.pool_in)

        # Address: goes on through a pixel's groups, and back to the window's first unless its column ends.
        index = Signal((c.pool_depth - 1).bit_length())
        base = Signal.like(index)
        opening = Signal()  # the next group is the first of its window
        go = Signal()
        row_end = flags.row_end | flags.op_end
        back_to_base = flags.pixel_end & ~flags.pool_column_end
        with m.If(self.activations.valid & go):
            m.d.sync += opening.eq(flags.pixel_end & (flags.pool_column_end | row_end))
            with m.If(opening):
                m.d.sync += base.eq(index)
            with m.If(flags.write | back_to_base):
                m.d.sync += index.eq(up_or(back_to_base, base, index))
        with m.If(self.activations.valid & go & flags.pixel_end & row_end):
            m.d.sync += index.eq(0)

        # What was held comes with the group; they are compared; the greater goes on, or back.
        came = Signal(activation_group(c), reset_less=True)
        came_index, index_back = Signal.like(index, reset_less=True), Signal.like(index, reset_less=True)
        came_valid, back = Signal(), Signal()
        mine, held, greater = Signal(values, reset_less=True), Signal(values, reset_less=True), Signal(values)
        run = self.run.payload
        writes = came_valid & came.flags.write & came.flags.pool_last
        m.d.comb += [
            self.coming.eq(came_valid & came.flags.pool_last),
            run.values.eq(greater),
            go.eq(self.run.ready),
            self.activations.ready.eq(go),
            maxima.read.enable.eq(self.activations.valid & go),
            maxima.read.address.eq(index),
            maxima.write.enable.eq(back),
            maxima.write.address.eq(index_back),
            maxima.write.data.eq(greater),
        ]
        with m.If(go):
            m.d.sync += [
                came_valid.eq(self.activations.valid),
                came.eq(group),
                came_index.eq(index),
                back.eq(came_valid & came.flags.write & ~came.flags.pool_last),
                index_back.eq(came_index),
                mine.eq(came.values),
                held.eq(maxima.read.data),
                self.run.valid.eq(self.coming),
                run.write.eq(writes),
                run.row_end.eq(came.flags.row_end & came.flags.pixel_end),
                run.last.eq(came.flags.op_end),
            ]
        for r in range(c.requantisers):
            new = Signal(name=f"new_{r}", reset_less=True)
            nonzero = Signal(2, name=f"nonzero_{r}")  # of what was held, and of what came; neither if none is written
            with m.If(go):
                m.d.sync += [
                    new.eq(came.flags.pool_first | (came.values[r] > maxima.read.data[r])),
                    nonzero.eq(
                        (Cat(maxima.read.data[r].any(), came.values[r].any()) | self.keeps_zeros.replicate(2))
                        & writes.replicate(2)
                    ),
                ]
            m.d.comb += [
                greater[r].eq(Mux(new, mine[r], held[r])),
                run.nonzero[r].eq(Mux(new, nonzero[1], nonzero[0])),
            ]
        return m
