"""Where things lie in the memories: channel-last activations over banks, tiles of blocks, chunks of masks.

Activation ``k`` of a tensor (channel-last order) lies in bank ``k mod simd`` at word ``base + k // simd``. A *tile* is
``pe`` consecutive output channels; a *block* is the ``pe`` trits that one input position feeds in one tile. Bank ``j``
holds the blocks of the positions of its activations, in the order tile → plane → window row → position, all-zero
blocks left out; its mask holds one bit per position, ``CHUNK`` to a word, each window row starting a new word.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.spec.configuration import CHUNK

Trits = npt.NDArray[np.int8]


def words(activations: int, simd: int) -> int:
    """Activation words (per bank) that a run of activations takes."""
    return -(-activations // simd)


def whole_chunks(activation_words: int) -> int:
    """``activation_words`` rounded up to a multiple of ``CHUNK``: tensors begin at chunk borders."""
    return -(-activation_words // CHUNK) * CHUNK


@dataclass(frozen=True, kw_only=True)
class TensorLayout:
    """Where the activations of a (height, width, channels) tensor lie, from its first word on.

    Rows follow each other ``row_words`` apart, each beginning in bank 0. Zeros lie around the tensor, so that windows
    may reach over its border; those on the right of a row are those on the left of the next.
    """

    height: int
    width: int
    channels: int
    simd: int
    pixel: int
    """Activations from one pixel to the next; those beyond ``channels`` only meet zero weights."""
    top: int = 0
    """Rows of zeros above, …"""
    bottom: int = 0
    """… below, …"""
    side: int = 0
    """… and pixels of zeros on both sides."""

    @property
    def side_words(self) -> int:
        return words(self.side * self.pixel, self.simd)

    @property
    def data_words(self) -> int:
        """Words of one row without its border."""
        return words(self.width * self.pixel, self.simd)

    @property
    def row_words(self) -> int:
        return self.data_words + self.side_words

    @property
    def lead(self) -> int:
        """Words before the first row."""
        return self.top * self.row_words + self.side_words

    @property
    def trail(self) -> int:
        """Words after the last row."""
        return self.bottom * self.row_words + self.side_words

    @property
    def words(self) -> int:
        """Words in all."""
        return self.lead + (self.height - 1) * self.row_words + self.data_words + self.trail

    def element(self, y: int, x: int) -> int:
        """Activation number (word · simd + bank) of a pixel's first channel; the border has negative ``y`` or ``x``."""
        return (self.lead + y * self.row_words) * self.simd + x * self.pixel

    def scatter(self, tensor: Trits) -> Trits:
        """int8 (height, width, channels) as it lies in memory, int8 (words · simd,)."""
        flat = np.zeros(self.words * self.simd, np.int8)
        flat[self._elements()] = tensor
        return flat

    def gather(self, flat: Trits) -> Trits:
        """Inverse of :meth:`scatter`."""
        return flat[self._elements()]

    def _elements(self) -> npt.NDArray[np.int64]:
        """(height, width, channels) activation numbers."""
        rows = [[self.element(y, x) for x in range(self.width)] for y in range(self.height)]
        return np.array(rows, np.int64)[:, :, np.newaxis] + np.arange(self.channels)


@dataclass(frozen=True)
class BankedBlocks:
    """The blocks and masks of consecutive window rows, one bank each along the first axis."""

    blocks: list[Trits]
    """Per bank: int8 (stored blocks, pe)."""
    masks: npt.NDArray[np.uint8]
    """uint8 (simd, mask words); bit k of a word is position k of its chunk."""


def bank_rows(rows: Trits, simd: int, pe: int, *, block_skip: bool = True) -> BankedBlocks:
    """Lays out one tile.

    ``rows``: int8 (window rows, ≤ pe outputs, run), the trits of each row in channel-last order of its source.
    Missing outputs of the last tile and missing positions of the last word count as zero. Without ``block_skip`` the
    blocks of all positions are stored, those that are zero too.
    """
    count, outputs, run = rows.shape
    positions = words(run, simd)
    chunks = -(-positions // CHUNK)
    padded = np.zeros((count, pe, chunks * CHUNK * simd), np.int8)
    padded[:, :outputs, :run] = rows
    # (row, pe, position, bank) → (bank, row, position, pe)
    banked = padded.reshape(count, pe, chunks * CHUNK, simd).transpose(3, 0, 2, 1)
    stored = np.asarray(banked.any(axis=3))
    if not block_skip:
        stored[:, :, :positions] = True
    masks = np.packbits(stored.reshape(simd, -1), axis=1, bitorder="little")
    return BankedBlocks([banked[j][stored[j]] for j in range(simd)], masks)
