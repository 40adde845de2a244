"""Registers that READ returns: identity, state and counters; 32 bits each, counters modulo 2**32.

Counters run on from power-up, and a reset moves them by any amount; a reader takes differences. Of the core's cycles,
each falls into exactly one class:
``CYCLES = ISSUE_CYCLES + EMPTY_CYCLES + IDLE_CYCLES + REQUANTISER_STALLS + MEMORY_STALLS``.
With several cores each of these counts is the sum over all: a cycle in which two cores run is two CYCLES, so that
CYCLES over inferences is what one inference takes, however many cores share the work.
Of the block positions that the feeders walked, ``POSITIONS - STORED`` were skipped as zero blocks and
``STORED - ISSUED`` because their activation was zero.
"""

from enum import IntEnum

MAGIC = int.from_bytes(b"STRN", "little")


class Register(IntEnum):
    """Register numbers."""

    MAGIC = 0
    FORMAT = 1
    """``FORMAT_VERSION`` of ``sterna.spec.configuration``."""
    DIGEST_LOW = 2
    """First four bytes of the configuration's digest, as a little-endian number."""
    DIGEST_HIGH = 3
    BUILD_LOW = 4
    """Build id: digest of build plan and toolchain."""
    BUILD_HIGH = 5
    STATE = 6
    """Bits of :class:`State`."""
    GOOD_FRAMES = 7
    BAD_FRAMES = 8
    """Frames dropped: stuffing, length or CRC wrong."""
    CYCLES = 9
    """Cycles in which a run was under way, of all cores together."""
    ISSUE_CYCLES = 10
    """… in which at least one feeder issued."""
    EMPTY_CYCLES = 11
    """… in which feeders held work but none issued: chunks whose positions were all skipped."""
    IDLE_CYCLES = 12
    """… in which no feeder held work: descriptors, pipeline filling and draining between ops."""
    REQUANTISER_STALLS = 13
    """… in which the lanes waited until their sums could be captured, or nothing was read that might have had to."""
    MEMORY_STALLS = 14
    """… in which the activation or weight memories were another user's."""
    ISSUED = 15
    """Blocks issued to the lanes."""
    STORED = 16
    """Block positions walked whose block is stored: those that are not all zero, or all."""
    POSITIONS = 17
    """Block positions walked."""


class State(IntEnum):
    """Bits of ``Register.STATE``."""

    LOADED = 1 << 0
    RUNNING = 1 << 1


REGISTER_COUNT = len(Register)
