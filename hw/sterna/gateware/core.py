"""The core: scanner → feeders → lanes → capture → requantiser → pool → packer, around memories, led by a sequencer."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from sterna.gateware.compute.capture import Capture
from sterna.gateware.compute.feeder import Feeder, all_room
from sterna.gateware.compute.lanes import Lanes
from sterna.gateware.compute.pool import MaxPool
from sterna.gateware.compute.requantiser import PARAMETER, Requantiser
from sterna.gateware.compute.scanner import Scanner
from sterna.gateware.control.sequencer import Sequencer
from sterna.gateware.control.tags import output_tags
from sterna.gateware.interfaces import MemoryWrite, counters, input_activation, read_request, run_request
from sterna.gateware.kept import KEPT
from sterna.gateware.memory.mask_store import MaskStore
from sterna.gateware.memory.packer import Packer
from sterna.gateware.memory.ram import Ram
from sterna.gateware.memory.trit_decoder import BlockDecoder
from sterna.gateware.memory.word_packer import WordGatherer, WordPacker
from sterna.gateware.tally import NARROW_BITS, TallyPair, WideTally
from sterna.spec.configuration import CHUNK, Configuration, Primitive
from sterna.spec.descriptors import WORD_BITS
from sterna.spec.image import PARAMETER_BYTES, Region, word_bytes

READ_PATIENCE = 15
"""Cycles that a read of the link waits for one in which no feeder reads."""


class Core(wiring.Component):
    """Runs programs over the memories that ``write`` and ``inputs`` fill; see DESIGN §4 for the organisation.

    Pipeline of a block: decide · number · address · memory, one cycle or two (``read_latency``) · operands · tree, a
    cycle a level · accumulate. It holds as a whole (``flow`` low) while an output's sums are complete and the one
    before has not left capture. Scanner and feeders, before the address, also hold for a cycle (``step`` low) when
    ``reads`` wants the activations' memories and has waited in vain for a cycle that is free, and when ``write`` brings
    a block while feeders issue others: weights may lie in memory with a single port. If activations do, they hold as
    well where banks are written, and behind an output's last block while capture is not sure to take its sums. Blocks
    in ``trit5`` are decoded between their memory and the lanes, in the same cycle: two more LUT levels before the
    products, 14 LUT4 a byte on iCE40, no flip-flop.

    Flow: offers are not taken back, by whoever makes them. Blocks of ``write`` wait while the pipeline holds, with
    others at the memories' outputs; an activation of ``inputs`` takes two cycles, and gives way to the requantiser at
    the banks' write ports; ``starts`` is taken when idle; a read is answered two cycles after it is taken, one at a
    time; with a ``read_latency`` of two in three, or as soon as the pipeline has moved.
    """

    def __init__(self, *, configuration: Configuration):
        self.configuration = c = configuration
        super().__init__({
            "write": In(MemoryWrite(c)),
            "inputs": In(stream.Signature(input_activation(c))),
            "starts": In(stream.Signature(run_request())),
            "running": Out(1),
            "reads": In(stream.Signature(read_request(c))),
            "read_values": Out(stream.Signature(signed(c.act_bits))),
            "counters": Out(counters(c)),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._flow, self._front, self._step, self._writing = Signal(), Signal(), Signal(), Signal()
        self._held, self._blocked = Signal(attrs=KEPT, name="ends_wait"), Signal(attrs=KEPT, name="blocked")
        self._lend, self._lent_write, self._lent_read, self._forced = Signal(), Signal(), Signal(), Signal()
        self._build_memories(m)
        self._build_sequencer(m)
        self._build_feeders(m)
        self._build_lanes(m)
        self._build_write_back(m)
        self._build_pace(m)
        self._build_reads(m)
        self._build_counters(m)
        return m

    def _build_memories(self, m: Module) -> None:
        c = self.configuration
        self._block_bits = bits = 8 * word_bytes(Region.WEIGHTS, c)
        self._blocks = [Ram(shape=bits, depth=c.weight_depth, primitive=c.weights_in) for _ in range(c.simd)]
        self._block_masks = [Ram(shape=CHUNK, depth=c.mask_depth, primitive=c.masks_in) for _ in range(c.simd)]
        shape, depth = signed(c.act_bits), c.activation_depth
        self._activations = [Ram(shape=shape, depth=depth, primitive=c.activations_in) for _ in range(c.simd)]
        self._program = Ram(shape=WORD_BITS, depth=c.program_depth)
        m.submodules.program = self._program
        for j in range(c.simd):
            m.submodules[f"blocks_{j}"] = self._blocks[j]
            m.submodules[f"block_masks_{j}"] = self._block_masks[j]
            m.submodules[f"activations_{j}"] = self._activations[j]

        # Blocks are written at the feeders' addresses, see `_build_reads`.
        block_bits, mask_bits = (c.weight_depth - 1).bit_length(), (c.mask_depth - 1).bit_length()
        for j in range(c.simd):
            blocks_write, masks_write = self._blocks[j].write, self._block_masks[j].write
            m.d.comb += [
                blocks_write.enable.eq(self._lent_write & self._front & (self.write.address[block_bits:] == j)),
                blocks_write.data.eq(self._written(self._block_bits)),
                masks_write.enable.eq(
                    self._writing & (self.write.region == Region.MASKS) & (self.write.address[mask_bits:] == j)
                ),
                masks_write.address.eq(self.write.address),
                masks_write.data.eq(self._written(CHUNK)),
            ]
        self._build_parameters(m)

    def _written(self, bits: int) -> Value:
        """The word that is written, of a region of so many bits."""
        return self.write.data[len(self.write.data) - bits :]

    def _build_parameters(self, m: Module) -> None:
        # Memory words hold one parameter word for each requantiser; the link writes them one by one.
        c = self.configuration
        lane_bits = (c.requantisers - 1).bit_length()
        reads = []
        for r in range(c.requantisers):
            bank = Ram(shape=PARAMETER, depth=c.parameter_depth, primitive=c.parameters_in)
            m.submodules[f"parameters_{r}"] = bank
            m.d.comb += [
                bank.write.enable.eq(
                    self._writing
                    & (self.write.region == Region.PARAMETERS)
                    & (self.write.address[:lane_bits] == r if lane_bits else 1)
                ),
                bank.write.address.eq(self.write.address[lane_bits:]),
                bank.write.data.eq(self._written(8 * PARAMETER_BYTES)),
            ]
            reads.append(bank.read)
        self._parameter_reads = reads

    def _build_sequencer(self, m: Module) -> None:
        c = self.configuration
        m.submodules.sequencer = self._sequencer = sequencer = Sequencer(configuration=c)
        connect(m, flipped(self.starts), sequencer.start)
        connect(m, sequencer.program, self._program.read)
        # While a run is under way the link loads no program, and the sequencer keeps windows there.
        program, windows = self._program.write, sequencer.windows
        loading = self._writing & (self.write.region == Region.PROGRAM)
        m.d.comb += [
            program.enable.eq(loading | windows.enable),
            program.address.eq(Mux(loading, self.write.address, windows.address)),
            program.data.eq(self._written(WORD_BITS)),
            program.data[: len(windows.data)].eq(
                Mux(loading, self._written(WORD_BITS)[: len(windows.data)], windows.data)
            ),
        ]
        m.d.comb += self.running.eq(sequencer.running)
        m.d.sync += sequencer.loading.eq(loading)

        # The scanner takes outputs ahead of the lanes; their tags wait for capture.
        m.submodules.tags = self._tags = tags = fifo.SyncFIFOBuffered(width=output_tags().size, depth=c.output_queue)
        m.submodules.scanner = self._scanner = scanner = Scanner(configuration=c)
        outputs = sequencer.outputs
        room = Signal()  # a cycle late; outputs come in no two cycles running
        m.d.sync += room.eq(tags.w_rdy)
        m.d.comb += [
            scanner.outputs.valid.eq(outputs.valid & room),
            scanner.outputs.payload.eq(outputs.payload.request),
            scanner.first_mask.eq(sequencer.first_mask),
            outputs.ready.eq(scanner.outputs.ready & room),
            tags.w_en.eq(scanner.outputs.valid & scanner.outputs.ready),
            tags.w_data.eq(outputs.payload.tags),
        ]

    def _build_feeders(self, m: Module) -> None:
        c = self.configuration
        self._feeders = [Feeder(configuration=c) for _ in range(c.simd)]
        m.submodules.lanes = self._lanes = Lanes(configuration=c)
        chunks = self._scanner.chunks
        self._taken = take = Signal()
        self._chunk = self._behind(m, chunks.ready, chunks.payload)
        valid = self._behind(m, chunks.ready, chunks.valid, reset_less=False)
        advance, held, ready = (Signal(name=name, attrs=KEPT) for name in ("advance", "held", "ready"))
        m.d.comb += [
            # Only where nothing can hold the pipeline: the pace of what stands behind would make a long way to here.
            held.eq(self._lanes.last | self._forced | self._blocked),
            ready.eq(~held & all_room(m, self._feeders, advance)),
            chunks.ready.eq(ready),
            take.eq(valid & chunks.ready),
            advance.eq(Cat(*(feeder.complete for feeder in self._feeders)).all()),
        ]
        # Tag of an output's last blocks, stage by stage: issue, address, memory, register behind that.
        self._final = Signal(2 + c.read_latency)
        with m.If(self._step):
            m.d.sync += self._final[0].eq(advance)
        with m.If(self._front):
            m.d.sync += self._final[1].eq(self._final[0] & self._step)
        with m.If(self._flow):
            m.d.sync += self._final[2:].eq(Cat(self._final[1] & self._front, self._final[2:]))

        for j, feeder in enumerate(self._feeders):
            m.submodules[f"feeder_{j}"] = feeder
            m.d.comb += [
                self._block_masks[j].read.enable.eq(self._scanner.block_masks.enable),
                self._block_masks[j].read.address.eq(self._scanner.block_masks.address),
                feeder.chunk.eq(self._chunk),
                feeder.take.eq(take),
                feeder.block_mask.eq(self._behind(m, ready, self._block_masks[j].read.data)),
                feeder.first_block.eq(self._sequencer.first_block),
                feeder.step.eq(self._step),
                feeder.advance.eq(advance),
                feeder.flow.eq(self._front),
                feeder.lend.eq(self._lend),
                feeder.others_block.eq(self.write.address),
                feeder.others_word.eq(self.reads.payload.word),
                self._blocks[j].read.enable.eq(feeder.read & self._front),
                self._blocks[j].read.address.eq(feeder.block),
                self._blocks[j].write.address.eq(feeder.block),
            ]

    def _behind(self, m: Module, moves: Value, value: Any, *, reset_less: bool = True) -> Any:
        """What stands at a memory's output or beside it; with a latency of two, in a register behind that."""
        if self.configuration.read_latency == 1:
            return value
        late = Signal(value.shape(), reset_less=reset_less)
        with m.If(moves):
            m.d.sync += late.eq(value)
        return late

    def _build_lanes(self, m: Module) -> None:
        c = self.configuration
        lanes = self._lanes
        m.submodules.capture = self._capture = capture = Capture(configuration=c)
        m.d.comb += [
            self._flow.eq(~lanes.last | capture.ready),
            lanes.flow.eq(self._flow),
            lanes.final.eq(self._final[-1]),
            capture.load.eq(lanes.last),
            capture.sums.eq(lanes.sums),
            capture.tags.eq(self._tags.r_data),
            self._tags.r_en.eq(lanes.last & capture.ready),
        ]
        self._words = [self._behind(m, self._flow, bank.read.data) for bank in self._activations]
        for j, feeder in enumerate(self._feeders):
            gate = Signal(name=f"gate_{j}")
            with m.If(self._flow):
                m.d.sync += gate.eq(feeder.read & self._front)
            m.submodules[f"decoder_{j}"] = decoder = BlockDecoder(code=c.weight_code, count=c.pe)
            m.d.comb += [
                lanes.gates[j].eq(self._behind(m, self._flow, gate, reset_less=False)),
                lanes.activations[j].eq(self._words[j]),
                decoder.i.eq(self._behind(m, self._flow, self._blocks[j].read.data)),
                lanes.trits[j].eq(decoder.o),
            ]

    def _build_write_back(self, m: Module) -> None:
        c = self.configuration
        sequencer = self._sequencer
        m.submodules.requantiser = requantiser = Requantiser(configuration=c)
        m.submodules.pool = pool = MaxPool(configuration=c)
        m.d.comb += pool.keeps_zeros.eq(sequencer.keeps_zeros)
        outputs: Packer | WordPacker
        if c.activation_skip:
            m.submodules.output_packer = outputs = Packer(configuration=c, group=c.requantisers)
            connect(m, pool.run, outputs.run)
            coming = pool.coming
        else:
            m.submodules.output_gatherer = gatherer = WordGatherer(configuration=c)
            m.submodules.output_packer = outputs = WordPacker(configuration=c)
            connect(m, pool.run, gatherer.groups)
            connect(m, gatherer.words, outputs.run)
            coming = gatherer.groups.valid
        m.submodules.input_packer = inputs = Packer(configuration=c, group=1, zeros=False)
        connect(m, self._capture.groups, requantiser.groups)
        connect(m, requantiser.activations, pool.activations)
        m.d.comb += [
            requantiser.first_parameter.eq(sequencer.first_parameter),
            requantiser.tail_groups.eq(sequencer.tail_groups),
            requantiser.minimum.eq(sequencer.minimum),
            requantiser.maximum.eq(sequencer.maximum),
            outputs.begin.eq(sequencer.begin),
            outputs.place.eq(sequencer.place),
        ]
        m.d.sync += sequencer.op_done.eq(outputs.done)

        # A burst from the link is a run of one row. Each activation stands for a cycle before the packer sees it: in
        # the first one's the run begins, and that it is not zero, which has a long way to the masks, is in a flip-flop.
        burst, stood, some = self.inputs.payload, Signal(), Signal()
        stays = self.inputs.valid & ~self.inputs.ready
        m.d.sync += [stood.eq(stays), some.eq(stays & (burst.value.any() | sequencer.keeps_zeros))]
        m.d.comb += [
            inputs.begin.eq(self.inputs.valid & burst.first & ~stood),
            inputs.place.word.eq(burst.word),
            inputs.run.valid.eq(stood),
            self.inputs.ready.eq(inputs.run.ready & stood),
            inputs.run.payload.values[0].eq(burst.value),
            inputs.run.payload.nonzero.eq(some),
            inputs.run.payload.write.eq(stood),
            inputs.run.payload.last.eq(burst.last),
        ]
        for r, read in enumerate(self._parameter_reads):
            m.d.comb += [
                read.enable.eq(requantiser.parameters.enable),
                read.address.eq(requantiser.parameters.address),
                requantiser.parameters.data[r].eq(read.data),
            ]

        # The core's own activations first: they never wait, so its timing does not depend on the link, but where banks
        # have a single port, which the link's writes take from it for a cycle each. That none come
        # stands in a flip-flop, so that what they hang on makes no way to the link's.
        quiet = Signal()
        first, second = outputs.write.payload, inputs.write.payload
        m.d.sync += quiet.eq(~(outputs.write.valid | outputs.begin | coming))
        m.d.comb += [outputs.write.ready.eq(1), inputs.write.ready.eq(quiet)]
        theirs_writes = Signal()  # `inputs.write.valid & quiet`
        m.d.sync += theirs_writes.eq(stays & ~(outputs.write.valid | outputs.begin | coming))
        self._bank_writes = Signal(attrs=KEPT, name="bank_writes")
        m.d.comb += self._bank_writes.eq(outputs.write.valid | theirs_writes)
        word = Mux(quiet, second.word, first.word)
        theirs = quiet.replicate(c.simd)
        banks, ones = Signal(c.simd), Signal(c.simd, name="nonzero", attrs=KEPT)
        changes = Signal()
        fresh = Signal(attrs=KEPT)
        m.d.comb += [
            banks.eq(first.banks | (second.banks & theirs)),
            ones.eq(first.nonzero | (second.nonzero & theirs)),
            changes.eq(first.changes | (second.changes & quiet)),
            fresh.eq(first.fresh | (second.fresh & quiet)),
        ]
        for j in range(c.simd):
            m.d.comb += [
                self._activations[j].write.enable.eq(banks[j]),
                self._activations[j].write.address.eq(word),
                self._activations[j].write.data.eq(Mux(quiet, second.values[j], first.values[j])),
            ]
        if c.activation_skip:
            self._build_masks(m, {"word": word, "changes": changes, "nonzero": ones, "fresh": fresh, "writer": quiet})

    def _build_masks(self, m: Module, write: dict[str, Value]) -> None:
        m.submodules.activation_masks = masks = MaskStore(configuration=self.configuration)
        read, pace = self._scanner.activation_masks, self._scanner.chunks.ready
        m.d.comb += [
            masks.read.enable.eq(read.enable),
            masks.read.address.eq(read.address),
            *(masks.write[name].eq(value) for name, value in write.items()),
        ]
        for feeder, mask in zip(self._feeders, masks.read.data, strict=True):
            m.d.comb += feeder.activation_mask.eq(self._behind(m, pace, mask))

    def _build_pace(self, m: Module) -> None:
        # Banks with a single port are not read in a cycle in which they are written, and what was read is gone then, so
        # that it must not wait: an output's last blocks are read only if capture is sure to take it, or are the last
        # that are read until it has.
        c, lanes, capture = self.configuration, self._lanes, self._capture
        if c.activations_in is Primitive.SPRAM:
            ending = self._final[2:].any() | lanes.ending
            m.d.comb += [
                self._held.eq(ending & (capture.groups.valid | self._final[1])),
                self._blocked.eq(self._held | self._bank_writes),
            ]
        m.d.comb += self._front.eq(self._flow & ~self._blocked)

    def _build_reads(self, m: Module) -> None:
        # The link uses the activations' memories to read and the weights', which may have a single port, to write, at
        # addresses that go through the feeders' registers: where no feeder has issued, if that comes soon, else the
        # feeders wait for a cycle. That they will is decided a cycle before, so that the core's pace hangs on nothing
        # that the link says in the same cycle (but on inputs, where banks have a single port).
        c = self.configuration
        weights = self.write.valid & (self.write.region == Region.WEIGHTS)
        writes, asks = Signal(), Signal()
        forced = self._forced
        patience = Signal(range(READ_PATIENCE + 1))
        reading, bank = Signal(), Signal.like(self.reads.payload.bank)
        held = Signal()
        take = Signal()
        value = Signal(signed(c.act_bits), reset_less=True)
        impatient = weights | (patience == READ_PATIENCE)
        issued = Cat(*(feeder.issued for feeder in self._feeders)).any()
        asked = self.reads.valid & ~self._lent_read & ~reading
        arrives = reading
        if c.read_latency == 2:
            arrives = Signal()
            asked &= ~arrives
        m.d.comb += [
            writes.eq(weights & ~self._lent_write),
            asks.eq(writes | (asked & ~held)),
            self._lend.eq(asks & (forced | ~issued)),
            self._step.eq(self._front & ~forced),
            take.eq(self._lent_read & self._front),
            self.reads.ready.eq(take),
            self.write.ready.eq((self._lent_write & self._front) | (self.write.region != Region.WEIGHTS)),
            self._writing.eq(self.write.valid & self.write.ready),
            self.read_values.valid.eq(held),
            self.read_values.payload.eq(value),
        ]
        m.d.sync += forced.eq(asks & Mux(forced, ~self._front, issued & impatient))
        with m.If(self._front):
            m.d.sync += [self._lent_write.eq(self._lend & writes), self._lent_read.eq(self._lend & ~writes)]
        if c.read_latency == 1:
            m.d.sync += reading.eq(take)
        else:
            m.d.sync += [reading.eq(take | (reading & ~self._flow)), arrives.eq(reading & self._flow)]
        with m.If(~self.reads.valid | reading):
            m.d.sync += patience.eq(0)
        with m.Elif(patience != READ_PATIENCE):
            m.d.sync += patience.eq(patience + 1)
        with m.If(take):
            m.d.sync += bank.eq(self.reads.payload.bank)
        with m.If(arrives):
            m.d.sync += [held.eq(1), value.eq(word_of(m, self._words, bank))]
        with m.Elif(self.read_values.ready):
            m.d.sync += held.eq(0)
        for j, feeder in enumerate(self._feeders):
            m.d.comb += [
                self._activations[j].read.enable.eq((feeder.read | self._lent_read) & self._front),
                self._activations[j].read.address.eq(feeder.word),
            ]

    def _build_counters(self, m: Module) -> None:
        c = self.configuration
        issuing = Cat(*(feeder.issued for feeder in self._feeders))
        holding = Cat(*(feeder.held for feeder in self._feeders))
        chunk = self._chunk
        stored = [feeder.stored for feeder in self._feeders]
        # As many of the window's positions as there are come first, so a bit of their number is a parity.
        walked, passed = Signal(CHUNK.bit_length(), reset_less=True), Signal()
        moving = self.running & self._step
        some = issuing.any()
        whole, came, counted = self._taken & ~chunk.half, Signal(), Signal()
        with m.If(self._step):
            m.d.sync += came.eq(whole)
        m.d.sync += [
            counted.eq(came & self._step),  # its blocks, by the feeders
            passed.eq(whole),  # whether a chunk is taken comes late in its cycle
            walked.eq(Cat(chunk.positions[(1 << k) - 1 :: 1 << k].xor() for k in range(CHUNK.bit_length()))),
        ]
        rises = {
            "stored": sum(stored[1:], stored[0]),  # without activation skip these are the blocks issued
            "positions": c.simd * walked,
            "cycles": self.running,
            "requantiser_stalls": self.running & (~self._flow | self._held),
            "memory_stalls": self.running & self._flow & ~self._held & ~self._step,
            "issue_cycles": moving & some,
            "empty_cycles": moving & ~some & holding.any(),
            "idle_cycles": moving & ~some & ~holding.any(),
            "issued": Mux(moving, sum(issuing[1:], issuing[0]), 0),
        }
        if not c.activation_skip:
            del rises["stored"]
            m.d.comb += self.counters.stored.eq(self.counters.issued)
        enables = {"stored": counted, "positions": passed}
        wide = [name for name in rises if len(self.counters[name]) > NARROW_BITS]
        narrow = [name for name in rises if name not in wide]
        for name in wide:
            m.submodules[f"tally_{name}"] = tally = WideTally()
            m.d.comb += [
                tally.enable.eq(enables.get(name, 1)),
                tally.rise.eq(rises[name]),
                self.counters[name].eq(tally.count),
            ]
        for k in range(0, len(narrow), 2):
            m.submodules[f"tally_{k // 2}"] = pair = TallyPair()
            for half, name in enumerate(narrow[k : k + 2]):
                m.d.comb += [
                    pair.enable[half].eq(enables.get(name, 1)),
                    pair.rises[half].eq(rises[name]),
                    self.counters[name].eq(pair.counts[half]),
                ]


def word_of(m: Module, words: Sequence[Value], index: Signal) -> Signal:
    """The one of ``words`` that ``index`` names."""
    chosen = Signal.like(words[0])
    with m.Switch(index):
        for j, word in enumerate(words):
            with m.Case(j):
                m.d.comb += chosen.eq(word)
    return chosen
