"""The accelerator's memories and what a program does to them, by decoding descriptors, masks and blocks.

Written from the contracts alone: it shares nothing with the compiler or the golden model, so that it checks that an
image means what the network means. Counts issue slots exactly; knows nothing of cycles.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.spec.arithmetic import MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS, max_activation, requantise
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OP_FIELDS, OpDescriptor, PlaneDescriptor
from sterna.spec.errors import EncodingError, IllegalTritError
from sterna.spec.image import PARAMETER_BYTES, Region, word_bytes
from sterna.spec.layout import whole_chunks, words

Int64 = npt.NDArray[np.int64]

MOST_OPS = 256
"""Of a run; START's byte for them is 0."""


def _wrapped(values: Int64, bits: int) -> Int64:
    """Two's complement of ``bits`` bits."""
    half = 1 << (bits - 1)
    return ((values + half) & ((1 << bits) - 1)) - half


@dataclass
class _Pointers:
    """Where the next weight block of each bank and the next mask word lie."""

    weights: Int64
    mask: int


@dataclass(frozen=True)
class _Blocks:
    """What the windows of one plane meet, in one phase."""

    stored: npt.NDArray[np.bool_]
    """(tiles, simd, rows, positions): whether the block is stored."""
    trits: npt.NDArray[np.int8]
    """(tiles, simd, rows, positions, pe)."""


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
        self._there = self._activations != 0  # what the masks say: zeros that are kept count
        self.issued = 0
        self.stored = 0
        self.positions = 0

    def write(self, region: Region, address: int, data: bytes) -> bool:
        """Writes whole words from ``address`` on, which the caller has checked. False if one holds an illegal trit."""
        c = self._c
        words = np.frombuffer(data, np.uint8).reshape(-1, word_bytes(region, c))
        at = slice(address, address + len(words))
        if region is Region.WEIGHTS:
            try:
                trits = c.weight_code.unpack(words.reshape(-1), len(words) * c.pe)
            except IllegalTritError:
                return False
            self._weights.reshape(-1, c.pe)[at] = trits.reshape(-1, c.pe)
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

        Activations beyond the symmetric range are taken as its nearer end. The program's first op says whether zeros
        among them are kept.
        """
        group = CHUNK * self._c.simd
        padded = np.zeros(-(-len(values) // group) * group, np.int8)
        limit = max_activation(self._c.act_bits)
        padded[: len(values)] = np.clip(values, -limit, limit)
        there = padded != 0
        there[: len(values)] |= self._keeps_zeros()
        at = slice(word, word + len(padded) // self._c.simd)
        self._activations[:, at] = padded.reshape(-1, self._c.simd).T
        self._there[:, at] = there.reshape(-1, self._c.simd).T

    def get(self, word: int, count: int) -> npt.NDArray[np.int8]:
        """``count`` activations from a word on."""
        k = np.arange(count)
        return self._activations[k % self._c.simd, word + k // self._c.simd]

    def _keeps_zeros(self) -> bool:
        """What the program's first op says, whether or not a whole program is there."""
        field = OP_FIELDS["keeps_zeros"]
        return bool(self._program[field.word] >> field.low & 1)

    def run(self, entry: int, offset: int, ops: int) -> None:
        """Runs the program at ``entry`` as START says.

        Raises :class:`EncodingError` if it has no end, or an op writes where it reads: what that gives is a matter of
        the hardware's timing.
        """
        program = [int(word) for word in self._program]
        done = 0
        while True:
            op, size = OpDescriptor.decode(program[entry:])
            self._run_op(op, offset)
            entry += size
            done += 1
            if op.last or done == (ops or MOST_OPS):
                return

    def _run_op(self, op: OpDescriptor, offset: int) -> None:
        c = self._c
        pointers = _Pointers(np.full(c.simd, op.weights, np.int64), op.masks)
        parameters = self._read_parameters(op)
        lanes = (op.tiles - 1) * c.pe + min(op.tail_groups * c.requantisers, c.pe)
        pixels = np.empty((op.height, op.width, lanes), np.int64)
        read = np.zeros(c.activation_depth, bool)
        for phase in range(min(op.phases, op.width)):
            blocks = self._read_blocks(op, pointers)
            columns = np.arange(phase, op.width, op.phases)
            windows = [self._window_words(op, plane, offset, columns) for plane in op.planes]
            for its, window in zip(blocks, windows, strict=True):
                read[window[:, its.trits.any(axis=(0, 1, 4))]] = True  # whatever zero blocks meet
            outputs = self._outputs(op, parameters, blocks, windows)
            pixels[:, columns] = outputs[:, :lanes].reshape(op.height, len(columns), lanes)
        height, width = op.height // op.pool_height, op.width // op.pool_width
        whole = pixels[: height * op.pool_height, : width * op.pool_width]
        pooled = whole.reshape(height, op.pool_height, width, op.pool_width, lanes).max(axis=(1, 3))
        self._write_back(op, offset, pooled.reshape(height, -1), read)

    def _write_back(self, op: OpDescriptor, offset: int, rows: Int64, read: npt.NDArray[np.bool_]) -> None:
        """Writes ``rows`` (rows, activations), with the zeros around them.

        Masks are written by whole chunks, so the chunk of the last word is clear from there on; an activation with a
        clear mask counts as zero.
        """
        c = self._c
        first = op.destination + (offset if op.slotted else 0)
        elements = op.lead * c.simd + np.arange(rows.size).reshape(rows.shape)
        elements += op.gap * c.simd * np.arange(len(rows))[:, None]
        data_end = int(elements[-1, -1]) + 1
        end = max(words(data_end, c.simd), data_end // c.simd + op.trail)
        flat = np.zeros(((whole_chunks(first + end) - first), c.simd), np.int8)
        flat.reshape(-1)[elements] = rows
        there = flat != 0
        there.reshape(-1)[elements] |= op.keeps_zeros
        at = (first + np.arange(len(flat))) % c.activation_depth
        if read[at].any():
            raise EncodingError(f"the op with destination {op.destination} writes where it reads")
        self._activations[:, at] = flat.T
        self._there[:, at] = there.T

    def _read_parameters(self, op: OpDescriptor) -> Int64:
        """(planes, tiles · pe, 3): multiplier, shift, bias."""
        c = self._c
        first = op.parameters * c.requantisers
        count = op.tiles * len(op.planes) * c.pe
        tiles = self._parameters[(first + np.arange(count)) % len(self._parameters)]
        by_plane = tiles.reshape(op.tiles, len(op.planes), c.pe, 3).transpose(1, 0, 2, 3)
        return by_plane.reshape(len(op.planes), op.tiles * c.pe, 3)

    def _read_blocks(self, op: OpDescriptor, pointers: _Pointers) -> list[_Blocks]:
        """The blocks of each plane in the next phase."""
        tiles = [[self._read_walk(plane, pointers) for plane in op.planes] for _ in range(op.tiles)]
        return [
            _Blocks(*(np.stack(parts) for parts in zip(*(tile[index] for tile in tiles), strict=True)))
            for index in range(len(op.planes))
        ]

    def _read_walk(
        self, plane: PlaneDescriptor, pointers: _Pointers
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int8]]:
        """One tile of a plane: stored (simd, rows, positions) and trits (simd, rows, positions, pe)."""
        c = self._c
        at = (pointers.mask + np.arange(plane.rows * plane.chunks)) % c.mask_depth
        bits = np.unpackbits(self._masks[:, at], axis=1, bitorder="little")
        stored = bits.reshape(c.simd, plane.rows, -1)[:, :, : _positions(plane)].astype(bool)
        trits = np.zeros((*stored.shape, c.pe), np.int8)
        for bank in range(c.simd):
            count = int(stored[bank].sum())
            blocks = (pointers.weights[bank] + np.arange(count)) % c.weight_depth
            trits[bank][stored[bank]] = self._weights[bank, blocks]
            pointers.weights[bank] += count
        pointers.mask += plane.rows * plane.chunks
        return stored, trits

    def _window_words(self, op: OpDescriptor, plane: PlaneDescriptor, offset: int, columns: Int64) -> Int64:
        """Activation words of every window of some columns: (height · columns, rows, positions)."""
        simd = self._c.simd
        # Every step along a row adds the same fraction, and a word whenever that passes the last bank.
        passed = (op.fraction % simd + np.arange(op.width) * (op.fraction_step % simd)) // simd
        along = np.arange(op.width) * plane.step_x + plane.fractional * passed
        start = plane.source + (offset if plane.slotted else 0)
        down = start + np.arange(op.height) * (int(along[-1]) + plane.step_row)
        starts = (down[:, None] + along[columns]).reshape(-1, 1, 1)
        within = np.arange(plane.rows)[:, None] * plane.pitch + np.arange(_positions(plane))
        found: Int64 = (starts + within) % self._c.activation_depth
        return found

    def _outputs(self, op: OpDescriptor, parameters: Int64, blocks: list[_Blocks], windows: list[Int64]) -> Int64:
        """(pixels, tiles · pe) activations."""
        lanes = parameters.shape[1]
        total = np.broadcast_to(parameters[0, :, 2], (len(windows[0]), lanes))
        for (multiplier, _, _), its, window in zip(parameters.transpose(0, 2, 1), blocks, windows, strict=True):
            seen = self._activations[:, window]  # (simd, pixels, rows, positions)
            flat = seen.transpose(1, 0, 2, 3).reshape(len(window), -1).astype(np.float64)  # exact below 2**53
            trits = np.moveaxis(its.trits, 0, -2).reshape(-1, lanes).astype(np.float64)
            total = total + multiplier * _wrapped((flat @ trits).astype(np.int64), self._c.acc_bits)
            self._count(its, self._there[:, window])
        activations = requantise(_wrapped(total, SUM_BITS), parameters[-1, :, 1], op.minimum, op.maximum)
        return _wrapped(activations, self._c.act_bits)

    def _count(self, blocks: _Blocks, there: npt.NDArray[np.bool_]) -> None:
        stored = blocks.stored
        pixels = there.shape[1]
        active = there.sum(axis=1) if self._c.activation_skip else np.full(stored.shape[1:], pixels)
        self.issued += int(np.broadcast_to(active, stored.shape)[stored].sum())
        self.stored += pixels * int(stored.sum())
        self.positions += pixels * stored.size


def _positions(plane: PlaneDescriptor) -> int:
    """Of one row of the plane's window."""
    return (plane.chunks - 1) * CHUNK + plane.tail
