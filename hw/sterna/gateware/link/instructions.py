"""Instructions of the link's processor, and the assembler that makes a program of them.

A word has 16 bits:

* ``1 · invert · condition (4) · target (10)``: a branch;
* ``0 0 · operation (3) · source (3) · operand (8)``: the accumulator and a byte from ``source``;
* ``0 1 · group (3) · x · x · x · operand (8)``: group 0 stores the accumulator in the work memory at ``operand``; in
  the others each bit of the operand is an action of its own.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from sterna.spec.errors import ConfigurationError

PROGRAM_DEPTH = 1024
"""At most; small parts have room for half of it."""
WORK_DEPTH = 512
BLOCK_PAGE = 256
"""Where the half of the work memory begins that :attr:`Source.BLOCK` reads."""


class Operation(IntEnum):
    """What becomes of the accumulator ``a``, given a byte ``b``. All but LOAD and AND set the carry, which is high
    after a difference that is not negative."""

    LOAD = 0
    AND = 1
    ADD = 2
    ADC = 3
    """… with the carry."""
    SUB = 4
    SBC = 5
    """… with the carry of the difference of lower bytes."""


class Source(IntEnum):
    """Where the byte comes from."""

    IMMEDIATE = 0
    WORK = 1
    """The work memory's lower half, at the operand."""
    TABLE = 2
    """The same at the index, which goes up by one afterwards if bit 7 of the operand is set."""
    BLOCK = 3
    """The upper half, at the index, likewise."""
    RING = 4
    """The ring, at the reading pointer, which goes up by one. The byte is shifted into the data too, from the top."""
    PORT = 5
    """A :class:`Port`."""


class Port(IntEnum):
    """Bytes of the hardware."""

    COUNT_LOW = 0
    COUNT_HIGH = 1
    VALUE = 2
    """The activation that was read; takes it."""
    SEEN = 4
    """Of the counter that was latched the byte that the index's low two bits say."""


class Condition(IntEnum):
    """Of a branch."""

    ALWAYS = 0
    ZERO = 1
    """The accumulator is zero."""
    CARRY = 2
    COUNT = 3
    """The count is not zero; it goes down by one."""
    LENGTH = 4
    """The length is not zero; it goes down by one."""
    RECEIVED = 5
    """A byte is in the ring at the reading pointer."""
    FULL = 6
    """The ring takes no byte."""
    SENT = 7
    """The transmitter takes a byte."""
    PENDING = 8
    """The core has not taken what was offered."""
    VALUE = 9
    """An activation was read."""
    BEYOND = 10
    """Since KIND, STEP came with an address outside its memory."""
    ILLEGAL = 11
    """The accumulator holds an illegal trit, or in ``trit5`` a byte that it does not use, and the words are weights."""
    RUNS = 12
    """The chosen core runs, or any if the accumulator's top bit is set."""
    ALIGNED = 13
    """The index is a multiple of four."""
    UNSEEN = 14
    """The index has not gone through all bytes of the counter that was latched."""
    CALL = 15
    """Always, and the next RETURN comes back. Two calls may be under way."""


class Action(IntEnum):
    """``group * 8 + bit``. Those of a group can be done at once."""

    PUT = 8
    """The accumulator to the ring at the writing pointer, which goes up by one; the count goes down, but not below
    -1, which is 1023."""
    SUM = 9
    """The accumulator into the CRC."""
    CRC_START = 10
    MARK = 11
    """The frame begins at the reading pointer: the writing pointer and the end of the ring's room go there."""
    BACK = 12
    """The pointers change: reading goes back to where the frame began, the writing one keeps where it ended."""
    NEXT = 13
    """The reading pointer goes to the writing one."""
    EXCHANGE = 14
    """The accumulator and the CRC's low byte; the CRC moves down, the accumulator enters at its top."""
    RETURN = 15
    STORE_TABLE = 16
    """The accumulator to the work memory's lower half at the index; with INDEX_UP."""
    STORE_BLOCK = 17
    INDEX_UP = 18
    SET_INDEX = 19
    COUNT_LOW = 20
    COUNT_HIGH = 21
    LENGTH = 22
    SEND = 23
    ADDRESS = 24
    """A byte into the address, from the top; three make one."""
    STEP = 26
    """The address goes up: by a word, or by a bank of activations."""
    KIND = 27
    """Of the words: a region, or 4 for activations; bank 0 is next, and an activation is a burst's first."""
    LATCH = 28
    """The counter of the register that the index lies in is seen from now on."""
    CORE = 29
    DAMAGED = 30
    """Tells of a damaged frame."""
    WRITE = 32
    INPUT = 33
    """The burst's last where the count is zero."""
    START = 34
    READ = 35


@dataclass
class _Word:
    bits: int
    target: str | None = None


@dataclass
class Assembler:
    """A program in the making. Names are those of work bytes and labels. Raises :class:`ConfigurationError` for a name
    that is not there or there twice, and for a program that is too long."""

    table: int
    """Bytes at the beginning of the work memory that have no names."""
    _words: list[_Word] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)
    _bytes: dict[str, int] = field(default_factory=dict)

    def place(self, name: str) -> int:
        """Where the work memory holds a named byte; a new one lies behind all others."""
        return self._bytes.setdefault(name, self.table + len(self._bytes))

    def label(self, name: str) -> None:
        """The next instruction."""
        if name in self._labels:
            raise ConfigurationError(f"label {name!r} is there twice")
        self._labels[name] = len(self._words)

    def do(self, operation: Operation, source: Source, operand: int = 0) -> None:
        """An operation on the accumulator."""
        self._words.append(_Word(operation << 11 | source << 8 | operand & 0xFF))

    def load(self, what: int | str | Source | Port) -> None:
        """A constant, a named byte, or what lies in a source."""
        self._accumulate(Operation.LOAD, what)

    def add(self, what: int | str | Source) -> None:
        self._accumulate(Operation.ADD, what)

    def adc(self, what: int | str | Source) -> None:
        self._accumulate(Operation.ADC, what)

    def sub(self, what: int | str | Source) -> None:
        self._accumulate(Operation.SUB, what)

    def sbc(self, what: int | str | Source) -> None:
        self._accumulate(Operation.SBC, what)

    def mask(self, what: int | str) -> None:
        self._accumulate(Operation.AND, what)

    def _accumulate(self, operation: Operation, what: int | str | Source | Port) -> None:
        if isinstance(what, Port):
            self.do(operation, Source.PORT, what)
        elif isinstance(what, Source):
            self.do(operation, what)
        elif isinstance(what, str):
            self.do(operation, Source.WORK, self.place(what))
        else:
            self.do(operation, Source.IMMEDIATE, what)

    def indexed(self, operation: Operation, source: Source, *, up: bool = False) -> None:
        """With a byte at the index."""
        self.do(operation, source, up << 7)

    def store(self, *names: str) -> None:
        """The accumulator in named bytes."""
        for name in names:
            self.store_at(self.place(name))

    def store_at(self, place: int) -> None:
        """The accumulator in the work memory's lower half."""
        self._words.append(_Word(1 << 14 | place))

    def set(self, name: str, value: int) -> None:
        """A named byte; the accumulator has it too."""
        self.load(value)
        self.store(name)

    def act(self, *actions: Action) -> None:
        """Actions of one group, all in one cycle."""
        (group,) = {action >> 3 for action in actions}
        self._words.append(_Word(1 << 14 | group << 11 | sum(1 << (action & 7) for action in actions)))

    def branch(self, condition: Condition, target: str, *, unless: bool = False) -> None:
        """If a condition holds, or unless it does."""
        self._words.append(_Word(1 << 15 | unless << 14 | condition << 10, target))

    def jump(self, target: str) -> None:
        self.branch(Condition.ALWAYS, target)

    def call(self, target: str) -> None:
        self.branch(Condition.CALL, target)

    def ret(self) -> None:
        self.act(Action.RETURN)

    def assembled(self) -> list[int]:
        """The program's words."""
        if len(self._words) > PROGRAM_DEPTH:
            raise ConfigurationError(f"the program has {len(self._words)} words; allowed: {PROGRAM_DEPTH}")
        if self.table + len(self._bytes) > BLOCK_PAGE:
            raise ConfigurationError(
                f"the program has {len(self._bytes)} named bytes; allowed: {BLOCK_PAGE - self.table}"
            )
        missing = {word.target for word in self._words if word.target is not None} - self._labels.keys()
        if missing:
            raise ConfigurationError(f"no label {min(missing)!r}")
        return [word.bits | (0 if word.target is None else self._labels[word.target]) for word in self._words]
