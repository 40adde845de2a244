"""The program of the link's processor: takes frames, carries out their requests, answers."""

from sterna.gateware.link.crc import RESIDUE
from sterna.gateware.link.instructions import Action, Assembler, Condition, Operation, Port, Source
from sterna.gateware.link.processor import ACTIVATIONS
from sterna.spec.configuration import CHUNK, FORMAT_VERSION, Configuration
from sterna.spec.frames import (
    CORE_IN_FLAGS,
    CRC_BYTES,
    LONGEST_BLOCK,
    MAX_CONTENT,
    MAX_RESULT,
    Opcode,
    StartFlag,
    Status,
)
from sterna.spec.image import Region, word_bytes
from sterna.spec.registers import MAGIC, REGISTER_COUNT, Register, State

HEADER_BYTES = 2
"""Sequence number and opcode."""
REGISTER_BYTES = 4
SIZES = REGISTER_BYTES * REGISTER_COUNT
"""Where the work memory holds the bytes of a word of each region, minus one."""
RESIDUE_AT = SIZES + len(Region) + 1
"""Where it holds what a good frame leaves in the CRC's register; activations are a kind of words too, of one byte."""
TABLE_BYTES = RESIDUE_AT + CRC_BYTES
ANY_CORE = 0x80
"""In the accumulator when it is asked whether any core runs."""
DIGEST_BYTES = 8
COUNTERS = [register for register in Register if register >= Register.CYCLES]
_RESIDUE = RESIDUE.to_bytes(4, "little")
_ARGUMENTS = [f"argument_{k}" for k in range(6)]
_NUMBER = [f"image_{k}" for k in range(CRC_BYTES)]


def work_contents(configuration: Configuration, build_id: int) -> list[int]:
    """The work memory at power-up: the registers that READ returns, and the sizes of words."""
    digest = int.from_bytes(configuration.digest, "little")
    constants = {
        Register.MAGIC: MAGIC,
        Register.FORMAT: FORMAT_VERSION,
        Register.DIGEST_LOW: digest,
        Register.DIGEST_HIGH: digest >> 32,
        Register.BUILD_LOW: build_id,
        Register.BUILD_HIGH: build_id >> 32,
    }
    registers = b"".join((constants.get(r, 0) & 0xFFFF_FFFF).to_bytes(REGISTER_BYTES, "little") for r in Register)
    return [*registers, *(word_bytes(region, configuration) - 1 for region in Region), 0, *_RESIDUE]


def program(configuration: Configuration) -> list[int]:
    """The instructions for a configuration."""
    return _Firmware(configuration).words()


class _Firmware:
    def __init__(self, configuration: Configuration):
        self.c = configuration
        self.a = Assembler(table=TABLE_BYTES)

    def words(self) -> list[int]:
        a = self.a
        for name in (*_ARGUMENTS, *_NUMBER, *self._run_slots()):  # those of a kind lie one behind the other
            a.place(name)
        a.load(0)
        a.store("expected", "open", "loaded", "block", *self._run_slots())
        a.set("turn", REGISTER_BYTES * Register.CYCLES)
        self._frame()
        self._opening()
        self._pieces()
        self._read()
        self._begin()
        self._write()
        self._commit()
        self._input()
        self._start()
        self._result()
        self._sync()
        self._answer()
        self._counters()
        return a.assembled()

    def _run_slots(self) -> list[str]:
        return [f"run_slot_{core}" for core in range(self.c.cores)]

    # --- Small pieces

    def _unless_zero(self, target: str) -> None:
        self.a.branch(Condition.ZERO, target, unless=True)

    def _if_zero(self, target: str) -> None:
        self.a.branch(Condition.ZERO, target)

    def _if_at_least(self, low: str, high: str, bound: int, target: str) -> None:
        """If a number of two bytes is ``bound`` or more."""
        a = self.a
        a.load(low)
        a.sub(bound & 0xFF)
        a.load(high)
        a.sbc(bound >> 8)
        a.branch(Condition.CARRY, target)

    def _arguments(self, count: int, *, more: bool = False) -> None:
        """Bytes of the request into named bytes; there have to be so many, and ``more`` or none besides."""
        self.a.load(count)
        self.a.call("arguments and more" if more else "all arguments")

    def _index_at(self, name: str) -> None:
        self.a.load(self.a.place(name))
        self.a.act(Action.SET_INDEX)

    def _set_count(self, count: int) -> None:
        a = self.a
        a.load(count & 0xFF)
        a.act(Action.COUNT_LOW)
        a.load(count >> 8)
        a.act(Action.COUNT_HIGH)

    def _loop(self, label: str, rounds: int) -> None:
        """What follows is done so often, up to a branch of LENGTH to the label."""
        a = self.a
        a.load(rounds - 1)
        a.act(Action.LENGTH)
        a.label(label)

    def _pieces(self) -> None:
        """What several requests do."""
        a = self.a
        # As many arguments as the accumulator says are taken.
        a.label("arguments")
        a.store("byte")
        a.act(Action.LENGTH)
        self._index_at("argument_0")
        a.jump("argument next")
        a.label("argument")
        a.load(Source.RING)
        a.act(Action.STORE_TABLE, Action.INDEX_UP)
        a.label("argument next")
        a.branch(Condition.LENGTH, "argument")
        a.load("left_low")
        a.sub("byte")
        a.store("left_low")
        a.load("left_high")
        a.sbc(0)
        a.store("left_high")
        a.branch(Condition.CARRY, "bad length", unless=True)
        a.ret()
        a.label("all arguments")
        a.call("arguments")
        a.label("nothing left")
        a.load("left_low")
        self._unless_zero("bad length")
        a.load("left_high")
        self._unless_zero("bad length")
        a.ret()
        a.label("arguments and more")
        a.call("arguments")
        a.load("left_low")
        a.sub(1)
        a.load("left_high")
        a.sbc(0)
        a.branch(Condition.CARRY, "bad length", unless=True)
        a.ret()

        # Whether there are whole words, and whether all of them are where there is memory; then the first is next.
        a.label("activations")
        a.set("argument_3", 0)
        a.set("argument_0", ACTIVATIONS)
        a.label("words")
        a.call("first word")
        a.label("walk")
        a.load("size")
        a.act(Action.LENGTH)
        a.label("walk byte")
        a.branch(Condition.LENGTH, "walk more")
        a.act(Action.STEP)
        a.branch(Condition.COUNT, "walk")
        a.branch(Condition.BEYOND, "bad address")
        a.label("first word")
        a.load("argument_0")
        a.act(Action.KIND)
        a.add(SIZES)
        a.act(Action.SET_INDEX)
        a.indexed(Operation.LOAD, Source.TABLE)
        a.store("size")
        for k in range(3):
            a.load(f"argument_{1 + k}")
            a.act(Action.ADDRESS)
        a.load("left_low")
        a.sub(1)
        a.act(Action.COUNT_LOW)
        a.load("left_high")
        a.sbc(0)
        a.act(Action.COUNT_HIGH)
        a.ret()
        a.label("walk more")
        a.branch(Condition.COUNT, "walk byte")
        a.jump("bad length")

        # The image's CRC and the one that is worked on change places.
        a.label("exchange")
        self._index_at(_NUMBER[0])
        self._loop("exchange byte", CRC_BYTES)
        a.indexed(Operation.LOAD, Source.TABLE)
        a.act(Action.EXCHANGE)
        a.act(Action.STORE_TABLE, Action.INDEX_UP)
        a.branch(Condition.LENGTH, "exchange byte")
        a.ret()

    # --- Frames

    def _frame(self) -> None:
        """Takes the stuffing out of a frame in place, and checks it."""
        a = self.a
        a.label("frame")
        a.act(Action.MARK, Action.CRC_START)
        self._set_count(MAX_CONTENT + CRC_BYTES)
        a.call("receive")
        self._if_zero("look at one")
        a.label("code")
        a.store("code")
        a.sub(1)
        a.act(Action.LENGTH)
        a.jump("bytes")
        a.label("byte")
        a.call("receive")
        self._if_zero("damaged")
        a.act(Action.PUT)
        a.label("bytes")
        a.branch(Condition.LENGTH, "byte")
        a.call("receive")
        self._if_zero("end")
        a.store("byte")
        a.load("code")
        a.sub(LONGEST_BLOCK + 1)
        self._if_zero("no zero")
        a.load(0)
        a.act(Action.PUT)
        a.label("no zero")
        a.load("byte")
        a.jump("code")

        a.label("receive")
        a.branch(Condition.RECEIVED, "received")
        a.call("poll")
        a.branch(Condition.FULL, "receive", unless=True)
        a.branch(Condition.RECEIVED, "received")
        a.act(Action.MARK)  # a frame that fills the ring is forgotten, but for its length
        a.jump("receive")
        a.label("received")
        a.load(Source.RING)
        a.ret()

        a.label("damaged")
        a.act(Action.DAMAGED)
        a.load(REGISTER_BYTES * Register.BAD_FRAMES)
        a.call("rise")
        a.jump("look at all")

        a.label("end")
        # Arguments, as far as the request has the right length: what is left of the most that there may be.
        for k, name in enumerate(("left_low", "left_high")):
            a.load((MAX_CONTENT - HEADER_BYTES) >> 8 * k & 0xFF)
            (a.sbc if k else a.sub)(Port(Port.COUNT_LOW + k))
            a.store(name)
        a.branch(Condition.CARRY, "damaged", unless=True)
        a.load(RESIDUE_AT)
        a.act(Action.SET_INDEX)
        self._loop("residue", CRC_BYTES)
        a.act(Action.EXCHANGE)
        a.indexed(Operation.SUB, Source.TABLE, up=True)
        self._unless_zero("damaged")
        a.branch(Condition.LENGTH, "residue")
        a.load(REGISTER_BYTES * Register.GOOD_FRAMES)
        a.call("rise")
        a.act(Action.BACK)

    # --- Requests

    def _opening(self) -> None:
        """Sequence number and opcode."""
        a = self.a
        for name in "sequence", "opcode":
            a.load(Source.RING)
            a.store(name)
        a.sub(Opcode.SYNC)
        self._if_zero("SYNC")
        a.label("in order")
        a.load("sequence")
        a.sub("expected")
        self._if_zero("expected one")
        a.sub(129)
        a.load(1)
        a.branch(Condition.CARRY, "judge")
        a.load(Status.OUT_OF_ORDER)
        a.jump("status")
        a.label("expected one")
        a.load("sequence")
        a.add(1)
        a.store("expected")
        a.load(0)
        a.label("judge")
        a.store("repeated")
        a.load("opcode")
        before = 0
        for opcode in Opcode:
            a.sub(opcode - before)
            self._if_zero("bad length" if opcode == Opcode.SYNC else opcode.name)  # it comes here for that only
            before = opcode
        a.load(Status.UNKNOWN_OPCODE)
        a.jump("status")
        for status in Status:
            if status in (Status.OK, Status.OUT_OF_ORDER, Status.UNKNOWN_OPCODE):
                continue
            a.label(status.name.lower().replace("_", " "))
            a.load(status)
            a.jump("status")

    def _sync(self) -> None:
        a = self.a
        a.label("SYNC")
        a.load("left_high")
        self._unless_zero("in order")
        a.load("left_low")
        a.sub(4)
        self._unless_zero("in order")
        self._arguments(4)
        a.load("sequence")
        a.add(1)
        a.store("expected")
        a.label("fine")
        a.load(Status.OK)

    def _read(self) -> None:
        a = self.a
        a.label("READ")
        self._arguments(2)
        a.load("argument_1")
        a.add("argument_0")
        a.branch(Condition.CARRY, "bad address")
        a.sub(REGISTER_COUNT + 1)
        a.branch(Condition.CARRY, "bad address")
        a.load("argument_0")
        for _ in range(2):  # the register's place in the table
            a.add("argument_0")
            a.store("argument_0")
        a.jump("fine")

    def _begin(self) -> None:
        a = self.a
        a.label("BEGIN")
        a.load("left_low")
        a.sub(DIGEST_BYTES)
        a.store("left_low")
        a.call("nothing left")
        a.load(REGISTER_BYTES * Register.DIGEST_LOW)
        a.act(Action.SET_INDEX)
        self._loop("digest", DIGEST_BYTES)
        a.load(Source.RING)
        a.indexed(Operation.SUB, Source.TABLE, up=True)
        self._unless_zero("wrong configuration")
        a.branch(Condition.LENGTH, "digest")
        a.load("repeated")
        self._unless_zero("fine")
        if self.c.cores > 1:
            a.load(ANY_CORE)
        a.branch(Condition.RUNS, "busy")
        if self.c.cores > 1:
            a.load(0)
        a.store("loaded", *_NUMBER)
        a.set("open", 1)
        a.jump("fine")

    def _commit(self) -> None:
        a = self.a
        a.label("COMMIT")
        a.load("left_low")
        a.sub(CRC_BYTES)
        a.store("left_low")
        a.call("nothing left")
        a.load("repeated")
        self._if_zero("commit")
        a.load("loaded")
        self._if_zero("not loaded")
        a.jump("fine")
        a.label("commit")
        a.load("open")
        self._if_zero("not loaded")
        a.set("open", 0)
        self._index_at(_NUMBER[0])
        self._loop("image byte", CRC_BYTES)
        a.load(Source.RING)
        a.indexed(Operation.SUB, Source.TABLE, up=True)
        self._unless_zero("bad checksum")
        a.branch(Condition.LENGTH, "image byte")
        a.set("loaded", 1)
        a.jump("fine")

    def _write(self) -> None:
        a = self.a
        a.label("WRITE")
        self._arguments(4, more=True)
        a.load("argument_0")
        a.sub(len(Region))
        a.branch(Condition.CARRY, "bad address")
        a.call("words")
        a.load("open")
        self._unless_zero("store words")
        a.load("loaded")
        self._if_zero("not loaded")
        a.load("repeated")
        self._unless_zero("store words")
        a.load("argument_0")
        a.sub(Region.PROGRAM)
        self._if_zero("not loaded")
        a.label("store words")
        a.load("loaded")
        a.mask("repeated")
        self._unless_zero("fine")  # stored before, and a run may be reading it
        a.load("repeated")
        self._unless_zero("store word")
        a.call("exchange")
        a.label("store word")
        a.load("size")
        a.act(Action.LENGTH)
        a.label("store byte")
        a.load(Source.RING)
        a.branch(Condition.ILLEGAL, "illegal trit")
        a.act(Action.SUM)
        a.branch(Condition.LENGTH, "store more")
        a.act(Action.WRITE)
        a.label("store taken")
        a.branch(Condition.PENDING, "store taken")
        a.act(Action.STEP)
        a.branch(Condition.COUNT, "store word")
        a.load("repeated")
        self._unless_zero("fine")
        a.call("exchange")
        a.jump("fine")
        a.label("store more")
        a.branch(Condition.COUNT, "store byte")

        a.label("illegal trit")
        a.load("repeated")
        self._unless_zero("bad trit")
        a.store("open", "loaded")
        a.jump("bad trit")

    def _input(self) -> None:
        a = self.a
        a.label("INPUT")
        self._arguments(2, more=True)
        a.load("argument_1")
        a.store("argument_2")
        a.load("argument_0")
        a.mask(CHUNK - 1)
        if self.c.cores > 1:
            a.act(Action.CORE)
            a.sub(self.c.cores)
            a.branch(Condition.CARRY, "bad address")
        else:
            self._unless_zero("bad address")
        a.load("argument_0")
        a.mask(0x100 - CHUNK)
        a.store("argument_1")
        a.call("activations")
        a.label("input")
        a.branch(Condition.PENDING, "input")
        a.load(Source.RING)
        a.act(Action.INPUT)
        a.branch(Condition.COUNT, "input")
        a.label("input taken")
        a.branch(Condition.PENDING, "input taken")
        a.jump("fine")

    def _start(self) -> None:
        a, c = self.a, self.c
        a.label("START")
        self._arguments(6)
        if c.program_depth < 1 << 16:
            if c.program_depth < 1 << 8:
                a.load("argument_0")
                a.sub(c.program_depth)
            a.load("argument_1")
            (a.sbc if c.program_depth < 1 << 8 else a.sub)(c.program_depth >> 8)
            a.branch(Condition.CARRY, "bad address")
        if c.cores > 1:
            self._core_of("argument_4", 1 << CORE_IN_FLAGS)
        a.load("loaded")
        self._if_zero("not loaded")
        a.load("repeated")
        self._unless_zero("fine")
        # While it waits, its bytes leave the ring to those that the host has sent meanwhile.
        a.act(Action.NEXT)
        a.act(Action.MARK)
        a.act(Action.START)
        a.label("start")
        a.call("poll")
        a.branch(Condition.PENDING, "start")
        self._index_run_slot()
        a.load("argument_4")
        a.mask(StartFlag.SLOT)
        a.act(Action.STORE_TABLE)
        a.jump("fine")

    def _index_run_slot(self) -> None:
        a = self.a
        a.load(a.place("run_slot_0"))
        if self.c.cores > 1:
            a.add("core")
        a.act(Action.SET_INDEX)

    def _core_of(self, name: str, unit: int) -> None:
        """Takes the core, in units of ``unit``, out of a byte."""
        a = self.a
        a.load(name)
        a.sub(unit * self.c.cores)
        a.branch(Condition.CARRY, "bad address")
        a.load(0)
        a.label(f"core of {name}")
        a.store("core")
        a.act(Action.CORE)
        a.load(name)
        a.sub(unit)
        a.branch(Condition.CARRY, f"core in {name}", unless=True)
        a.store(name)
        a.load("core")
        a.add(1)
        a.jump(f"core of {name}")
        a.label(f"core in {name}")

    def _result(self) -> None:
        a, c = self.a, self.c
        a.label("RESULT")
        self._arguments(5)
        for name, argument in ("left_low", "argument_3"), ("left_high", "argument_4"):
            a.load(argument)
            a.store(name)
        self._if_at_least("left_low", "left_high", MAX_RESULT + 1, "bad length")
        if c.cores > 1:
            self._core_of("argument_0", 2)
        a.load("argument_0")
        if c.cores == 1:
            self._if_zero("slot 0")
            a.load(1)
            a.label("slot 0")
        a.store("slot")
        a.load("left_low")
        self._unless_zero("some")
        a.load("left_high")
        self._unless_zero("some")
        a.store("opcode")  # none: nothing follows the status
        a.jump("none")
        a.label("some")
        a.call("activations")
        a.label("none")
        a.load("loaded")
        self._if_zero("not loaded")
        a.label("result")
        self._index_run_slot()
        a.indexed(Operation.LOAD, Source.TABLE)
        a.sub("slot")
        self._unless_zero("fine")
        a.branch(Condition.RUNS, "fine", unless=True)
        a.call("poll")
        a.jump("result")

    # --- Answers

    def _answer(self) -> None:
        a = self.a
        a.label("status")
        a.store("status")
        a.act(Action.CRC_START)
        for name in ("sequence", "status"):
            a.load(name)
            a.call("append")
        a.load("status")
        self._if_zero("data")
        a.sub(Status.OUT_OF_ORDER)
        self._unless_zero("close")
        a.load("expected")
        a.call("append")
        a.jump("close")
        a.label("data")
        a.load("opcode")
        before = 0
        for opcode, label in ((Opcode.SYNC, "echo"), (Opcode.READ, "registers"), (Opcode.RESULT, "values")):
            a.sub(opcode - before)
            self._if_zero(label)
            before = opcode

        a.label("close")
        self._loop("close byte", CRC_BYTES)
        a.act(Action.EXCHANGE)
        a.call("append unsummed")
        a.branch(Condition.LENGTH, "close byte")
        a.call("flush")
        a.store("at")  # nothing is left of the block: a delimiter goes out alone
        a.call("flush byte")
        a.act(Action.NEXT)
        a.act(Action.MARK)
        a.label("look at all")
        self._loop("look at one", len(COUNTERS))
        a.call("poll")
        a.branch(Condition.LENGTH, "look at one")
        a.jump("frame")
        a.label("echo")
        for k in range(4):
            a.load(f"argument_{k}")
            a.call("append")
        a.jump("close")

        a.label("registers")
        a.load("argument_1")
        self._if_zero("close")
        a.sub(1)
        a.store("argument_1")
        a.load("argument_0")
        a.sub(REGISTER_BYTES * Register.CYCLES)
        a.branch(Condition.CARRY, "no counter", unless=True)
        a.load("argument_0")
        a.call("look")
        a.label("no counter")
        if self.c.cores > 1:
            a.load(ANY_CORE)
            a.branch(Condition.RUNS, "some runs")
            a.load(0)
            a.jump("none runs")
            a.label("some runs")
            a.load(State.RUNNING)
            a.label("none runs")
            a.add("loaded")
        else:
            a.load("loaded")
            a.branch(Condition.RUNS, "none runs", unless=True)
            a.add(State.RUNNING)
            a.label("none runs")
        a.store_at(REGISTER_BYTES * Register.STATE)
        a.load("argument_0")
        a.act(Action.SET_INDEX)
        a.add(REGISTER_BYTES)
        a.store("argument_0")
        for k in range(REGISTER_BYTES):  # all at once: counters are looked at while others wait to be sent
            a.indexed(Operation.LOAD, Source.TABLE, up=True)
            a.store(f"byte_{k}")
        for k in range(REGISTER_BYTES):
            a.load(f"byte_{k}")
            a.call("append")
        a.jump("registers")

        a.label("values")
        a.act(Action.READ)
        a.call("poll")
        a.label("await value")
        a.branch(Condition.VALUE, "await value", unless=True)
        a.load(Port.VALUE)
        a.act(Action.STEP)
        a.call("append")
        a.branch(Condition.COUNT, "values")
        a.jump("close")

        # A block's bytes wait for its code.
        a.label("append")
        a.act(Action.SUM)
        a.label("append unsummed")
        a.store("byte")
        self._if_zero("flush")
        a.load("block")
        a.act(Action.SET_INDEX)
        a.add(1)
        a.store("block")
        a.load("byte")
        a.act(Action.STORE_BLOCK)
        a.load("block")
        a.sub(LONGEST_BLOCK)
        self._if_zero("flush")
        a.ret()
        a.label("flush")
        a.load(0)
        a.store("at")
        a.load("block")
        a.add(1)
        a.label("flush byte")
        a.store("byte")
        a.label("send")
        a.branch(Condition.SENT, "await sent", unless=True)
        a.load("byte")
        a.act(Action.SEND)
        a.load("at")
        a.act(Action.SET_INDEX)
        a.sub("block")
        self._if_zero("flushed")
        a.load("at")
        a.add(1)
        a.store("at")
        a.indexed(Operation.LOAD, Source.BLOCK)
        a.jump("flush byte")
        a.label("await sent")
        a.call("poll")
        a.jump("send")
        a.label("flushed")
        a.store("block")
        a.ret()

    # --- Counters

    def _counters(self) -> None:
        """What the counters have moved since they were looked at last goes into the table."""
        a = self.a
        a.label("poll")
        a.load("turn")
        a.add(REGISTER_BYTES)
        a.store("turn")
        a.sub(REGISTER_BYTES * REGISTER_COUNT)
        a.load("turn")
        a.branch(Condition.CARRY, "look", unless=True)
        a.set("turn", REGISTER_BYTES * Register.CYCLES)
        a.label("look")
        a.act(Action.SET_INDEX)
        a.act(Action.LATCH)
        a.load(0)
        a.sub(0)  # sets the carry
        a.label("look on")
        a.load(Port.SEEN)
        a.indexed(Operation.SBC, Source.TABLE)
        a.load(Port.SEEN)
        a.act(Action.STORE_TABLE, Action.INDEX_UP)
        a.branch(Condition.UNSEEN, "look on")
        a.branch(Condition.CARRY, "risen")
        a.label("rise on")
        a.indexed(Operation.LOAD, Source.TABLE)
        a.add(1)
        a.act(Action.STORE_TABLE, Action.INDEX_UP)
        a.branch(Condition.ALIGNED, "risen")
        self._if_zero("rise on")
        a.label("risen")
        a.ret()
        a.label("rise")
        a.act(Action.SET_INDEX)
        a.jump("rise on")
