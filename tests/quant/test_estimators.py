"""Gradients of weights and of ternary activations against the formulas of the papers."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from sterna.quant import LayerRecipe, Recipe, export_network, prepare
from sterna.quant.estimator import ESTIMATORS, EWGS_FACTOR, estimated, straight_through
from sterna.quant.gxnor import Gxnor
from sterna.quant.lsq import LearnedStep
from sterna.quant.quantisers import ACTIVATION_QUANTISERS
from sterna.spec.errors import ConfigurationError
from sterna.spec.network import InputSpec
from sterna.train import Mlp


def gradient_of(weight: list[float], incoming: list[float], estimator: str) -> list[float]:
    """Of weights that are quantised to their signs, when the quantised values' gradient is ``incoming``."""
    leaf = torch.tensor(weight, requires_grad=True)
    quantised = estimated(leaf, lambda w: straight_through(torch.sign(w), w), estimator)
    assert torch.equal(quantised.detach(), torch.sign(leaf.detach()))
    (quantised * torch.tensor(incoming)).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.tolist()


def test_a_plain_gradient_is_passed_on() -> None:
    assert gradient_of([0.5, -3.0], [2.0, 4.0], "plain") == [2, 4]


def test_a_clipped_gradient_ends_where_it_would_lead_further_out() -> None:
    # Descent goes against the gradient.
    assert gradient_of([0.5, 3.0, 3.0, -3.0, -3.0], [-1.0, -1.0, 1.0, -1.0, 1.0], "clipped") == [-1, 0, 1, -1, 0]


def test_ewgs_scales_by_the_step_that_rounding_took() -> None:
    found = gradient_of([0.5, 0.5, -0.25, 2.0], [1.0, -1.0, 2.0, 0.0], "ewgs")
    wanted = [1 * (1 - EWGS_FACTOR * 0.5), -1 * (1 + EWGS_FACTOR * 0.5), 2 * (1 + EWGS_FACTOR * 0.75), 0]
    assert found == pytest.approx(wanted)


def test_gxnor_rounds_as_lsq_does_but_learns_near_thresholds_only() -> None:
    values = torch.tensor([[-2.0, -0.75, -0.5, -0.25, 0, 0.125, 0.5, 0.75, 1, 3]])
    slopes = [0.0, 1, 2, 1, 0, 0.5, 2, 1, 0, 0]
    made, plain = Gxnor(2, relu=False), LearnedStep(2, relu=False)
    for quantiser in (made, plain):
        quantiser.initialised.fill_(True)
    v = values.clone().requires_grad_()
    made_values = made(v)
    assert torch.equal(made_values, plain(values))
    made_values.sum().backward()
    assert v.grad is not None
    assert v.grad[0].tolist() == slopes
    assert made.log_step.grad is not None
    factor = values.numel() ** -0.5
    learned = float((made_values.detach() - torch.tensor(slopes) * values).sum()) * factor
    assert float(made.log_step.grad) == pytest.approx(learned)


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
@pytest.mark.parametrize("activation", sorted(ACTIVATION_QUANTISERS))
def test_every_estimator_trains_and_exports_what_it_evaluates(estimator: str, activation: str) -> None:
    torch.manual_seed(0)
    spec = InputSpec(name="input", shape=(1, 1, 12), low=0, high=8, scale=1)
    hidden = LayerRecipe(act_bits=2, activation=activation, estimator=estimator)
    net = Mlp(hidden=(16,), activation="hardtanh").build((1, 1, 12), 3)
    model = prepare(net, Recipe(layers=hidden, last=dataclasses.replace(hidden, activation="lsq", act_bits=8)), spec)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    images = torch.randint(0, 9, (32, 1, 1, 12)).float()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for share in (0.5, 1.0):
        model.harden(share)
        outputs = model(images)
        assert isinstance(outputs, torch.Tensor)
        optimiser.zero_grad()
        outputs.square().mean().backward()
        optimiser.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    network, report = export_network(model.eval(), name="made")
    assert report.differing == 0
    assert np.array_equal(network.predict(images.numpy()), model.integers(images))


def test_a_layer_that_is_half_hard_lies_between_float_and_quantised() -> None:
    torch.manual_seed(0)
    spec = InputSpec(name="input", shape=(1, 1, 4), low=0, high=8, scale=1)
    model = prepare(Mlp(hidden=()).build((1, 1, 4), 3), Recipe(last=LayerRecipe(act_bits=8)), spec)
    (layer,) = (layer for _, layer in model.named_layers())
    (term,) = layer.terms
    seen = {}
    for share in (0.0, 0.5, 1.0):
        model.harden(share)
        seen[share] = term._quantised().detach()
    assert torch.equal(seen[0.0], term.weight.detach())
    assert torch.allclose(seen[0.5], (seen[0.0] + seen[1.0]) / 2)
    assert len(seen[1.0].abs().unique()) <= 4  # a scale a channel, and zero


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"activation": "relu"}, "activation is 'relu'; allowed: gxnor, lsq"),
        ({"activation": "gxnor", "act_bits": 4}, "act_bits is 4; allowed with activation 'gxnor': 2"),
        ({"estimator": "magic"}, "estimator is 'magic'; allowed: clipped, ewgs, plain"),
    ],
)
def test_a_recipe_names_its_bad_value(values: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        LayerRecipe(**values)  # type: ignore[arg-type]
