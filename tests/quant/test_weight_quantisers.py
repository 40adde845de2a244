"""Every weight quantiser: planes add up to the weights that training sees; each against the formulas of its paper."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sterna.quant import WEIGHT_QUANTISERS
from sterna.quant.digits import Digits
from sterna.quant.power_of_three import PowerOfThree
from sterna.quant.ttq import Ttq

NAMES = sorted(WEIGHT_QUANTISERS)
PLANES = {"ttq": 2, "power-of-three": 3, "int4": 3} | {f"digits{n}": n for n in range(1, 6)}


def some(seed: int = 0, shape: tuple[int, int] = (5, 30)) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights, one channel of them zero, and a mask that prunes a third and one whole channel."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    weight[1] = 0
    mask = torch.rand(shape, generator=generator) < 0.67
    mask[2] = False
    return weight, mask


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_planes_are_ternary_and_add_up_to_the_weights_of_training(name, seed):
    weight, mask = some(seed)
    quantiser = WEIGHT_QUANTISERS[name]()
    quantiser.calibrate(weight)
    planes = quantiser.planes(weight, mask)
    assert len(planes) == PLANES.get(name, 1)
    total = torch.zeros(weight.shape, dtype=torch.float64)
    for plane in planes:
        assert set(plane.trits.unique().tolist()) <= {-1, 0, 1}
        assert not plane.trits[~mask].any()
        assert plane.scale.shape == (5,)
        total += plane.trits.double() * plane.scale.double()[:, None]
    assert torch.allclose(total, quantiser(weight, mask).double(), atol=1e-6, rtol=0)
    assert torch.isfinite(total).all()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"ttq"}))
def test_gradients_pass_straight_through_to_pruned_weights_too(name):
    weight, mask = some()
    slope = torch.arange(150.0).reshape(5, 30)
    (WEIGHT_QUANTISERS[name]()(weight.requires_grad_(), mask) * slope).sum().backward()
    assert torch.equal(weight.grad, slope)


def test_ttq_gradients_are_those_of_the_paper():
    """Zhu 2017, equations 7 and 8."""
    weight, mask = some()
    quantiser = Ttq()
    quantiser.log_positive.data.fill_(math.log(0.7))
    quantiser.log_negative.data.fill_(math.log(1.3))
    slope = torch.randn(5, 30, generator=torch.Generator().manual_seed(3))
    (quantiser(weight.requires_grad_(), mask) * slope).sum().backward()
    threshold = 0.05 * (weight.abs() * mask).max()
    plus, minus = (weight > threshold) & mask, (weight < -threshold) & mask
    # Of the logarithms: the paper's, times the scale.
    assert float(quantiser.log_positive.grad) == pytest.approx(0.7 * float(slope[plus].sum()), rel=1e-5)
    assert float(quantiser.log_negative.grad) == pytest.approx(-1.3 * float(slope[minus].sum()), rel=1e-5)
    factor = torch.ones(5, 30)
    factor[plus], factor[minus] = 0.7, 1.3
    assert torch.allclose(weight.grad, slope * factor)


def test_ttq_starts_at_the_mean_magnitudes_and_its_scales_come_back_from_anywhere():
    weight, _ = some()
    quantiser = Ttq()
    quantiser.calibrate(weight)
    threshold = 0.05 * weight.abs().max()
    plus, minus = float(weight[weight > threshold].mean()), -float(weight[weight < -threshold].mean())
    scales = lambda: [float(each.detach().exp()) for each in (quantiser.log_positive, quantiser.log_negative)]  # noqa: E731
    assert scales() == pytest.approx([plus, minus])
    wanted = quantiser(*some()).detach()
    quantiser.log_positive.data.sub_(1)
    quantiser.log_negative.data.add_(1)
    optimiser = torch.optim.Adam(quantiser.parameters(), 3e-2)
    for _ in range(300):
        error = (quantiser(*some()) - wanted).square().sum()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert scales() == pytest.approx([plus, minus], rel=1e-2)


def test_binary_weights_are_signs_times_the_mean_magnitude():
    weight, mask = some()
    (plane,) = WEIGHT_QUANTISERS["binary"]().planes(weight, mask)
    assert torch.equal(plane.trits, torch.where(weight >= 0, 1.0, -1.0) * mask)
    assert float(plane.scale[0]) == pytest.approx(float(weight[0, mask[0]].abs().mean()))


def test_bitnet_rounds_to_the_mean_magnitude_of_the_layer():
    weight, mask = some()
    (plane,) = WEIGHT_QUANTISERS["bitnet"]().planes(weight, mask)
    scale = weight[mask].abs().mean()
    assert torch.allclose(plane.scale, scale.expand(5))
    assert torch.equal(plane.trits, (weight / scale).round().clip(-1, 1) * mask)


def test_one_threshold_and_scale_a_layer_is_one_channel_of_all_weights():
    weight, mask = some()
    (plane,) = WEIGHT_QUANTISERS["twn-layer"]().planes(weight, mask)
    (flat,) = WEIGHT_QUANTISERS["twn"]().planes(weight.reshape(1, -1), mask.reshape(1, -1))
    assert torch.equal(plane.trits.reshape(1, -1), flat.trits)
    assert torch.equal(plane.scale, flat.scale.expand(5))


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_digits_are_the_balanced_ternary_numeral_of_every_level(digits, seed):
    most = (3**digits - 1) // 2
    levels = torch.from_numpy(np.random.default_rng(seed).integers(-most, most + 1, (2, 20)).astype(np.float32))
    planes = Digits(digits).trits(levels)
    assert torch.equal(sum(3**i * plane for i, plane in enumerate(planes)), levels)
    assert all(set(plane.unique().tolist()) <= {-1, 0, 1} for plane in planes)


def test_four_bits_are_levels_up_to_seven():
    levels, _ = Digits(3, highest=7).snap(*some())
    assert levels.abs().max() == 7


def test_powers_of_three_have_at_most_one_trit_a_weight_and_take_the_nearest_level():
    ratio = torch.linspace(-12, 12, 481)[None]
    levels = PowerOfThree().nearest(ratio)
    known = torch.tensor([-9.0, -3, -1, 0, 1, 3, 9])
    assert set(levels.unique().tolist()) == set(known.tolist())
    assert torch.allclose((levels - ratio).abs(), (known[:, None] - ratio).abs().amin(0)[None])
    planes = torch.stack(PowerOfThree().trits(levels))
    assert planes.abs().sum(0).max() == 1


@pytest.mark.parametrize("name", ["twn", "bitnet", "binary", "power-of-three", "digits5"])
def test_a_step_of_training_moves_no_whole_channel(name):
    """What is quantised goes from one matrix to another as smoothly as the weights do, but for single levels."""
    start, end = torch.randn(2, 8, 200, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(8, 200, dtype=torch.bool)
    quantise = WEIGHT_QUANTISERS[name]()
    path = torch.stack([quantise(torch.lerp(start, end, step / 300), mask) for step in range(301)])
    moved = (path[1:] - path[:-1]).abs() > 0.08 * path[:-1].abs()
    assert moved.float().mean(2).max() < 0.25


@pytest.mark.parametrize(("coarse", "fine"), [("digits1", "power-of-three"), ("power-of-three", "digits3"),
                                              ("digits2", "digits3"), ("digits3", "digits4")])  # fmt: skip
def test_more_levels_are_closer_to_the_weights(coarse, fine):
    weight = torch.randn(8, 200, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(8, 200, dtype=torch.bool)
    errors = [((WEIGHT_QUANTISERS[name]()(weight, mask) - weight) ** 2).mean() for name in (coarse, fine)]
    assert errors[1] < 0.7 * errors[0]
