"""Block masks: whole blocks, the target density, balance over tiles and banks, the largest blocks kept."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sterna.quant.prune import block_density, block_mask, density_at

shapes = st.tuples(st.integers(1, 20), st.integers(1, 40))


@given(shapes, st.floats(0, 1), st.sampled_from([1, 4, 8]), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_each_tile_keeps_as_many_blocks_in_every_bank_as_its_density_says(shape, density, pe, simd, seed):
    out, positions = shape
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    mask = block_mask(weight, density, pe=pe, simd=simd).numpy()
    assert mask.shape == shape
    for tile in range(0, out, pe):
        blocks = mask[tile : tile + pe]
        assert (blocks == blocks[0]).all(), "a block is kept or pruned whole"
        for bank in range(min(simd, positions)):
            row = blocks[0, bank::simd]
            wanted = max(round(density * len(row)), 1 if density > 0 else 0)
            assert np.count_nonzero(row) == wanted
            norms = weight.abs().numpy()[tile : tile + pe, bank::simd].sum(0)
            if 0 < wanted < len(row):
                assert norms[row].min() >= norms[~row].max() - 1e-5


def test_full_density_keeps_everything_and_none_keeps_nothing():
    weight = torch.ones(16, 12)
    assert block_mask(weight, 1.0, pe=8, simd=4).all()
    assert not block_mask(weight, 0.0, pe=8, simd=4).any()


def test_equal_norms_are_broken_in_the_same_way_every_time():
    weight = torch.ones(16, 64)
    assert torch.equal(block_mask(weight, 0.3, pe=8, simd=4), block_mask(weight, 0.3, pe=8, simd=4))


@given(st.floats(0.01, 1))
def test_the_schedule_falls_from_dense_to_the_target_and_stays_there(target):
    densities = [density_at(progress / 20, target) for progress in range(-2, 25)]
    assert densities[:3] == pytest.approx([1, 1, 1])
    assert densities[-5:] == pytest.approx([target] * 5)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(densities))


@given(shapes, st.sampled_from([1, 4, 8]), st.integers(0, 99))
def test_block_density_counts_blocks_with_any_trit(shape, pe, seed):
    generator = torch.Generator().manual_seed(seed)
    trits = torch.randint(-1, 2, shape, generator=generator) * (torch.rand(shape, generator=generator) < 0.2)
    blocks = [bool(trits[t : t + pe, k].any()) for t in range(0, shape[0], pe) for k in range(shape[1])]
    assert block_density(trits, pe=pe) == pytest.approx(sum(blocks) / len(blocks))
