"""TWN thresholds and scales against the paper's formulas, computed channel by channel."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sterna.quant.twn import Twn, ternarise

SHAPE = (3, 7)
weights = arrays(np.float32, SHAPE, elements=st.floats(-4, 4, width=16))
masks = arrays(np.bool_, SHAPE)


def paper(row: np.ndarray) -> tuple[np.ndarray, float]:
    """Li 2016, equations 5 and 6, on the weights of one channel."""
    threshold = 0.7 * np.abs(row).mean() if len(row) else 0.0
    trits = np.where(row > threshold, 1, np.where(row < -threshold, -1, 0))
    over = np.abs(row)[np.abs(row) > threshold]
    return trits, over.mean() if len(over) else 0.0


@given(weights, masks)
def test_trits_and_scales_are_those_of_the_paper_over_the_unpruned_weights(weight, mask):
    trits, scale = ternarise(torch.from_numpy(weight), torch.from_numpy(mask))
    for c in range(len(weight)):
        row = weight[c, mask[c]].astype(np.float64)
        wanted, wanted_scale = paper(row)
        if len(row) and np.isclose(np.abs(row), 0.7 * np.abs(row).mean(), rtol=1e-5).any():
            continue  # a weight on the threshold: float32 and float64 may differ
        assert np.array_equal(trits[c, mask[c]], wanted)
        assert np.isclose(scale[c], wanted_scale, rtol=1e-5)
        assert not trits[c, ~mask[c]].any()


@given(weights)
def test_no_other_scale_is_closer_for_the_chosen_trits(weight):
    trits, scale = ternarise(torch.from_numpy(weight), torch.ones(SHAPE, dtype=torch.bool))
    error = ((weight - trits.numpy() * scale[:, None].numpy()) ** 2).sum(1)
    for factor in (0.9, 1.1):
        other = ((weight - trits.numpy() * factor * scale[:, None].numpy()) ** 2).sum(1)
        assert (error <= other + 1e-5).all()


def test_the_gradient_passes_straight_through_to_pruned_weights_too():
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < 0.5
    slope = torch.arange(21.0).reshape(SHAPE)
    (Twn()(weight, mask) * slope).sum().backward()
    assert torch.equal(weight.grad, slope)


def test_fake_quantised_weights_are_the_exported_plane():
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(SHAPE, dtype=torch.bool)
    (plane,) = Twn().planes(weight, mask)
    assert torch.allclose(Twn()(weight, mask), plane.trits * plane.scale[:, None], atol=1e-6, rtol=0)


def test_an_all_zero_channel_has_no_trits_and_scale_zero():
    trits, scale = ternarise(torch.zeros(SHAPE), torch.ones(SHAPE, dtype=torch.bool))
    assert not trits.any()
    assert not scale.any()
