"""Preparing a float model: which layers are taken, how recipes fall on them, what is refused and how."""

import re

import pytest
import torch
from torch import nn

from sterna.quant import LayerRecipe, Recipe, prepare
from sterna.spec.errors import ConfigurationError, ModelError
from sterna.spec.network import InputSpec

SPEC = InputSpec(name="input", shape=(2, 2, 1), low=0, high=16, scale=1)


def test_layers_are_grouped_and_their_parameters_copied():
    model = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8)), nn.ReLU(), nn.Linear(8, 3)
    )
    prepared = prepare(model, Recipe(), SPEC)
    (first_name, first), (last_name, last) = prepared.named_layers()
    assert (first_name, last_name) == ("dense0", "dense1")
    assert (first.activation.low, last.activation.low) == (0, -127)
    assert first.bias is None
    assert last.norm is None
    assert torch.equal(first.weight, model[1][0].weight)
    with torch.no_grad():
        first.weight.zero_()
    assert model[1][0].weight.any()


def test_recipes_of_the_first_and_the_last_layer_stand_before_the_others():
    recipe = Recipe(
        layers=LayerRecipe(act_bits=4), first=LayerRecipe(act_bits=5), last=LayerRecipe(act_bits=6), pe=2, simd=2
    )
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    assert [layer.recipe.act_bits for _, layer in prepare(model, recipe, SPEC).named_layers()] == [5, 4, 6]
    single = nn.Sequential(nn.Linear(4, 4))
    assert [layer.recipe.act_bits for _, layer in prepare(single, recipe, SPEC).named_layers()] == [6]


def test_pruning_follows_the_recipe():
    recipe = Recipe(layers=LayerRecipe(density=0.5), last=LayerRecipe(), pe=4, simd=2)
    prepared = prepare(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), recipe, SPEC)
    masks = [layer.mask for _, layer in prepared.named_layers()]
    assert all(mask.all() for mask in masks)
    prepared.prune(1.0)
    assert [float(mask.float().mean()) for mask in masks] == [0.5, 1.0]


SUPPORTED = "which is not supported; supported: Sequential, Flatten, Linear, BatchNorm1d, ReLU"


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout())), f"1.0 is a Dropout, {SUPPORTED}"),
        (nn.Bilinear(2, 2, 2), f"the model is a Bilinear, {SUPPORTED}"),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), f"0 is a Conv2d, {SUPPORTED}"),
        (nn.Sequential(nn.Flatten()), "the model has no Linear layer"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 4)), "1 takes 5 features, but gets 4"),
        (nn.Sequential(nn.BatchNorm1d(4)), "0 (BatchNorm1d) must follow a Linear directly"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4)), "2 (BatchNorm1d) must follow a Linear directly"),
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(3)), "keep running statistics and have 4 features"),
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False)), "1 (BatchNorm1d) must be affine"),
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)), "keep running statistics"),
        (nn.Sequential(nn.ReLU()), "0 (ReLU) must follow a Linear or a BatchNorm1d"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.ReLU()), "2 (ReLU) must follow"),
        (nn.Sequential(nn.Linear(4, 4), nn.Flatten()), "1 (Flatten) must come first and flatten all but the batch"),
        (nn.Sequential(nn.Flatten(0), nn.Linear(4, 4)), "0 (Flatten) must come first"),
        (nn.Sequential(nn.Linear(5, 4)), "input has shape (2, 2, 1), but the first layer takes 5 features"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(model, text):
    with pytest.raises(ModelError, match=re.escape(text)):
        prepare(model, Recipe(), SPEC)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LayerRecipe(weights="fp4"), "weights is 'fp4'; allowed: twn"),
        (lambda: LayerRecipe(act_bits=1), "act_bits is 1; allowed: 2…8"),
        (lambda: LayerRecipe(density=0.0), "density is 0.0; allowed: above 0, at most 1"),
        (lambda: LayerRecipe(density=float("nan")), "density is nan; allowed: above 0, at most 1"),
        (lambda: Recipe(pe=0), "pe is 0; allowed: 1 or more"),
        (lambda: Recipe(simd=0), "simd is 0; allowed: 1 or more"),
    ],
)
def test_a_recipe_names_its_bad_value(make, text):
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        make()
