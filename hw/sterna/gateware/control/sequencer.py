"""Sequencer: reads op descriptors and asks for one output after the other."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.arithmetic import down_or, up_or
from sterna.gateware.compute.scanner import output_request
from sterna.gateware.control.tags import output_tags
from sterna.gateware.interfaces import run_request
from sterna.gateware.memory.packer import run_place
from sterna.gateware.memory.ram import ReadPort, WritePort
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import (
    BEGINNING_WORDS,
    OP_FIELDS,
    OP_HEAD_WORDS,
    OP_WORDS,
    PLANE_FIELDS,
    PLANE_WORDS,
    WORD_BITS,
    Field,
    op_place,
)
from sterna.spec.limits import bits, op_limits, plane_limits


def scheduled_output(configuration: Configuration) -> data.StructLayout:
    """What the scanner needs of an output, and the tags that travel beside it."""
    return data.StructLayout({"request": output_request(configuration), "tags": output_tags()})


WINDOW = OP_WORDS + PLANE_WORDS - 1
"""Where the first plane's last word stands, with which a descriptor ends but for further planes."""


class Sequencer(wiring.Component):
    """Runs a program: for each op, for each row, pixel, tile and plane, one scheduled output.

    Where a plane's next window begins is kept in the last word of its descriptor, so that planes cost no registers:
    with one plane the descriptor is read once; with more, at each output (9 cycles, about what an output takes to
    drain; 17 for the first plane's, whose words the op's own lie between).
    The beginning of the next op's descriptor is read while the last outputs of an op drain. An op begins when the one
    before has written its last activation (``op_done``): it may read what that wrote. What the pipeline uses of a
    descriptor (``first_block``, ``first_parameter`` … ``maximum``, ``place``) is read only then, before the first
    output's chunks and groups come to where it is used; ``first_mask`` before, when the scanner has taken the last
    output. ``begin`` tells when ``place.word`` and ``lead`` are there, for one cycle; ``gap`` and ``trail`` follow.

    Between runs the beginning of the descriptor at the program's begin is read, again after each word that is loaded.

    Latency: 4 cycles from ``start`` to the first output of a run that begins there, 17 elsewhere; 1 from ``op_done`` to
    the next op's first, 10 if it has several planes or no other output.
    Throughput: an output in two cycles; each takes four or more.
    Bad programs cannot hang it: every loop is counted, and ``CYCLES`` grows visibly.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "start": In(stream.Signature(run_request())),
            "running": Out(1),
            "program": Out(ReadPort(c.program_depth, WORD_BITS)),
            "windows": Out(WritePort(c.program_depth, (c.activation_depth - 1).bit_length())),  # into the low bits
            "outputs": Out(stream.Signature(scheduled_output(c))),
            "op_done": In(1),
            "loading": In(1),  # the program changes
            "keeps_zeros": Out(1),  # between runs: of the op at the program's begin
            "begin": Out(1),
            "first_block": Out((c.weight_depth - 1).bit_length()),
            "first_mask": Out((c.mask_depth - 1).bit_length()),
            "first_parameter": Out((c.parameter_depth - 1).bit_length()),
            "place": Out(run_place(c)),
            "tail_groups": Out(bits(op_limits(c)["tail_groups"])),
            "minimum": Out(signed(c.act_bits)),
            "maximum": Out(signed(c.act_bits)),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        word_bits = (c.activation_depth - 1).bit_length()
        bank_bits = (c.simd - 1).bit_length()

        # Fetch: words come one a cycle, each a cycle after its address.
        new_op = Signal(init=1)  # the descriptor being read is an op's
        first_pixel = Signal(reset_less=True)  # its first pixel is not through
        counter = Signal((c.program_depth - 1).bit_length())
        first_plane = Signal.like(counter, reset_less=True)
        index = Signal(range(WINDOW + 2))  # word that is being read
        fetched = index == Mux(new_op, BEGINNING_WORDS, WINDOW + 1)
        rest = Signal()  # of the op that has begun, not all is read
        arriving = Signal()
        arriving_index = Signal.like(index)
        m.d.comb += self.program.address.eq(counter)
        m.d.sync += [arriving.eq(self.program.enable), arriving_index.eq(index)]

        def loaded(width: int | None, *places: tuple[Field, int]) -> Signal:
            """A register that takes its field when the field's word arrives; of several, one after the other, and not
            again when the words are read once more."""
            field, _ = places[0]
            width = field.width if width is None else min(width, field.width)
            register = Signal(signed(width) if field.signed else width, reset_less=True)
            for field, at in places if width else ():
                once = rest | (len(places) == 1)
                with m.If(once & arriving & (arriving_index == at)):
                    m.d.sync += register.eq(self.program.data[field.low : field.low + width])
            return register

        of_op = {name: bits(limit) for name, limit in op_limits(c).items()}
        of_plane = {name: bits(limit) for name, limit in plane_limits(c).items()}

        def op_field(name: str, width: int | None = None, *, then: str | None = None) -> Signal:
            fields = [OP_FIELDS[each] for each in (name, then) if each]
            return loaded(of_op.get(name, width), *((field, op_place(field)) for field in fields))

        def plane_field(name: str, width: int | None = None) -> Signal:
            field = PLANE_FIELDS[name]
            return loaded(of_plane.get(name, width), (field, OP_HEAD_WORDS + field.word))

        planes, last_op = op_field("planes"), op_field("last")
        tiles, width, height = op_field("tiles"), op_field("width"), op_field("height")
        pool_width, pool_height = op_field("pool_width"), op_field("pool_height")
        phases = op_field("phases")
        fraction_start, fraction_step = op_field("fraction", bank_bits), op_field("fraction_step", bank_bits)
        # With `begin` the packer takes the first two; then the others come in their place.
        destination, lead = op_field("destination", word_bits, then="trail"), op_field("lead", word_bits, then="gap")
        slotted, keeps_zeros = op_field("slotted"), op_field("keeps_zeros")
        m.d.comb += [
            self.keeps_zeros.eq(keeps_zeros),
            self.first_block.eq(op_field("weights", self.first_block.shape().width)),
            self.first_mask.eq(op_field("masks", self.first_mask.shape().width)),
            self.first_parameter.eq(op_field("parameters", self.first_parameter.shape().width)),
            self.tail_groups.eq(op_field("tail_groups")),
            self.minimum.eq(op_field("minimum", c.act_bits)),
            self.maximum.eq(op_field("maximum", c.act_bits)),
            self.place.lead.eq(lead),
            self.place.gap.eq(lead),
            self.place.trail.eq(destination),
        ]
        source, source_slotted = plane_field("source", word_bits), plane_field("slotted")
        fractional = plane_field("fractional")
        step_x, step_row = plane_field("step_x", word_bits), plane_field("step_row", word_bits)

        # Loops over rows, pixels, tiles and planes, innermost last.
        offset = Signal(word_bits, reset_less=True)
        ops_left = Signal(8)
        writing = Signal()  # an op has begun and not written its last activation
        pixel_first = Signal(reset_less=True)  # of the pixel's outputs
        plane, tile = Signal.like(planes), Signal.like(tiles)
        column, row = Signal.like(width), Signal.like(height)
        pool_column, pool_row = Signal.like(pool_width), Signal.like(pool_height)
        phase = Signal.like(phases)
        fraction = Signal(bank_bits, reset_less=True)
        single = planes == 0

        def settled(name: str, condition: Value) -> Signal:
            """In a flip-flop, which tells of the counters a cycle after they have moved."""
            flag = Signal(name=name)
            m.d.sync += flag.eq(condition)
            return flag

        at_last_plane, at_last_tile = plane == planes, tile == tiles
        last_plane, last_tile = settled("last_plane", at_last_plane), settled("last_tile", at_last_tile)
        pixel_end = settled("pixel_end", at_last_plane & at_last_tile)
        last_column, last_row = settled("last_column", column == width), settled("last_row", row == height)
        last_phase, first_phase = settled("last_phase", phase == phases), settled("first_phase", phase == 0)
        pool_column_end = settled("pool_column_end", pool_column == pool_width)
        pool_row_end = settled("pool_row_end", pool_row == pool_height)
        pool_first = settled("pool_first", (pool_column == 0) & (pool_row == 0))

        moved = fraction + fraction_step
        window = Signal(word_bits, reset_less=True)  # of this plane, in a register while there is only one
        next_window = Signal(word_bits)
        stride = Signal(word_bits, reset_less=True)  # to the next pixel of the row; settled like the flags above
        m.d.sync += stride.eq(step_x + (fractional & moved[bank_bits : bank_bits + 1]))
        m.d.comb += next_window.eq(window + Mux(last_column, step_row, stride))

        output = self.outputs.payload
        tags, request = output.tags, output.request
        taken, plane_first = Signal(), Signal()
        m.d.comb += [
            taken.eq(self.outputs.valid & self.outputs.ready),
            request.word.eq(window),
            request.rows.eq(plane_field("rows")),
            request.chunks.eq(plane_field("chunks")),
            request.tail.eq(plane_field("tail")),
            request.pitch.eq(plane_field("pitch", word_bits)),
            # weights and masks begin again when the phases are through
            request.rewind.eq(pixel_first & first_phase),
            plane_first.eq(plane == 0),
            tags.plane_last.eq(last_plane),
            tags.last_tile.eq(last_tile),
            tags.pool_first.eq(pool_first),
            tags.pool_last.eq(pool_column_end & pool_row_end),
            tags.pool_column_end.eq(pool_column_end),
            tags.row_end.eq(last_column & ~last_row),
            tags.op_last.eq(pixel_end & last_column & last_row),
        ]
        m.d.comb += [
            self.windows.enable.eq(taken & last_tile & ~single),
            self.windows.address.eq(counter - 1),
            self.windows.data.eq(next_window),
        ]
        start_window = Signal(word_bits)
        m.d.comb += start_window.eq(source + Mux(source_slotted, offset, 0))
        asked = self.start.payload
        known, elsewhere = Signal(), Signal()  # that one asks, and whether it begins where no descriptor is read
        m.d.sync += [known.eq(self.start.valid & ~self.start.ready), elsewhere.eq(asked.entry.any())]
        with m.If(self.start.valid & self.start.ready):
            m.d.sync += [
                offset.eq(asked.offset),
                self.running.eq(1),
            ]
        starts, op_ends = self.start.valid & self.start.ready, taken & tags.op_last
        with m.If(starts | op_ends):
            m.d.sync += ops_left.eq(down_or(self.running, ops_left, asked.ops))
        # Where words are read next, if it is not behind the last.
        again, anew = Signal(), Signal()
        entered = ~self.running & ~self.loading
        with m.If(self.program.enable | again | anew):
            there = Mux(again, first_plane, asked.entry & entered.replicate(len(counter)))
            m.d.sync += counter.eq(up_or(again | anew, there, counter))
        begins = Signal()
        m.d.comb += self.place.word.eq(destination + Mux(slotted, offset, 0))
        m.d.sync += [
            self.begin.eq(rest & arriving & (arriving_index == op_place(OP_FIELDS["lead"]))),
            writing.eq(begins | (writing & ~self.op_done)),
            rest.eq(begins | (rest & (index != WINDOW))),
        ]
        with m.If(self.program.enable):
            m.d.sync += [
                # Of further planes the window follows at once.
                index.eq(Mux((index == BEGINNING_WORDS - 1) & ~plane_first, WINDOW, index + 1)),
            ]
            with m.If((index == OP_HEAD_WORDS) & new_op):
                m.d.sync += first_plane.eq(counter)
        with m.FSM(name="phase"):
            with m.State("FETCH"):
                # A new op's descriptor is read ahead: while the last outputs of an op drain, and between runs.
                m.d.comb += [self.program.enable.eq(~fetched), self.start.ready.eq(known & ~self.running)]
                with m.If(new_op):
                    m.d.sync += fraction.eq(fraction_start)
                with m.If(fetched & (new_op | ~arriving)):
                    with m.If(~new_op):
                        # The memory still shows the last word that was read.
                        m.d.sync += window.eq(Mux(first_pixel, start_window, self.program.data))
                        m.next = "SCHEDULE"
                    with m.Elif(self.running & (~writing | self.op_done)):
                        m.d.comb += begins.eq(1)
                        m.d.sync += [window.eq(start_window), new_op.eq(0), pixel_first.eq(1), first_pixel.eq(1)]
                        m.next = "SCHEDULE"
                with m.If(~self.running & (self.loading | (known & elsewhere))):
                    m.d.comb += anew.eq(1)
                    m.d.sync += index.eq(0)
            with m.State("SCHEDULE"):
                # What is known of an op's outputs when it begins is enough for those that nothing else is read after.
                m.d.comb += [
                    self.program.enable.eq(rest),
                    self.outputs.valid.eq(~rest | (single & ~tags.op_last)),
                ]
                with m.If(taken):
                    m.next = "SETTLE"
                    m.d.sync += [
                        pixel_first.eq(pixel_end),
                        plane.eq(Mux(last_plane, 0, plane + 1)),
                    ]
                    with m.If(last_tile & single):
                        m.d.sync += window.eq(next_window)
                    with m.If(last_plane):
                        m.d.sync += tile.eq(Mux(last_tile, 0, tile + 1))
                    with m.If(pixel_end):
                        m.d.sync += [
                            first_pixel.eq(0),
                            phase.eq(Mux(last_phase, 0, phase + 1)),
                            fraction.eq(moved),
                        ]
                        with m.If(last_column):
                            m.d.sync += [
                                column.eq(0),
                                row.eq(row + 1),
                                pool_column.eq(0),
                                pool_row.eq(Mux(pool_row_end, 0, pool_row + 1)),
                                phase.eq(0),
                                fraction.eq(fraction_start),
                            ]
                        with m.Else():
                            m.d.sync += [
                                column.eq(column + 1),
                                pool_column.eq(Mux(pool_column_end, 0, pool_column + 1)),
                            ]
                    with m.If(tags.op_last):
                        m.d.sync += [
                            Cat(column, row, pool_column, pool_row, phase).eq(0),
                            index.eq(0),
                            new_op.eq(1),
                        ]
                        with m.If(last_op | (ops_left == 1)):
                            m.next = "DRAIN"
                        with m.Else():
                            m.next = "FETCH"
                    with m.Elif(~single):
                        m.d.sync += index.eq(OP_HEAD_WORDS)
                        m.d.comb += again.eq(last_plane)
                        m.next = "FETCH"
            with m.State("SETTLE"):
                m.d.comb += self.program.enable.eq(rest)
                m.next = "SCHEDULE"
            with m.State("DRAIN"):
                with m.If(~writing | self.op_done):
                    m.d.comb += anew.eq(1)
                    m.d.sync += self.running.eq(0)
                    m.next = "FETCH"
        return m
