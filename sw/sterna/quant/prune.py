"""Block pruning at the hardware's granularity, so that a pruned weight is a saved cycle.

A block is the ``pe`` weights that one input position feeds in one tile of ``pe`` outputs: all-zero blocks are neither
stored nor issued. The ``simd`` feeders (feeder j takes the positions k with ``k mod simd = j``) meet at the end of each
output, so the slowest one counts: every tile keeps the same number of blocks in every bank. Within a tile and bank the
blocks of largest L1 norm stay. Zero-skip by blocks: EIE (Han 2016), SparTen (Gondimalla 2019); the gradual schedule is
Zhu and Gupta 2017, "To prune, or not to prune".
"""

import torch
from torch import Tensor


def density_at(progress: float, target: float) -> float:
    """Density of the cubic schedule: from 1 at ``progress`` 0 down to ``target`` at 1, quickly first."""
    left = 1.0 - min(max(progress, 0.0), 1.0)
    return target + (1.0 - target) * left**3


def block_mask(weight: Tensor, density: float, *, pe: int, simd: int) -> Tensor:
    """The weights to keep.

    ``weight``: float (out, positions), positions in channel-last order. ``density``: share of blocks kept, 0…1; each
    tile keeps ``round(density · n)`` of its n blocks in a bank, one at least, as long as ``density`` is not 0.
    Returns bool (out, positions), constant over each block.
    """
    out, positions = weight.shape
    tiles = -(-out // pe)
    magnitude = weight.detach().abs()
    padded = torch.cat([magnitude, magnitude.new_zeros(tiles * pe - out, positions)])
    norms = padded.reshape(tiles, pe, positions).sum(1)
    kept = torch.zeros_like(norms, dtype=torch.bool)
    for bank in range(min(simd, positions)):
        of_bank = norms[:, bank::simd]
        count = of_bank.shape[1]
        keep = max(round(density * count), int(density > 0))
        order = of_bank.argsort(dim=1, descending=True, stable=True)
        kept[:, bank::simd] = torch.zeros_like(of_bank, dtype=torch.bool).scatter_(1, order[:, :keep], True)
    return kept.repeat_interleave(pe, dim=0)[:out]


def block_density(trits: Tensor, *, pe: int) -> float:
    """Share of blocks that hold any non-zero trit; ``trits`` (out, positions)."""
    out, positions = trits.shape
    tiles = -(-out // pe)
    padded = torch.cat([trits, trits.new_zeros(tiles * pe - out, positions)])
    return float(padded.reshape(tiles, pe, positions).ne(0).any(1).double().mean())
