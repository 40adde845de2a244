"""Sequencer: reads op descriptors and asks for one output after the other."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, ValueLike, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.compute.scanner import output_request
from sterna.gateware.control.tags import output_tags
from sterna.gateware.interfaces import run_request
from sterna.gateware.memory.packer import run_place
from sterna.gateware.memory.ram import ReadPort, WritePort
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import OP_FIELDS, OP_WORDS, PLANE_FIELDS, PLANE_WORDS, WORD_BITS, Field
from sterna.spec.limits import bits, op_limits, plane_limits

FIRST_USED = OP_FIELDS["tail_groups"].word
"""The words of an op before this one hold nothing that the pipeline uses."""


def scheduled_output(configuration: Configuration) -> data.StructLayout:
    """What the scanner needs of an output, and the tags that travel beside it."""
    return data.StructLayout({"request": output_request(configuration), "tags": output_tags()})


class Sequencer(wiring.Component):
    """Runs a program: for each op, for each row, pixel, tile and plane, one scheduled output.

    Where a plane's next window begins is kept in the last word of its descriptor, so that planes cost no registers:
    with one plane the descriptor is read once; with more, at each output (9 cycles, about what an output takes to
    drain).
    An op begins when the one before has written its last activation (``op_done``): it may read what that wrote. What
    the pipeline uses of a descriptor (``first_block`` … ``maximum``, ``gap`` and ``trail``) lies in registers once, so
    only the words before it are read while the last outputs of an op drain. ``word`` and ``lead`` of ``place`` count
    with ``begin`` only.

    Latency: 24 cycles from ``start`` to the first output, 18 from ``op_done`` to the next op's first.
    Bad programs cannot hang it: every loop is counted, and ``CYCLES`` grows visibly.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "start": In(stream.Signature(run_request())),
            "running": Out(1),
            "program": Out(ReadPort(c.program_depth, WORD_BITS)),
            "windows": Out(WritePort(c.program_depth, WORD_BITS)),
            "outputs": Out(stream.Signature(scheduled_output(c))),
            "op_done": In(1),
            "no_activation_skip": Out(1),
            "no_block_skip": Out(1),
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

        # Fetch: words come one a cycle, each a cycle after its address. One-hot: bit k reads word k, of the op or of a
        # plane behind it, and so bit k + 1 is set when word k arrives.
        reading = Signal(OP_WORDS + PLANE_WORDS + 1)
        again = Signal()  # reads the first word of a plane, of an op whose own words are in their registers
        counter = Signal((c.program_depth - 1).bit_length())
        first_plane = Signal.like(counter)  # of the op; before, the program's entry
        writing = Signal()  # an op has begun and not written its last activation
        waiting = Signal()  # for that, before the first word that the pipeline uses
        m.d.comb += [waiting.eq(reading[FIRST_USED] & writing & ~self.op_done), self.program.address.eq(counter)]
        m.d.sync += [reading.eq(0), again.eq(0)]  # but while fetching

        def loaded(field: Field, at: int = 0, width: int | None = None) -> Signal:
            """A register that takes its field when the field's word arrives."""
            width = field.width if width is None else min(width, field.width)
            register = Signal(signed(width) if field.signed else width)
            if width:
                with m.If(reading[at + field.word + 1]):
                    m.d.sync += register.eq(self.program.data[field.low : field.low + width])
            return register

        of_op = {name: bits(limit) for name, limit in op_limits(c).items()}
        of_plane = {name: bits(limit) for name, limit in plane_limits(c).items()}

        def op_field(name: str, width: int | None = None) -> Signal:
            return loaded(OP_FIELDS[name], 0, of_op.get(name, width))

        def plane_field(name: str, width: int | None = None) -> Signal:
            return loaded(PLANE_FIELDS[name], OP_WORDS, of_plane.get(name, width))

        planes, last_op, slotted = op_field("planes"), op_field("last"), op_field("slotted")
        tiles, width = op_field("tiles"), op_field("width")
        pool_width, pool_height = op_field("pool_width"), op_field("pool_height")
        phases = op_field("phases")
        fraction_start, fraction_step = op_field("fraction", bank_bits), op_field("fraction_step", bank_bits)
        fractional = plane_field("fractional")
        step_x, step_row = plane_field("step_x", word_bits), plane_field("step_row", word_bits)
        m.d.comb += [
            self.first_block.eq(op_field("weights", len(self.first_block))),
            self.first_mask.eq(op_field("masks", len(self.first_mask))),
            self.first_parameter.eq(op_field("parameters", len(self.first_parameter))),
            self.tail_groups.eq(op_field("tail_groups")),
            self.minimum.eq(op_field("minimum", c.act_bits)),
            self.maximum.eq(op_field("maximum", c.act_bits)),
            self.place.gap.eq(op_field("gap", word_bits)),
            self.place.trail.eq(op_field("trail", word_bits)),
            self.begin.eq(reading[OP_FIELDS["lead"].word + 1]),
            self.place.lead.eq(self.program.data),
        ]

        # Loops over rows, pixels, tiles and planes, innermost last: counters go down to zero.
        opening = reading[OP_WORDS]  # the op's own words have come
        taken = Signal()
        plane, tile, column = Signal.like(planes), Signal.like(tiles), Signal.like(width)
        row = Signal(of_op["height"])
        pool_column, pool_row = Signal.like(pool_width), Signal.like(pool_height)
        pixel_first, plane_first = Signal(), Signal()  # of the pixel's outputs, of the tile's
        pool_column_first, pool_row_first = Signal(), Signal()
        first_pixel = Signal()  # the op's first pixel is not through
        phase = Signal.like(phases)
        fraction = Signal(bank_bits)
        ops_left = Signal(8)
        last_plane, last_tile, last_column, last_row = plane == 0, tile == 0, column == 0, row == 0
        pixel_end = last_plane & last_tile
        row_end = pixel_end & last_column
        pool_column_end, pool_row_end = pool_column == 0, pool_row == 0
        single = planes == 0

        def count(counter: Signal, step: ValueLike, load: ValueLike, start: ValueLike) -> None:
            """Down at a step, to ``start`` with ``load``, for a cell a bit: without ``load``, all ones are added."""
            free = Signal()
            m.d.comb += free.eq(~load)
            with m.If(step | load):
                m.d.sync += counter.eq(Mux(free, counter + free.replicate(len(counter)), start))

        count(plane, taken, opening | (taken & last_plane), planes)
        count(tile, taken & last_plane, opening | (taken & pixel_end), tiles)
        count(column, taken & pixel_end, opening | (taken & row_end), width)
        height_load = self.program.enable & reading[OP_FIELDS["height"].word + 1]
        count(row, taken & row_end, height_load, self.program.data[: len(row)])
        pool_column_load = opening | (taken & pixel_end & (pool_column_end | last_column))
        count(pool_column, taken & pixel_end, pool_column_load, pool_width)
        pool_row_load = opening | (taken & row_end & pool_row_end)
        count(pool_row, taken & row_end, pool_row_load, pool_height)
        start = self.start.valid & self.start.ready
        count(ops_left, opening, start, self.start.payload.ops)
        with m.If(opening):
            m.d.sync += [pixel_first.eq(1), first_pixel.eq(1), phase.eq(0), fraction.eq(fraction_start)]
        with m.If(opening | taken):
            m.d.sync += plane_first.eq(opening | last_plane)
        with m.If(opening | (taken & pixel_end)):
            m.d.sync += pool_column_first.eq(pool_column_load)
        with m.If(opening | (taken & row_end)):
            m.d.sync += pool_row_first.eq(pool_row_load)

        # One adder: a window, and before it the destination, begins at zero, takes its place, then the run's offset;
        # windows then move on.
        offset, window = Signal(word_bits), Signal(word_bits)
        summand = Signal(word_bits)
        place_word, source_word = OP_FIELDS["destination"].word, OP_WORDS + PLANE_FIELDS["source"].word
        kept_word = OP_WORDS + PLANE_WORDS - 1
        moved = fraction + fraction_step
        with m.If(self.outputs.valid):
            m.d.comb += summand.eq(Mux(last_column, step_row, step_x))
        with m.Elif(reading[place_word + 2] | reading[source_word + 2]):
            m.d.comb += summand.eq(offset)
        with m.Else():
            m.d.comb += summand.eq(self.program.data)
        carry = self.outputs.valid & fractional & ~last_column & moved[bank_bits]
        clear = reading[place_word] | reading[source_word] | again | (reading[kept_word] & ~first_pixel)
        add = (
            (taken & last_tile)
            | reading[place_word + 1]
            | (reading[place_word + 2] & slotted)
            | reading[source_word + 1]
            | (reading[source_word + 2] & self.program.data[PLANE_FIELDS["slotted"].low])
            | (reading[kept_word + 1] & ~first_pixel)
        )
        with m.If(clear):
            m.d.sync += window.eq(0)
        with m.Elif(add):
            m.d.sync += window.eq((Cat(1, window) + Cat(carry, summand))[1:])

        output = self.outputs.payload
        tags, request = output.tags, output.request
        m.d.comb += [
            taken.eq(self.outputs.valid & self.outputs.ready),
            self.place.word.eq(window),
            request.word.eq(window),
            request.rows.eq(plane_field("rows")),
            request.chunks.eq(plane_field("chunks")),
            request.tail.eq(plane_field("tail")),
            request.pitch.eq(plane_field("pitch", word_bits)),
            # parameters begin again at every pixel, weights and masks when the phases are through
            tags.rewind.eq(pixel_first),
            request.rewind.eq(pixel_first & (phase == 0)),
            tags.plane_first.eq(plane_first),
            tags.plane_last.eq(last_plane),
            tags.last_tile.eq(last_tile),
            tags.pool_first.eq(pool_column_first & pool_row_first),
            tags.pool_last.eq(pool_column_end & pool_row_end),
            tags.pool_column_end.eq(pool_column_end),
            tags.row_end.eq(last_column & ~last_row),
            tags.op_last.eq(row_end & last_row),
            self.windows.address.eq(counter),
            self.windows.data.eq(window),
        ]
        with m.If(self.op_done):
            m.d.sync += writing.eq(0)
        with m.If(self.begin):
            m.d.sync += writing.eq(1)

        advance, jump = Signal(), Signal()
        with m.If(advance | jump):
            m.d.sync += counter.eq(Mux(jump, first_plane, counter - (~jump).replicate(len(counter))))

        with m.FSM(name="phase"):
            with m.State("IDLE"):
                m.d.comb += self.start.ready.eq(1)
                with m.If(self.start.valid):
                    asked = self.start.payload
                    m.d.sync += [
                        offset.eq(asked.offset),
                        self.no_activation_skip.eq(asked.no_activation_skip),
                        self.no_block_skip.eq(asked.no_block_skip),
                        self.running.eq(1),
                        first_plane.eq(asked.entry),
                    ]
                    m.next = "ENTER"
            with m.State("ENTER"):
                m.d.comb += jump.eq(1)
                m.d.sync += reading[0].eq(1)
                m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.program.enable.eq(~waiting)
                with m.If(opening):
                    m.d.sync += first_plane.eq(counter)
                with m.If(reading[kept_word + 1]):
                    m.next = "SCHEDULE"
                with m.Elif(waiting):
                    m.d.sync += reading.eq(reading)
                with m.Else():
                    m.d.comb += advance.eq(~reading[kept_word])
                    m.d.sync += reading.eq(reading << 1)
                    m.d.sync += reading[OP_WORDS + 1].eq(reading[OP_WORDS] | again)
            with m.State("SCHEDULE"):
                m.d.comb += self.outputs.valid.eq(1)
                with m.If(taken):
                    m.d.sync += pixel_first.eq(pixel_end)
                    with m.If(pixel_end):
                        m.d.sync += [
                            first_pixel.eq(0),
                            phase.eq(Mux(phase == phases, 0, phase + 1)),
                            fraction.eq(moved),
                        ]
                        with m.If(last_column):
                            m.d.sync += [phase.eq(0), fraction.eq(fraction_start)]
                    with m.If(tags.op_last):
                        m.d.comb += advance.eq(1)
                        with m.If(last_op | (ops_left == 0)):
                            m.next = "DRAIN"
                        with m.Else():
                            m.d.sync += reading[0].eq(1)
                            m.next = "FETCH"
                    with m.Elif(~single):
                        m.next = "KEEP"
            with m.State("KEEP"):
                m.d.comb += [self.windows.enable.eq(1), jump.eq(plane_first), advance.eq(1)]
                m.d.sync += again.eq(1)
                m.next = "FETCH"
            with m.State("DRAIN"):
                with m.If(~writing | self.op_done):
                    m.d.sync += self.running.eq(0)
                    m.next = "IDLE"
        return m
