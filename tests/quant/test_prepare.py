"""Preparing a float model: parameters are copied, and recipes fall on the layers that they name."""

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
    assert first.terms[0].bias is None
    assert last.terms[0].norm is None
    assert torch.equal(first.terms[0].weight, model[1][0].weight)
    with torch.no_grad():
        first.terms[0].weight.zero_()
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
    masks = [layer.terms[0].mask for _, layer in prepared.named_layers()]
    assert all(mask.all() for mask in masks)
    prepared.prune(1.0)
    assert [float(mask.float().mean()) for mask in masks] == [0.5, 1.0]


def test_patterns_name_layers_by_their_names_or_by_paths_of_the_float_model():
    recipe = Recipe(
        layers=LayerRecipe(act_bits=4),
        last=LayerRecipe(act_bits=8),
        named=(("*.0", LayerRecipe(act_bits=5)), ("dense[12]", LayerRecipe(act_bits=6, weights="ttq"))),
    )
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), nn.Linear(4, 4), nn.Linear(4, 4))
    layers = dict(prepare(model, recipe, SPEC).named_layers())
    assert [layer.recipe.act_bits for layer in layers.values()] == [5, 6, 6, 8]
    assert [layer.recipe.weights for layer in layers.values()] == ["twn", "ttq", "ttq", "twn"]


def test_layers_without_weights_are_neither_first_nor_last():
    recipe = Recipe(layers=LayerRecipe(act_bits=4), first=LayerRecipe(act_bits=5), last=LayerRecipe(act_bits=6))
    model = nn.Sequential(nn.AvgPool2d(1), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.AvgPool2d(2))
    layers = dict(prepare(model, recipe, SPEC).named_layers())
    assert {name: layer.recipe.act_bits for name, layer in layers.items()} == {
        "average0": 4, "conv1": 5, "conv2": 6, "average3": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LayerRecipe(weights="fp4"), "weights is 'fp4'; allowed: binary, bitnet, digits1, digits2, digits3"),
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


NOT_WHOLE = (0, 4.0, "8", True, None, [8], float("nan"))
NOT_TEXT = (8, None, True, ["twn"], {}, "unknown")


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (LayerRecipe, "act_bits", (1, 9, *NOT_WHOLE)),
        (LayerRecipe, "density", (0, 1.1, "1", True, None, [1])),
        *((LayerRecipe, name, NOT_TEXT) for name in ("weights", "activation", "estimator")),
        *((Recipe, name, NOT_WHOLE) for name in ("pe", "simd")),
        (Recipe, "layers", (None, "twn", {})),
        *((Recipe, name, ("twn", {}, 0)) for name in ("first", "last")),
        (Recipe, "changed", ([], ("dense0",), (("dense0", 3),), (("dense0", (("bits", 3),)),), ((0, ()),))),
        (Recipe, "named", ([], {}, ("dense0",), (("dense0", {}),), ((0, LayerRecipe()),), (("a", LayerRecipe(), 1),))),
    ],
)
def test_every_field_of_a_recipe_is_checked_for_its_type_too(kind, name, values):
    for value in values:
        with pytest.raises(ConfigurationError, match=re.escape(f"{name} is {value!r}; allowed: ")):
            kind(**{name: value})


@pytest.mark.parametrize("pattern", ["dense2", "conv*", "", "2", "Dense0"])
def test_a_recipe_for_a_layer_that_there_is_not_is_refused(pattern):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    named = Recipe(named=(("dense0", LayerRecipe()), (pattern, LayerRecipe())))
    changed = Recipe(changed=(("dense0", ()), (pattern, (("act_bits", 4),))))
    text = f"the recipe names a layer {pattern!r}, which the model does not have; it has: dense0 (0), dense1 (1)"
    for recipe in (named, changed):
        with pytest.raises(ConfigurationError, match=re.escape(text)):
            prepare(model, recipe, SPEC)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("part", ["0.weight", "1.running_mean"])
def test_parameters_that_are_not_float32_are_refused(part, dtype):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    module, name = part.split(".")
    tensor = getattr(model[int(module)], name)
    tensor.data = tensor.data.to(dtype)
    with pytest.raises(ModelError, match=re.escape(f"{part} is {str(dtype)[6:]}; supported: float32")):
        prepare(model, Recipe(), SPEC)
