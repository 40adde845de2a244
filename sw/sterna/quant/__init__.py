"""Ternary quantisation-aware training: prepare a float model, train it, export the integer network.

    from sterna.quant import LayerRecipe, Recipe, export_network, prepare
    model = prepare(float_model, Recipe(layers=LayerRecipe(density=0.35)), dataset.input)
    ...                                             # train it like any torch module; model.prune(progress) now and then
    network, report = export_network(model.eval(), name="digits")
    assert report.differing == 0

One method per file, each with its paper: ``twn`` (weights), ``lsq`` (activations), ``prune`` (blocks), ``estimator``
(straight-through gradients). ``sterna.spec.requantiser`` proves that integers compute what the model does.
"""

from sterna.quant.export import ExportReport, LayerReport, export, export_network
from sterna.quant.model import QuantisedModel
from sterna.quant.prepare import SUPPORTED, prepare
from sterna.quant.recipe import WEIGHT_QUANTISERS, LayerRecipe, Recipe

__all__ = [
    "SUPPORTED",
    "WEIGHT_QUANTISERS",
    "ExportReport",
    "LayerRecipe",
    "LayerReport",
    "QuantisedModel",
    "Recipe",
    "export",
    "export_network",
    "prepare",
]
