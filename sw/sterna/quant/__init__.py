"""Ternary quantisation-aware training: prepare a float model, train it, export the integer network.

    from sterna.quant import LayerRecipe, Recipe, export_network, prepare
    model = prepare(float_model, Recipe(layers=LayerRecipe(density=0.35)), dataset.input)
    ...                                             # train it like any torch module; model.prune(progress) now and then
    model.snap()                                    # if it is to see the requantiser's integers at the end
    network, report = export_network(model.eval(), name="digits")
    assert report.differing == 0

One method per file, each with its paper: ``twn``, ``ttq``, ``bitnet``, ``binary``, ``power_of_three`` and ``digits``
(weights), ``lsq`` and ``gxnor`` (activations), ``prune`` (blocks), ``estimator`` (straight-through gradients).
``float_graph`` reads the float model, ``requantiser`` says why integers compute what the model does.
"""

from sterna.quant.export import ExportReport, LayerReport, export, export_network
from sterna.quant.float_graph import SUPPORTED
from sterna.quant.model import QuantisedModel
from sterna.quant.prepare import prepare
from sterna.quant.quantisers import WEIGHT_QUANTISERS
from sterna.quant.recipe import LayerRecipe, Recipe

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
