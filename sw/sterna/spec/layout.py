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


@dataclass(frozen=True)
class BankedBlocks:
    """The blocks and masks of consecutive window rows, one bank each along the first axis."""

    blocks: list[Trits]
    """Per bank: int8 (stored blocks, pe)."""
    masks: npt.NDArray[np.uint8]
    """uint8 (simd, mask words); bit k of a word is position k of its chunk."""


def bank_rows(rows: Trits, simd: int, pe: int) -> BankedBlocks:
    """Lays out one tile.

    ``rows``: int8 (window rows, ≤ pe outputs, run), the trits of each row in channel-last order of its source.
    Missing outputs of the last tile and missing positions of the last word count as zero.
    """
    count, outputs, run = rows.shape
    positions = words(run, simd)
    chunks = -(-positions // CHUNK)
    padded = np.zeros((count, pe, chunks * CHUNK * simd), np.int8)
    padded[:, :outputs, :run] = rows
    # (row, pe, position, bank) → (bank, row, position, pe)
    banked = padded.reshape(count, pe, chunks * CHUNK, simd).transpose(3, 0, 2, 1)
    stored = np.asarray(banked.any(axis=3))
    masks = np.packbits(stored.reshape(simd, -1), axis=1, bitorder="little")
    return BankedBlocks([banked[j][stored[j]] for j in range(simd)], masks)
