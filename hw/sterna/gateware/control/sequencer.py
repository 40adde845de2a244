"""Sequencer: reads op descriptors and asks the feeders for one output after the other."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.compute.scanner import output_request, walk_layout
from sterna.gateware.control.tags import output_tags
from sterna.gateware.interfaces import run_request
from sterna.gateware.memory.ram import ReadPort
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import OP_FIELDS, OP_WORDS, PLANE_FIELDS, PLANE_WORDS, WORD_BITS, Field, Pointer


def scheduled_output(configuration: Configuration) -> data.StructLayout:
    """What the feeders need of an output, and the tags that travel beside it."""
    return data.StructLayout({"request": output_request(configuration), "tags": output_tags()})


class Sequencer(wiring.Component):
    """Runs a program: for each op, for each output row, pixel and tile, one scheduled output.

    The next op's descriptor is read while the last outputs of an op drain, so that an op costs its pipeline's length
    and no more. An op begins when the one before has written its last activation (``op_done``): it may read what that
    wrote. What the far end of the pipeline uses (``destination`` … ``maximum``) changes only then, and ``walk`` only
    after the feeders have issued the op's last block (``advance``).

    Latency: 14 cycles from ``start`` to the first output, 2 from ``op_done`` to the next op's first.
    Bad programs cannot hang it: every loop is counted, and ``CYCLES`` grows visibly.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        word = (c.activation_depth - 1).bit_length()
        super().__init__({
            "start": In(stream.Signature(run_request())),
            "running": Out(1),
            "program": Out(ReadPort(c.program_depth, WORD_BITS)),
            "outputs": Out(stream.Signature(scheduled_output(c))),
            "advance": In(1),
            "op_done": In(1),
            "walk": Out(walk_layout(c)),
            "no_activation_skip": Out(1),
            "no_block_skip": Out(1),
            "tail_groups": Out(OP_FIELDS["tail_groups"].width),
            "destination": Out(word),
            "minimum": Out(signed(c.act_bits)),
            "maximum": Out(signed(c.act_bits)),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c = self.configuration
        word_bits = (c.activation_depth - 1).bit_length()

        # Fetch: words come one a cycle, each a cycle after its address.
        counter = Signal((c.program_depth - 1).bit_length())
        index = Signal(range(OP_WORDS + PLANE_WORDS + 1))  # word that is being read
        arriving = Signal()
        arriving_index = Signal.like(index)
        m.d.comb += self.program.address.eq(counter)
        m.d.sync += [arriving.eq(self.program.enable), arriving_index.eq(index)]

        def loaded(field: Field, at: int = 0, width: int | None = None) -> Signal:
            """A register that takes its field when the field's word arrives."""
            width = field.width if width is None else min(width, field.width)
            register = Signal(signed(width) if field.signed else width)
            with m.If(arriving & (arriving_index == at + field.word)):
                m.d.sync += register.eq(self.program.data[field.low : field.low + width])
            return register

        last_op = loaded(OP_FIELDS["last"])
        tiles, width, height = (loaded(OP_FIELDS[name]) for name in ("tiles", "width", "height"))
        next_tail, next_slotted = loaded(OP_FIELDS["tail_groups"]), loaded(OP_FIELDS["slotted"])
        next_destination = loaded(OP_FIELDS["destination"], width=word_bits)
        next_minimum = loaded(OP_FIELDS["minimum"], width=c.act_bits)
        next_maximum = loaded(OP_FIELDS["maximum"], width=c.act_bits)
        source = loaded(PLANE_FIELDS["source"], OP_WORDS, word_bits)
        source_slotted = loaded(PLANE_FIELDS["slotted"], OP_WORDS)
        step_x = loaded(PLANE_FIELDS["step_x"], OP_WORDS, word_bits)
        step_y = loaded(PLANE_FIELDS["step_y"], OP_WORDS, word_bits)
        m.d.comb += [
            self.walk.rows.eq(loaded(PLANE_FIELDS["rows"], OP_WORDS)),
            self.walk.chunks.eq(loaded(PLANE_FIELDS["chunks"], OP_WORDS)),
            self.walk.tail.eq(loaded(PLANE_FIELDS["tail"], OP_WORDS)),
            self.walk.pitch.eq(loaded(PLANE_FIELDS["pitch"], OP_WORDS, word_bits)),
        ]

        # Loops over rows, pixels and tiles.
        offset = Signal(word_bits)
        ops_left = Signal(8)
        writing = Signal()  # an op has begun and not written its last activation
        unissued = Signal(4)  # outputs asked for and not issued to the end
        program_first = Signal()
        op_first = Signal()
        tile, column, row = Signal.like(tiles), Signal.like(width), Signal.like(height)
        row_word, pixel_word = Signal(word_bits), Signal(word_bits)
        last_tile, last_column, last_row = tile == tiles, column == width, row == height
        op_last = last_tile & last_column & last_row
        output = self.outputs.payload
        taken = Signal()
        m.d.comb += [
            taken.eq(self.outputs.valid & self.outputs.ready),
            output.request.word.eq(pixel_word),
            output.tags.pointer.eq(Mux(tile == 0, Pointer.REWIND, Pointer.CONTINUE)),
            output.request.pointer.eq(output.tags.pointer),
            output.tags.last_tile.eq(last_tile),
            output.tags.op_first.eq(op_first),
            output.tags.op_last.eq(op_last),
        ]
        with m.If(op_first):
            m.d.comb += output.tags.pointer.eq(Mux(program_first, Pointer.RESET, Pointer.REBASE))
        m.d.sync += unissued.eq(unissued + taken - self.advance)
        with m.If(self.op_done):
            m.d.sync += writing.eq(0)

        with m.FSM(name="phase"):
            with m.State("IDLE"):
                m.d.comb += self.start.ready.eq(1)
                with m.If(self.start.valid):
                    request = self.start.payload
                    m.d.sync += [
                        counter.eq(request.entry),
                        offset.eq(request.offset),
                        ops_left.eq(request.ops),
                        self.no_activation_skip.eq(request.no_activation_skip),
                        self.no_block_skip.eq(request.no_block_skip),
                        program_first.eq(1),
                        self.running.eq(1),
                        index.eq(0),
                    ]
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.program.enable.eq(index != OP_WORDS + PLANE_WORDS)
                with m.If(self.program.enable):
                    m.d.sync += [counter.eq(counter + 1), index.eq(index + 1)]
                with m.Elif(~writing):
                    m.d.sync += [
                        self.destination.eq(next_destination + Mux(next_slotted, offset, 0)),
                        self.tail_groups.eq(next_tail),
                        self.minimum.eq(next_minimum),
                        self.maximum.eq(next_maximum),
                        row_word.eq(source + Mux(source_slotted, offset, 0)),
                        pixel_word.eq(source + Mux(source_slotted, offset, 0)),
                        op_first.eq(1),
                        writing.eq(1),
                    ]
                    m.next = "SCHEDULE"
            with m.State("SCHEDULE"):
                # `unissued` counts to 15; a tag queue of 8 keeps it far below
                m.d.comb += self.outputs.valid.eq(1)
                with m.If(taken):
                    m.d.sync += [op_first.eq(0), program_first.eq(0), tile.eq(tile + 1)]
                    with m.If(last_tile):
                        m.d.sync += [tile.eq(0), column.eq(column + 1), pixel_word.eq(pixel_word + step_x)]
                        with m.If(last_column):
                            m.d.sync += [
                                column.eq(0),
                                row.eq(row + 1),
                                row_word.eq(row_word + step_y),
                                pixel_word.eq(row_word + step_y),
                            ]
                            with m.If(last_row):
                                m.d.sync += row.eq(0)
                                m.next = "ISSUE"
            with m.State("ISSUE"), m.If(unissued == 0):
                m.d.sync += [index.eq(0), ops_left.eq(ops_left - 1)]
                with m.If(last_op | (ops_left == 1)):
                    m.next = "DRAIN"
                with m.Else():
                    m.next = "FETCH"
            with m.State("DRAIN"), m.If(~writing):
                m.d.sync += self.running.eq(0)
                m.next = "IDLE"
        return m
