"""Block masks: whole blocks, the target density, balance over tiles and banks, the largest blocks kept."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sterna.quant.prune import banks, block_mask, blocks, density_at


def in_turn(positions: int, simd: int) -> torch.Tensor:
    """Banks of a window of one pixel."""
    return banks((1, 1), positions, positions, simd)


shapes = st.tuples(st.integers(1, 20), st.integers(1, 40))


@given(shapes, st.floats(0, 1), st.sampled_from([1, 4, 8]), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_each_tile_keeps_as_many_blocks_in_every_bank_as_its_density_says(shape, density, pe, simd, seed):
    out, positions = shape
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    mask = block_mask(weight, density, pe=pe, banks=in_turn(positions, simd)).numpy()
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
    assert block_mask(weight, 1.0, pe=8, banks=in_turn(12, 4)).all()
    assert not block_mask(weight, 0.0, pe=8, banks=in_turn(12, 4)).any()


def test_equal_norms_are_broken_in_the_same_way_every_time():
    weight = torch.ones(16, 64)
    first, second = (block_mask(weight, 0.3, pe=8, banks=in_turn(64, 4)) for _ in range(2))
    assert torch.equal(first, second)


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
    used = [bool(trits[t : t + pe, k].any()) for t in range(0, shape[0], pe) for k in range(shape[1])]
    assert blocks(trits, pe=pe) == (sum(used), len(used))


@pytest.mark.parametrize(("depth", "simd"), [(8, 4), (3, 4), (1, 4), (6, 1)])
def test_a_bank_is_that_of_the_column_and_channel_in_every_row_of_a_window(depth, simd):
    found = banks((2, 3), depth, depth, simd)
    wanted = [(x * depth + c) % simd for _ in range(2) for x in range(3) for c in range(depth)]
    assert found.tolist() == wanted
    if depth % simd == 0:
        assert wanted == [c % simd for _ in range(6) for c in range(depth)]


def test_blocks_of_a_convolution_are_kept_evenly_over_its_banks():
    """4 banks, 3×3 taps of 8 channels: 18 blocks a bank and tile."""
    weight = torch.randn(20, 72, generator=torch.Generator().manual_seed(0))
    of_position = banks((3, 3), 8, 8, 4)
    mask = block_mask(weight, 1 / 3, pe=8, banks=of_position)
    for tile in range(0, 20, 8):
        rows = mask[tile : tile + 8]
        assert (rows == rows[0]).all()
        assert [int(rows[0, of_position == bank].sum()) for bank in range(4)] == [6, 6, 6, 6]


def test_blocks_of_a_grouped_convolution_stay_within_a_group():
    weight = torch.randn(12, 9, generator=torch.Generator().manual_seed(0))
    depthwise = block_mask(weight, 0.5, pe=8, banks=torch.zeros(9, dtype=torch.int64), groups=12)
    assert depthwise.sum(1).tolist() == [4] * 12
    assert blocks(depthwise.float(), pe=8, groups=12) == (48, 108)
    halves = block_mask(weight, 0.5, pe=4, banks=torch.zeros(9, dtype=torch.int64), groups=2)
    for first, last in [(0, 4), (4, 6), (6, 8), (8, 12)]:  # cut by tiles of 4 and by groups of 6
        assert (halves[first:last] == halves[first]).all()
    assert blocks(halves.float(), pe=4, groups=2) == (16, 36)
