"""Controller: takes requests one by one, does what they ask of the core, and answers."""

from typing import Any

from amaranth.hdl import C, Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.bounds import at_least
from sterna.gateware.control.controller_registers import RegisterFile
from sterna.gateware.interfaces import MemoryWrite, counters, input_activation, read_request, run_request
from sterna.gateware.link.crc import Crc32c
from sterna.gateware.link.layouts import received_byte, response_byte
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.frames import CORE_IN_FLAGS, MAX_CONTENT, MAX_RESULT, Opcode, StartFlag, Status
from sterna.spec.image import Region, region_words, word_bytes
from sterna.spec.registers import REGISTER_COUNT, State

_LAST_INDEX = {Opcode.READ: 4, Opcode.BEGIN: 7, Opcode.WRITE: 3, Opcode.COMMIT: 3, Opcode.INPUT: 2, Opcode.START: 5,
               Opcode.RESULT: 5}  # fmt: skip
"""Where the last byte of the arguments goes in the scratch register; of WRITE and INPUT, the last before the words or
activations, of which there is at least one."""
_ILLEGAL_TRIT = 0b10


def _first(*refusals: tuple[ValueLike, Status]) -> Value:
    """The status of the first that holds, else OK."""
    verdict: Value = Const(Status.OK, len(Signal(Status)))
    for holds, status in reversed(refusals):
        verdict = Mux(holds, status, verdict)
    return verdict


class Controller(wiring.Component):
    """Carries out the requests of ``sterna.spec.frames`` over ``starts``, ``inputs``, ``reads`` and ``write``.

    One request at a time: sequence number and opcode; arguments into a scratch register; a *walk* that counts through
    the words which the request names, ``address`` up and ``count`` down, to see that there are whole ones and that
    all exist; only then the work itself. What it asks of the core it asks from flip-flops. The walk serves WRITE,
    INPUT, RESULT and READ alike, and takes a cycle per word where a division and an addition would take logic. Requests
    come checked and whole, with their length known from the first byte, so the answer's status goes out before its
    data, and nothing is ever taken back.

    Latency: about 10 cycles from request to answer, plus the walk. Throughput: WRITE about ``2 + 2 bytes`` cycles per
    word; INPUT ``3 + 1 / simd`` per activation; RESULT about 6 per activation; READ about 15 per register. Flow
    control: valid/ready; waits only for the host to take answers, for ``starts``, for a run to end (RESULT) and for
    the core to take words and inputs and answer reads. Bad input: every request that arrives is answered; see
    ``Status``. Whatever came before, the next SYNC is answered once the core's run ends.
    Cost at simd 4, pe 8, the register file counted: 685 LUT4, 243 FF, 1 EBR on iCE40.

    Parameters
    ----------
    configuration
        What the core was built for; its digest is shown to the host and BEGIN must name it.
    build_id
        Registers BUILD_LOW and BUILD_HIGH: 64 bits.

    Members
    -------
    requests : ``In(stream(received_byte))``
        Contents of good frames.
    answers : ``Out(stream(response_byte))``
        Contents of frames to send.
    write, inputs, starts, reads, read_values
        The core; see ``sterna.gateware.interfaces``.
    running : ``In(cores)``
        By core: high from the cycle after ``starts`` was taken until all of the run's activations are written.
    counters, good_frames, bad_frames
        Shown to the host.
    core : ``Out(range(cores))``
        Whose ``inputs``, ``starts``, ``reads`` and ``read_values`` these are, if there are several cores.
    """

    def __init__(self, *, configuration: Configuration, build_id: int = 0):
        if not 0 <= build_id < 1 << 64:
            raise ValueError(f"build id is {build_id!r}; allowed: 0…2**64 - 1")
        self.configuration = c = configuration
        self.build_id = build_id
        super().__init__({
            "requests": In(stream.Signature(received_byte())),
            "answers": Out(stream.Signature(response_byte())),
            "write": Out(MemoryWrite(c)),
            "inputs": Out(stream.Signature(input_activation(c))),
            "starts": Out(stream.Signature(run_request())),
            "running": In(c.cores),
            "reads": Out(stream.Signature(read_request(c))),
            "read_values": In(stream.Signature(signed(c.act_bits))),
            "counters": In(counters()),
            "good_frames": In(32),
            "bad_frames": In(32),
        } | ({"core": Out(range(c.cores))} if c.cores > 1 else {}))  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._build_state(m)
        self._build_cores(m)
        self._build_walk(m)
        self._build_index(m)
        self._build_ports(m)
        with m.FSM():
            self._build_opening(m)
            self._build_judgement(m)
            self._build_work(m)
            self._build_answer(m)
        return m

    def _is(self, opcode: Opcode) -> ValueLike:
        return self._asked[opcode]

    def _build_state(self, m: Module) -> None:
        # Of the session and the image
        self._expected = Signal(8)
        self._open = Signal()  # between BEGIN and COMMIT
        self._loaded = Signal()
        self._run_slots = Signal(self.configuration.cores)  # by core
        m.submodules.crc = self._crc = Crc32c()
        m.submodules.registers = self._registers = registers = RegisterFile(
            configuration=self.configuration, build_id=self.build_id
        )
        self._several = self.configuration.cores > 1
        self._any_runs = self.running.any() if self._several else self.running
        m.d.comb += [
            registers.counters.eq(self.counters),
            registers.good_frames.eq(self.good_frames),
            registers.bad_frames.eq(self.bad_frames),
            registers.state.eq(self._loaded * State.LOADED | self._any_runs * State.RUNNING),
        ]
        # Of the request
        self._ahead = Signal(8)  # of the expected number, modulo 256
        self._asked = {opcode: Signal(name=f"asked_{opcode.name.lower()}") for opcode in Opcode}
        self._repeated = Signal()
        self._ended = Signal()  # its last byte was taken
        self._content_follows = Signal()  # words or activations
        m.d.comb += self._content_follows.eq(self._is(Opcode.WRITE) | self._is(Opcode.INPUT))
        self._status = Signal(Status)
        self._mismatch = Signal()  # BEGIN names another configuration
        self._first = Signal()  # of the activations of an INPUT
        self._illegal = Signal()  # the word holds an illegal trit
        # Arguments, then words or a register. Offsets are the same for all requests: 0 region or slot, 1…3 address,
        # 4…5 count; only START's arguments lie one behind the other.
        self._scratch = Signal(max(8 * 6, len(self.write.data)))
        self._index = Signal(range(max(8, len(self._scratch) // 8)))
        self._clear, self._keep = Signal(), Signal()  # the request's byte
        with m.If(self._clear):
            m.d.sync += self._scratch.eq(0)
        with m.Elif(self._keep):
            m.d.sync += self._scratch.word_select(self._index, 8).eq(self.requests.payload.data)
        half, low, self._high = Signal(16, reset_less=True), Signal(), Signal()  # of a register, a cycle later
        m.d.sync += [half.eq(registers.half), low.eq(registers.low), self._high.eq(registers.done)]
        with m.If(low):
            m.d.sync += self._scratch[:16].eq(half)
        with m.If(self._high):
            m.d.sync += self._scratch[16:32].eq(half)

    def _build_cores(self, m: Module) -> None:
        """Which core a request names. If there is but one, nothing is looked at and nothing kept."""
        cores = self.configuration.cores
        word, flags, slot = self._scratch[8:24], self._scratch[32:40], self._scratch[:8]
        if self._several:
            fields = {Opcode.INPUT: word % CHUNK, Opcode.START: flags[CORE_IN_FLAGS:], Opcode.RESULT: slot[1:]}
            self._no_core = {opcode: at_least(field, cores) for opcode, field in fields.items()}
            for opcode, field in fields.items():
                with m.If(self._is(opcode)):
                    m.d.comb += self.core.eq(field)
            self._slot, self._run_slot = slot[0], self._run_slots.bit_select(self.core, 1)
            self._runs = self.running.bit_select(self.core, 1)
        else:
            self._no_core = {Opcode.INPUT: word % CHUNK != 0}
            self._slot, self._run_slot, self._runs = slot.any(), self._run_slots, self.running

    def _build_walk(self, m: Module) -> None:
        c = self.configuration
        self._kind = kind = Signal(3, reset_less=True)  # of the words: a region, or
        self._judge = Signal()
        activations, registers = len(Region), len(Region) + 1
        with m.If(self._judge):  # the scratch register takes words later
            m.d.sync += kind.eq(self._scratch[:2])
            with m.If(self._is(Opcode.INPUT) | self._is(Opcode.RESULT)):
                m.d.sync += kind.eq(activations)
            with m.If(self._is(Opcode.READ)):
                m.d.sync += kind.eq(registers)

        self._word_bytes = [word_bytes(region, c) for region in Region]
        steps = [*self._word_bytes, c.simd, 1]
        depths = [*(region_words(region, c) for region in Region), c.activation_depth, REGISTER_COUNT]

        # One bit more than any valid address and any activation word, so that no walk comes round to zero.
        bits = max(len(self.write.address), 16)
        self._address = address = Signal(bits + 1, reset_less=True)
        self._bank = Signal(range(c.simd))
        self._count = count = Signal(MAX_CONTENT.bit_length())
        self._beyond = Signal()
        self._partial = Signal()
        self._negative = Signal()  # the count has gone below zero
        self._clear_count, self._load, self._walk, self._walked = (Signal() for _ in range(4))
        self._next_address, self._next_count = Signal(), Signal()

        step, outside = Signal(range(max(steps) + 1), reset_less=True), Signal()
        with m.Switch(kind):
            for k, depth in enumerate(depths):
                with m.Case(k):
                    m.d.sync += step.eq(steps[k])
                    m.d.comb += outside.eq(at_least(address, depth))

        rest = Signal(signed(len(count) + 1))
        given = self._scratch[8:32]
        if self._several:  # INPUT's word has the core in its low bits
            low = (CHUNK - 1).bit_length()
            given = Cat(given[:low] & ~self._is(Opcode.INPUT).replicate(low), given[low:])
        self._given = given
        counted = self._is(Opcode.RESULT) | self._is(Opcode.READ)
        named = Mux(counted, self._scratch[32:48], self.requests.payload.left)[: len(count)]
        # Loaded by the same subtraction: from -1, where it is cleared to before, ~n takes it to n.
        m.d.comb += [
            rest.eq(count - Mux(self._load, ~named, Mux(self._walk, step, 1))),
            self._walked.eq((count == 0) | self._negative),
        ]
        keep = Signal()
        m.d.comb += keep.eq(~self._load)
        with m.If(self._load | self._next_address | self._walk):
            # Minus ones is plus one; with a load, where it does not count, minus nothing: so a bit takes one cell.
            m.d.sync += address.eq(Mux(keep, address - keep.replicate(len(address)), given))
        with m.If(self._load | self._next_count | self._walk):
            m.d.sync += [count.eq(rest), self._negative.eq(rest < 0)]
        with m.If(self._clear_count):
            m.d.sync += count.eq(-1)
        with m.If(self._walk):
            m.d.sync += [self._beyond.eq(self._beyond | (outside & ~self._walked)), self._partial.eq(self._negative)]
        with m.Elif(self._load):
            m.d.sync += self._beyond.eq(given[len(address) :].any())

    def _build_index(self, m: Module) -> None:
        """What there is to tell of ``index`` stands in flip-flops, which are right when ``indexed``: a cycle after it
        has moved."""
        self._indexed = Signal()
        self._to_count, self._last_index, self._complete = Signal(), Signal(), Signal()
        before_count = {Opcode.READ: 1, Opcode.RESULT: 2}
        m.d.sync += [
            self._indexed.eq(~self._keep & ~self._load),
            self._to_count.eq(Cat(self._is(code) & (self._index == k) for code, k in before_count.items()).any()),
            self._last_index.eq(Cat(self._is(code) & (self._index == k) for code, k in _LAST_INDEX.items()).any()),
        ]
        with m.Switch(self._kind):
            for region in Region:
                with m.Case(region):
                    m.d.sync += self._complete.eq(self._index == self._word_bytes[region] - 1)
            with m.Default():
                m.d.sync += self._complete.eq(0)

    def _build_ports(self, m: Module) -> None:
        c = self.configuration
        # But where a state asks:
        m.d.sync += [port.valid.eq(0) for port in (self.write, self.inputs, self.starts, self.reads)]
        limit = max_activation(c.act_bits)
        value = self.requests.payload.data
        above = ~value[7] & at_least(value[:7], limit + 1)
        below = value[7] & ~at_least(value[:7], 128 - limit)
        m.d.comb += [
            self.answers.payload.data.eq(self.requests.payload.data),  # but where a state says what else
            self._crc.data.eq(self.requests.payload.data),
            self.write.region.eq(self._kind),
            self.write.address.eq(self._address),
            self.write.data.eq(self._scratch),
            self.inputs.payload.word.eq(self._given[:16]),
            self.inputs.payload.first.eq(self._first),
            self._registers.register.eq(self._address),
            self.reads.payload.word.eq(self._address),
            self.reads.payload.bank.eq(self._bank),
        ]
        m.d.sync += [
            self.inputs.payload.value.eq(Mux(above, limit, Mux(below, -limit, value.as_signed()))),
            self.inputs.payload.last.eq(self.requests.payload.last),
        ]
        entry, offset, flags, ops = (self._scratch[low:high] for low, high in ((0, 16), (16, 32), (32, 40), (40, 48)))
        self._entry = entry
        self._slot_flag = flags[(StartFlag.SLOT - 1).bit_length()]
        m.d.comb += [
            self.starts.payload.entry.eq(entry),
            self.starts.payload.offset.eq(offset),
            self.starts.payload.no_activation_skip.eq((flags & StartFlag.NO_ACTIVATION_SKIP).any()),
            self.starts.payload.no_block_skip.eq((flags & StartFlag.NO_BLOCK_SKIP).any()),
            self.starts.payload.ops.eq(ops),
        ]

    def _refuse(self, m: Module, status: Status) -> None:
        m.d.sync += self._status.eq(status)
        m.next = "FINISH"

    def _build_opening(self, m: Module) -> None:
        """Sequence number, opcode, arguments."""
        byte = self.requests.payload
        # Behind by up to 127, or ahead by up to 128, or as expected; and whether there is such a request. A cycle late.
        even, ahead, behind, known = Signal(), Signal(), Signal(), Signal()
        rest = self._ahead[:7].any()
        m.d.sync += [
            even.eq(~self._ahead[7] & ~rest),
            ahead.eq(Mux(self._ahead[7], ~rest, rest)),
            behind.eq(self._ahead[7] & rest),
        ]

        with m.State("SEQUENCE"):
            m.d.comb += [
                self.answers.valid.eq(self.requests.valid),
                self.requests.ready.eq(self.answers.ready),
            ]
            with m.If(self.requests.valid & self.answers.ready):
                m.d.sync += self._ahead.eq(byte.data - self._expected)
                m.next = "OPCODE"

        syncs, bad_commit = Signal(), Signal()
        with m.State("OPCODE"):
            m.d.comb += [self.requests.ready.eq(1), self._clear.eq(1)]
            four_follow = byte.left == 1 + 4
            m.d.sync += [
                syncs.eq((byte.data == Opcode.SYNC) & four_follow),
                bad_commit.eq((byte.data == Opcode.COMMIT) & ~four_follow),
                known.eq(Cat(byte.data == opcode for opcode in Opcode).any()),
                *(self._is(opcode).eq(byte.data == opcode) for opcode in Opcode),
                self._ended.eq(byte.last),
                self._status.eq(Status.OK),
                self._index.eq((byte.data == Opcode.READ) | (byte.data == Opcode.INPUT)),
                self._bank.eq(0),
                self._mismatch.eq(0),
                self._illegal.eq(0),
                self._first.eq(1),
            ]
            with m.If(self.requests.valid):
                m.next = "JUDGE OPCODE"

        bad_length = self._ended | bad_commit  # the argument of a bad COMMIT must not come into the CRC
        verdict = _first((ahead, Status.OUT_OF_ORDER), (~known, Status.UNKNOWN_OPCODE), (bad_length, Status.BAD_LENGTH))
        with m.State("JUDGE OPCODE"):
            m.d.sync += self._repeated.eq(behind)
            with m.If(syncs | even):
                m.d.sync += self._expected.eq(self._expected - ~self._ahead)
            with m.If(syncs):
                m.next = "STATUS"
            with m.Else():
                m.d.sync += self._status.eq(verdict)
                m.next = "ARGUMENTS"
                with m.If(verdict != Status.OK):
                    m.next = "FINISH"

        with m.State("ARGUMENTS"):
            m.d.comb += [
                self.requests.ready.eq(self._indexed),
                self._keep.eq(self.requests.valid & self._indexed),
                self._clear_count.eq(1),
                self._crc.valid.eq(self._keep & self._is(Opcode.COMMIT) & ~self._repeated),
            ]
            digest = C(int.from_bytes(self.configuration.digest, "little"), 64)
            with m.If(self._keep):
                m.d.sync += [
                    self._mismatch.eq(self._mismatch | (digest.word_select(self._index[:3], 8) != byte.data)),
                    self._index.eq(Mux(self._to_count, 4, self._index + 1)),
                    self._ended.eq(byte.last),
                ]
                with m.If(self._last_index & (byte.last != self._content_follows)):
                    m.next = "JUDGE"
                with m.Elif(self._last_index | byte.last):
                    self._refuse(m, Status.BAD_LENGTH)

    def _build_judgement(self, m: Module) -> None:
        """What can be said before the work begins: JUDGE and DECIDE, then WALK and CHOOSE for those that name words."""
        begin, commit, start = (self._is(opcode) for opcode in (Opcode.BEGIN, Opcode.COMMIT, Opcode.START))
        held = Mux(self._repeated, self._loaded, self._open)
        no_core = Cat(self._is(opcode) & there for opcode, there in self._no_core.items()).any()
        nowhere = (
            (start & at_least(self._entry, self.configuration.program_depth))
            | (self._is(Opcode.WRITE) & at_least(self._scratch[:8], len(Region)))
            | no_core
        )
        too_long = self._is(Opcode.RESULT) & at_least(self._scratch[32:48], MAX_RESULT + 1)
        # Of these one holds at most, so that they need not wait for each other.
        refusals = {
            Status.WRONG_CONFIGURATION: begin & self._mismatch,
            Status.BUSY: begin & ~self._mismatch & ~self._repeated & self._any_runs,
            Status.NOT_LOADED: (commit & ~held) | (start & ~nowhere & ~self._loaded),
            # The CRC register has taken the words and the argument.
            Status.BAD_CHECKSUM: commit & ~self._repeated & self._open & ~self._crc.matched,
            Status.BAD_ADDRESS: nowhere & ~too_long,
            Status.BAD_LENGTH: too_long,
        }
        verdict = 0
        for status, holds in refusals.items():
            verdict |= holds.replicate(len(self._status)) & status

        with m.State("JUDGE"):
            m.d.comb += self._judge.eq(1)
            m.d.sync += self._status.eq(verdict)
            m.next = "DECIDE"

        with m.State("DECIDE"):
            m.d.comb += self._load.eq(1)
            m.next = "WALK"
            with m.If(self._content_follows & ~self.requests.valid):
                m.next = "AWAIT CONTENT"
            with m.If(start & ~self._repeated):
                m.next = "START"
            with m.If((self._status != Status.OK) | begin | commit | (start & self._repeated)):
                m.next = "FINISH"
            with m.If(~self._repeated & begin & (self._status == Status.OK)):
                m.d.comb += self._crc.start.eq(1)
                m.d.sync += [self._open.eq(1), self._loaded.eq(0)]
            with m.If(~self._repeated & commit & self._open):
                m.d.sync += [self._open.eq(0), self._loaded.eq(self._status == Status.OK)]

        with m.State("AWAIT CONTENT"):  # its first byte tells how much there is
            m.d.comb += self._clear_count.eq(1)
            m.next = "DECIDE"

        with m.State("WALK"):
            m.d.comb += self._walk.eq(1)
            with m.If(self._walked):
                m.next = "WALKED"

        with m.State("WALKED"):
            m.d.comb += self._clear_count.eq(1)
            m.next = "CHOOSE"

        storing = Signal()  # long before it is asked for
        m.d.sync += storing.eq(self._open | (self._loaded & (self._repeated | (self._kind != Region.PROGRAM))))
        verdict = _first(
            (self._is(Opcode.WRITE) & self._partial, Status.BAD_LENGTH),
            (self._beyond, Status.BAD_ADDRESS),
            ((self._is(Opcode.WRITE) & ~storing) | (self._is(Opcode.RESULT) & ~self._loaded), Status.NOT_LOADED),
        )
        with m.State("CHOOSE"):
            m.d.comb += self._load.eq(1)
            m.d.sync += [self._index.eq(0), self._status.eq(verdict)]
            m.next = "STATUS"
            with m.If(verdict != Status.OK):
                m.next = "FINISH"
            with m.Elif(self._is(Opcode.WRITE)):
                m.next = "TAKE WORD"
            with m.Elif(self._is(Opcode.INPUT)):
                m.next = "INPUT"
            with m.Elif(self._is(Opcode.RESULT) & self._runs & (self._run_slot == self._slot)):
                m.next = "WALKED"

    def _build_work(self, m: Module) -> None:
        """WRITE, INPUT and START; READ and RESULT are work of the answer."""
        byte = self.requests.payload
        pairs = [byte.data[low : low + 2] == _ILLEGAL_TRIT for low in range(0, 8, 2)]
        illegal = (self._kind == Region.WEIGHTS) & Cat(*pairs).any()

        with m.State("TAKE WORD"):
            m.d.comb += [
                self.requests.ready.eq(self._indexed),
                self._keep.eq(self.requests.valid & self._indexed),
                self._crc.valid.eq(self._keep & ~self._repeated),
            ]
            with m.If(self._keep):
                m.d.sync += [
                    self._index.eq(Mux(self._complete, 0, self._index + 1)),
                    self._illegal.eq(self._illegal | illegal),
                    self._ended.eq(byte.last),
                ]
                with m.If(self._complete):
                    m.next = "STORE WORD"

        with m.State("STORE WORD"):
            # A repeated WRITE after COMMIT finds its words stored, and a run may be reading them.
            done = Signal()
            m.d.comb += done.eq(self._loaded & self._repeated)
            m.d.sync += self.write.valid.eq(~self._illegal & ~done & ~(self.write.valid & self.write.ready))
            with m.If(self._illegal):
                with m.If(~self._repeated):
                    m.d.sync += [self._open.eq(0), self._loaded.eq(0)]
                self._refuse(m, Status.BAD_TRIT)
            with m.Elif(done | (self.write.valid & self.write.ready)):
                m.next = "STORED"

        with m.State("STORED"):
            m.d.comb += self._next_address.eq(1)
            m.next = "TAKE WORD"
            with m.If(self._ended):
                m.next = "STATUS"

        with m.State("INPUT"):
            taken = self.inputs.valid & self.inputs.ready
            m.d.comb += self.requests.ready.eq(taken)
            m.d.sync += self.inputs.valid.eq(self.requests.valid & ~taken)
            with m.If(taken):
                m.d.sync += self._first.eq(0)
                with m.If(byte.last):
                    m.next = "STATUS"

        with m.State("START"):
            m.d.sync += self.starts.valid.eq(~(self.starts.valid & self.starts.ready))
            with m.If(self.starts.valid & self.starts.ready):
                m.d.sync += self._run_slot.eq(self._slot_flag)
                m.next = "STATUS"

    def _build_answer(self, m: Module) -> None:
        byte, answer = self.requests.payload, self.answers.payload
        last_left = Signal()
        m.d.comb += last_left.eq(self._count == 0)

        with m.State("FINISH"):
            m.d.comb += self.requests.ready.eq(~self._ended)
            with m.If(self._ended):
                m.next = "STATUS"
            with m.Elif(self.requests.valid):
                m.d.sync += self._ended.eq(byte.last)

        with m.State("STATUS"):
            m.d.comb += [self.answers.valid.eq(1), answer.data.eq(self._status)]
            following = "SEQUENCE", "EXPECTED", "ECHO", "REGISTER", "REQUEST"
            choice = Signal(range(len(following)))
            with m.If(self._status == Status.OUT_OF_ORDER):
                m.d.comb += choice.eq(1)
            with m.Elif(self._status == Status.OK):
                with m.If(self._is(Opcode.SYNC)):
                    m.d.comb += choice.eq(2)
                with m.Elif(self._is(Opcode.READ) & ~last_left):
                    m.d.comb += choice.eq(3)
                with m.Elif(self._is(Opcode.RESULT) & ~last_left):
                    m.d.comb += choice.eq(4)
            m.d.comb += answer.last.eq(choice == 0)
            with m.If(self.answers.ready):
                for k, state in enumerate(following):
                    with m.If(choice == k):
                        m.next = state

        with m.State("EXPECTED"):
            m.d.comb += [self.answers.valid.eq(1), answer.data.eq(self._expected), answer.last.eq(1)]
            with m.If(self.answers.ready):
                m.next = "SEQUENCE"

        with m.State("ECHO"):
            m.d.comb += [
                self.answers.valid.eq(self.requests.valid),
                self.requests.ready.eq(self.answers.ready),
                answer.last.eq(byte.last),
            ]
            with m.If(self.requests.valid & self.answers.ready & byte.last):
                m.next = "SEQUENCE"

        with m.State("REGISTER"):
            m.d.comb += self._registers.ask.eq(1)
            with m.If(self._high):
                m.d.comb += [self._next_address.eq(1), self._next_count.eq(1)]
                m.next = "REGISTER BYTES"

        with m.State("REGISTER BYTES"):
            ends = Signal()
            m.d.comb += [
                ends.eq(self._index[:2] == 3),
                self.answers.valid.eq(1),
                answer.data.eq(self._scratch[:32].word_select(self._index[:2], 8)),
                answer.last.eq(ends & last_left),
            ]
            with m.If(self.answers.ready):
                m.d.sync += self._index[:2].eq(self._index[:2] + 1)
                with m.If(ends):
                    m.next = "REGISTER"
                with m.If(ends & last_left):
                    m.next = "SEQUENCE"

        with m.State("REQUEST"):
            m.d.sync += self.reads.valid.eq(~(self.reads.valid & self.reads.ready))
            with m.If(self.reads.valid & self.reads.ready):
                m.next = "REQUESTED"

        with m.State("REQUESTED"):
            m.d.comb += [
                self._next_count.eq(1),
                self._next_address.eq(self._bank == self.configuration.simd - 1),
            ]
            m.d.sync += self._bank.eq(self._bank + 1)
            m.next = "VALUE"

        with m.State("VALUE"):
            m.d.comb += [
                self.answers.valid.eq(self.read_values.valid),
                self.read_values.ready.eq(self.answers.ready),
                answer.data.eq(self.read_values.payload),
                answer.last.eq(last_left),
            ]
            with m.If(self.read_values.valid & self.answers.ready):
                m.next = "REQUEST"
                with m.If(last_left):
                    m.next = "SEQUENCE"
