"""LSQ values and gradients against the formulas of the paper."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sterna.quant.lsq import LearnedStep


def quantiser(bits: int, relu: bool, step: float) -> LearnedStep:
    made = LearnedStep(bits, relu=relu)
    made.log_step.data.fill_(math.log(step))
    made.initialised.fill_(True)
    return made


@pytest.mark.parametrize(
    ("bits", "relu", "bounds"), [(8, True, (0, 127)), (8, False, (-127, 127)), (2, False, (-1, 1))]
)
def test_ranges_are_symmetric_or_start_at_zero(bits, relu, bounds):
    made = LearnedStep(bits, relu=relu)
    assert (made.low, made.high) == bounds


@given(
    st.integers(2, 8), st.booleans(), st.sampled_from([0.25, 0.5, 1.5]),
    st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=12),
)  # fmt: skip
def test_values_and_gradients_are_those_of_the_paper(bits, relu, step, values):
    made = quantiser(bits, relu, step)
    v = torch.tensor([values]).requires_grad_()
    made_values = made(v)
    made_values.sum().backward()
    q = made_values.detach() / step
    factor = (len(values) * made.high) ** -0.5
    wanted_of_step = 0.0
    for i, value in enumerate(values):
        ratio = value / step
        if ratio <= made.low or ratio >= made.high:
            bound = made.low if ratio <= made.low else made.high
            assert float(q[0, i]) == bound
            # at a bound itself both one-sided slopes are right
            assert float(v.grad[0, i]) == 0 or ratio in (made.low, made.high)
            wanted_of_step += bound if float(v.grad[0, i]) == 0 else bound - ratio
        else:
            rounded = int(torch.floor(torch.tensor(ratio) + 0.5))
            assert float(q[0, i]) == rounded
            assert float(v.grad[0, i]) == pytest.approx(1)
            wanted_of_step += rounded - ratio
    wanted = wanted_of_step * factor * step  # of the logarithm
    assert float(made.log_step.grad) == pytest.approx(wanted, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("wanted", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("given_gradient", [torch.contiguous_format, torch.channels_last])
def test_gradients_do_not_depend_on_the_order_in_memory(wanted, given_gradient):
    generator = torch.Generator().manual_seed(0)
    v, gradient = torch.randn(2, 3, 5, 4, 6, generator=generator)
    made, flat = quantiser(4, False, 0.2), quantiser(4, False, 0.2)
    leaf = v.clone(memory_format=wanted).requires_grad_()
    made(leaf).backward(gradient.clone(memory_format=given_gradient))
    row = v.reshape(len(v), -1).requires_grad_()
    flat(row).backward(gradient.reshape(len(v), -1))
    assert torch.equal(leaf.grad.reshape(len(v), -1), row.grad)
    assert float(made.log_step.grad) == pytest.approx(float(flat.log_step.grad), rel=1e-5)


def test_the_first_batch_sets_the_step_once():
    made = LearnedStep(4, relu=True)
    generator = torch.Generator().manual_seed(0)
    made(torch.randn(64, 32, generator=generator))
    step = float(made.step.detach())
    made(100 * torch.randn(64, 32, generator=generator))
    assert float(made.step.detach()) == step != 1


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_first_step_has_about_the_least_squared_error(bits):
    v = torch.randn(512, 16, generator=torch.Generator().manual_seed(0))
    made = LearnedStep(bits, relu=False)
    made.calibrate(v)

    def error(step: float) -> float:
        q = torch.clip(torch.floor(v / step + 0.5), made.low, made.high)
        return float(((q * step - v) ** 2).mean())

    found = error(float(made.step.detach()))
    assert all(found <= 1.1 * error(0.02 * k * float(v.abs().max()) / made.high) for k in range(1, 100))


def test_the_first_step_does_not_spend_range_on_what_the_float_model_cuts_off():
    v = 5 * torch.randn(512, 16, generator=torch.Generator().manual_seed(0))
    made = LearnedStep(8, relu=False, clamp=1.0)
    made.calibrate(v)
    assert 0.8 <= 127 * float(made.step.detach()) <= 1


def test_a_batch_of_zeros_leaves_a_usable_step():
    made = LearnedStep(8, relu=True)
    made(torch.zeros(4, 3))
    assert float(made.step.detach()) == 1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_adam_moves_the_step_by_shares_of_itself_and_brings_it_back(scale):
    # A batch far too small for the step, then one for which it is right: whatever the size of values, the same shares.
    generator = torch.Generator().manual_seed(0)
    values = scale * torch.randn(64, 32, generator=generator)
    made = quantiser(8, True, scale)
    optimiser = torch.optim.Adam(made.parameters(), 3e-2)
    errors = []
    for _ in range(300):
        error = ((made(values) - values.relu()) / scale).square().mean()
        errors.append(float(error.detach()))
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        assert float(made.step.detach()) > 0
    assert errors[0] > 0.02
    assert errors[-1] < 1e-3
