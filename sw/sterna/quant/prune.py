"""Block pruning at the hardware's granularity, so that a pruned weight is a saved cycle.

A block is the ``pe`` weights that one input position (tap and channel) feeds in one tile of ``pe`` outputs: all-zero
blocks are neither stored nor issued. Of a grouped convolution a block is what one position feeds in one tile and group:
of a depthwise one, a single weight. The ``simd`` feeders meet at the end of each output, so the slowest one counts:
every tile keeps the same number of blocks in every bank. Feeder j takes the positions in bank j, that of column x and
channel c being ``(x·C + c) mod simd``, hence ``c mod simd`` where simd divides the channels. Within a tile and bank the
blocks of largest L1 norm stay. Zero-skip by blocks: EIE (Han 2016), SparTen (Gondimalla 2019); the gradual schedule is
Zhu and Gupta 2017, "To prune, or not to prune".
"""

import torch
from torch import Tensor


def density_at(progress: float, target: float) -> float:
    """Density of the cubic schedule: from 1 at ``progress`` 0 down to ``target`` at 1, quickly first."""
    left = 1.0 - min(max(progress, 0.0), 1.0)
    return target + (1.0 - target) * left**3


def banks(kernel: tuple[int, int], inputs: int, depth: int, simd: int) -> Tensor:
    """Bank of every position of a window, in channel-last order, but for a rotation that the window's place gives.

    ``kernel``: rows, columns. ``inputs``: channels that an output reads, of ``depth`` channels of the source.
    Returns int64 (positions,), 0 … simd - 1.
    """
    columns, channels = torch.arange(kernel[1])[:, None], torch.arange(inputs)
    return ((columns * depth + channels) % simd).flatten().repeat(kernel[0])


def _block_of_row(out: int, pe: int, groups: int) -> Tensor:
    """Number of the block that each output belongs to, at any position: int64 (out,), rising from 0."""
    rows = torch.arange(out)
    starts = (rows % pe == 0) | (rows % (out // groups) == 0)
    return starts.cumsum(0) - 1


def block_mask(weight: Tensor, density: float, *, pe: int, banks: Tensor, groups: int = 1) -> Tensor:
    """The weights to keep.

    ``weight``: float (out, positions), positions in channel-last order, in the ``banks`` (positions,). ``density``:
    share of blocks kept, 0…1; each tile keeps ``round(density · n)`` of its n blocks in a bank, one at least, as long
    as ``density`` is not 0.
    Returns bool (out, positions), constant over each block.
    """
    out, positions = weight.shape
    block = _block_of_row(out, pe, groups)
    norms = weight.new_zeros(int(block[-1]) + 1, positions).index_add_(0, block, weight.detach().abs())
    kept = torch.zeros_like(norms, dtype=torch.bool)
    for bank in sorted(set(banks.tolist())):
        in_bank = torch.nonzero(banks == bank)[:, 0]
        keep = max(round(density * len(in_bank)), int(density > 0))
        order = norms[:, in_bank].argsort(dim=1, descending=True, stable=True)
        kept.scatter_(1, in_bank[order[:, :keep]], True)
    return kept[block]


def blocks(trits: Tensor, *, pe: int, groups: int = 1) -> tuple[int, int]:
    """How many blocks hold any non-zero trit, and how many there are; ``trits`` (out, positions)."""
    block = _block_of_row(len(trits), pe, groups)
    used = trits.new_zeros(int(block[-1]) + 1, trits.shape[1]).index_add_(0, block, trits.ne(0).to(trits.dtype))
    return int(used.ne(0).sum()), used.numel()
