"""The accelerator's memories and what a program does to them, by decoding descriptors, masks and blocks.

Written from the contracts alone: it shares nothing with the compiler or the golden model, so that it checks that an
image means what the network means. Counts issue slots exactly; knows nothing of cycles.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.spec.arithmetic import MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS, max_activation, requantise
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OpDescriptor, PlaneDescriptor
from sterna.spec.frames import StartFlag
from sterna.spec.image import PARAMETER_BYTES, Region, word_bytes

Int64 = npt.NDArray[np.int64]

_TRITS = np.array([0, 1, 0, -1], np.int8)
_ILLEGAL_TRIT = 0b10


def _wrapped(values: Int64, bits: int) -> Int64:
    """Two's complement of ``bits`` bits."""
    half = 1 << (bits - 1)
    return ((values + half) & ((1 << bits) - 1)) - half


@dataclass
class _Pointers:
    """Where the next weight block of each bank, mask word and parameter memory word lie."""

    weights: Int64
    mask: int = 0
    parameter: int = 0


@dataclass(frozen=True)
class _Walk:
    """One plane of one tile: what its windows meet."""

    plane: PlaneDescriptor
    stored: npt.NDArray[np.bool_]
    """(simd, rows, positions): whether the block is stored."""
    trits: npt.NDArray[np.int8]
    """(simd, rows, positions, pe)."""
    multiplier: Int64
    """(pe,)."""


@dataclass(frozen=True)
class _Tile:
    walks: list[_Walk]
    shift: Int64
    bias: Int64


class Machine:
    """Memories of one configuration; they hold noise until written, as SRAM does after power-up."""

    def __init__(self, configuration: Configuration, *, seed: int = 0) -> None:
        c = self._c = configuration
        noise = np.random.default_rng(seed)
        self._weights = noise.integers(-1, 2, (c.simd, c.weight_depth, c.pe), np.int8)
        self._masks = noise.integers(0, 256, (c.simd, c.mask_depth), np.uint8)
        self._parameters = noise.integers(0, 2, (c.requantisers * c.parameter_depth, 3), np.int64)
        self._program = noise.integers(0, 1 << 16, c.program_depth, np.uint16)
        limit = max_activation(c.act_bits)
        self._activations = noise.integers(-limit, limit + 1, (c.simd, c.activation_depth), np.int8)
        self.issued = 0
        self.stored = 0
        self.positions = 0

    def write(self, region: Region, address: int, data: bytes) -> bool:
        """Writes whole words from ``address`` on, which the caller has checked. False if one holds an illegal trit."""
        c = self._c
        words = np.frombuffer(data, np.uint8).reshape(-1, word_bytes(region, c))
        at = slice(address, address + len(words))
        if region is Region.WEIGHTS:
            codes = (words[:, :, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3  # lane k: bits 2k and 2k+1
            if (codes == _ILLEGAL_TRIT).any():
                return False
            self._weights.reshape(-1, c.pe)[at] = _TRITS[codes].reshape(-1, c.pe)
        elif region is Region.MASKS:
            self._masks.reshape(-1)[at] = words[:, 0]
        elif region is Region.PARAMETERS:
            wide = np.zeros((len(words), 8), np.uint8)
            wide[:, :PARAMETER_BYTES] = words
            values = wide.view("<u8")[:, 0].astype(np.int64)
            self._parameters[at, 0] = values & ((1 << MULTIPLIER_BITS) - 1)
            self._parameters[at, 1] = (values >> MULTIPLIER_BITS) & ((1 << SHIFT_BITS) - 1)
            self._parameters[at, 2] = _wrapped(values >> (MULTIPLIER_BITS + SHIFT_BITS), SUM_BITS)
        else:
            self._program[at] = words.reshape(-1).view("<u2")
        return True

    def put(self, word: int, values: npt.NDArray[np.int8]) -> None:
        """Writes activations from a word on, and zeros up to the end of the last chunk of words.

        Activations beyond the symmetric range are taken as its nearer end.
        """
        group = CHUNK * self._c.simd
        padded = np.zeros(-(-len(values) // group) * group, np.int8)
        limit = max_activation(self._c.act_bits)
        padded[: len(values)] = np.clip(values, -limit, limit)
        self._activations[:, word : word + len(padded) // self._c.simd] = padded.reshape(-1, self._c.simd).T

    def get(self, word: int, count: int) -> npt.NDArray[np.int8]:
        """``count`` activations from a word on."""
        k = np.arange(count)
        return self._activations[k % self._c.simd, word + k // self._c.simd]

    def run(self, entry: int, offset: int, flags: int, ops: int) -> None:
        """Runs the program at ``entry`` as START says. Raises :class:`EncodingError` if it has no end."""
        program = [int(word) for word in self._program]
        pointers = _Pointers(np.zeros(self._c.simd, np.int64))
        done = 0
        while True:
            op, words = OpDescriptor.decode(program[entry:])
            self._run_op(op, offset, flags, pointers)
            entry += words
            done += 1
            if op.last or done == ops:
                return

    def _run_op(self, op: OpDescriptor, offset: int, flags: int, pointers: _Pointers) -> None:
        c = self._c
        tiles = [self._read_tile(op, pointers) for _ in range(op.tiles)]
        y, x = (axis.reshape(-1) for axis in np.mgrid[: op.height, : op.width])
        windows = [self._window_words(plane, offset, y, x) for plane in op.planes]
        lanes = (op.tiles - 1) * c.pe + min(op.tail_groups * c.requantisers, c.pe)
        elements = np.arange(len(y) * lanes)
        banks = elements % c.simd
        words = (op.destination + (offset if op.slotted else 0) + elements // c.simd) % c.activation_depth
        # An op that writes where it reads is carried out pixel by pixel, as the hardware would see it.
        overlaps = any(np.isin(window, words).any() for window in windows)
        step = 1 if overlaps else len(y)
        for first in range(0, len(y), step):
            some = slice(first, first + step)
            outputs = np.concatenate(
                [self._outputs(op, tile, [window[some] for window in windows], flags) for tile in tiles], axis=1
            )[:, :lanes]
            at = slice(first * lanes, (first + step) * lanes)
            self._activations[banks[at], words[at]] = outputs.reshape(-1)

    def _read_tile(self, op: OpDescriptor, pointers: _Pointers) -> _Tile:
        c = self._c
        walks = []
        for plane in op.planes:
            positions = (plane.chunks - 1) * CHUNK + plane.tail
            at = (pointers.mask + np.arange(plane.rows * plane.chunks)) % c.mask_depth
            bits = np.unpackbits(self._masks[:, at], axis=1, bitorder="little")
            stored = bits.reshape(c.simd, plane.rows, -1)[:, :, :positions].astype(bool)
            trits = np.zeros((*stored.shape, c.pe), np.int8)
            for bank in range(c.simd):
                count = int(stored[bank].sum())
                blocks = (pointers.weights[bank] + np.arange(count)) % c.weight_depth
                trits[bank][stored[bank]] = self._weights[bank, blocks]
                pointers.weights[bank] += count
            pointers.mask += plane.rows * plane.chunks
            lanes = (pointers.parameter * c.requantisers + np.arange(c.pe)) % len(self._parameters)
            pointers.parameter += c.pe // c.requantisers
            multiplier, shift, bias = self._parameters[lanes].T
            walks.append(_Walk(plane, stored, trits, multiplier))
        return _Tile(walks, shift, bias)

    def _window_words(self, plane: PlaneDescriptor, offset: int, y: Int64, x: Int64) -> Int64:
        """Activation words of every window: (pixels, rows, positions)."""
        start = plane.source + (offset if plane.slotted else 0) + y * plane.step_y + x * plane.step_x
        rows = np.arange(plane.rows)[:, None] * plane.pitch
        within = rows + np.arange((plane.chunks - 1) * CHUNK + plane.tail)
        words: Int64 = (start[:, None, None] + within) % self._c.activation_depth
        return words

    def _outputs(self, op: OpDescriptor, tile: _Tile, windows: list[Int64], flags: int) -> Int64:
        """(pixels, pe) activations."""
        total = np.zeros((len(windows[0]), self._c.pe), np.int64)
        for walk, window in zip(tile.walks, windows, strict=True):
            seen = self._activations[:, window]  # (simd, pixels, rows, positions)
            flat = seen.transpose(1, 0, 2, 3).reshape(len(window), -1).astype(np.float64)  # exact below 2**53
            sums = (flat @ walk.trits.reshape(-1, self._c.pe).astype(np.float64)).astype(np.int64)
            total += walk.multiplier * _wrapped(sums, self._c.acc_bits)
            self._count(walk, seen, flags)
        activations = requantise(_wrapped(total + tile.bias, SUM_BITS), tile.shift, op.minimum, op.maximum)
        return _wrapped(activations, self._c.act_bits)

    def _count(self, walk: _Walk, seen: npt.NDArray[np.int8], flags: int) -> None:
        pixels = seen.shape[1]
        active = np.full(walk.stored.shape, pixels) if flags & StartFlag.NO_ACTIVATION_SKIP else (seen != 0).sum(axis=1)
        issued = active.sum() if flags & StartFlag.NO_BLOCK_SKIP else active[walk.stored].sum()
        self.issued += int(issued)
        self.stored += pixels * int(walk.stored.sum())
        self.positions += pixels * walk.stored.size
