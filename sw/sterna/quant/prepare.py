"""Turns a float model into a quantised one."""

from collections.abc import Sequence

from torch import nn

from sterna.quant.float_graph import float_layers
from sterna.quant.layers import FloatLayer, QuantisedLayer
from sterna.quant.model import QuantisedModel
from sterna.quant.recipe import LayerRecipe, Recipe
from sterna.spec.network import InputSpec


def prepare(model: nn.Module, recipe: Recipe, input: InputSpec) -> QuantisedModel:
    """A quantised copy of a float model.

    ``model``: any module made of what ``SUPPORTED`` lists, in Sequentials or in a ``forward`` that torch.fx can trace;
    it takes images as torch does, (n, channels, height, width). ``input``: how its images become integers, for instance
    ``dataset.input``. Hardtanh becomes a clamp whose bounds are learned.
    Returns a model in training mode that takes images channel-last, unpruned, its activation steps to be set by the
    first training batch. Raises :class:`ModelError` for anything else, by path and kind, and for shapes that do not
    fit, and :class:`ConfigurationError` if the recipe names a layer that the model does not have.
    """
    return quantised(*float_layers(model, input), recipe, input)


def quantised(layers: Sequence[FloatLayer], outputs: Sequence[str], recipe: Recipe, input: InputSpec) -> QuantisedModel:
    """A quantised copy of float layers, in training mode. Raises :class:`ConfigurationError` if the recipe names
    another."""
    recipe.check_names({layer.name: [term.path for term in layer.terms] for layer in layers})
    trained = [layer.name for layer in layers if layer.trained]

    def recipe_of(layer: FloatLayer) -> LayerRecipe:
        index = trained.index(layer.name) if layer.trained else None
        return recipe.of_layer(index, len(trained), (layer.name, *(term.path for term in layer.terms)))

    return QuantisedModel(input, [QuantisedLayer(layer, recipe_of(layer), recipe) for layer in layers], outputs).train()
