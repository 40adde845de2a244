"""Densities of weight blocks, layer by layer, from one budget in cycles.

Every layer's cycles are modelled at a row of densities, on held-back images; a layer's loss is the share of its
weights' magnitude that pruning takes. From full density on, the layer that loses least for a cycle saved goes one step
down, until the sum fits; then the mix is modelled as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from sterna.compiler import model_cycles
from sterna.compiler.cycle_model import CycleEstimate
from sterna.quant import QuantisedModel, export_network
from sterna.spec.configuration import Configuration
from sterna.spec.errors import ConfigurationError
from sterna.train.calibration import calibrated, trained_twin
from sterna.train.presets import Preset

DENSITIES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1)
IMAGES = 20
"""On which cycles are modelled."""


@dataclass(frozen=True, kw_only=True)
class CycleBudget:
    """Densities that fit a budget."""

    cycles: dict[str, tuple[float, ...]]
    """By layer, at each of :data:`DENSITIES`."""
    kept: dict[str, tuple[float, ...]]
    """By layer, share of the weights' magnitude that is kept at each."""
    densities: dict[str, float]
    """The choice."""
    total: float
    """Cycles per inference of it, layers without weights included."""

    def layers(self) -> dict[str, dict[str, float]]:
        """For :meth:`Preset.with_layers`."""
        return {name: {"density": density} for name, density in self.densities.items()}


def cycle_budget(
    preset: Preset, configuration: Configuration, cycles: float, seed: int = 0, data_dir: str | Path | None = None
) -> CycleBudget:
    """Trains the preset's float model, and chooses densities for a number of cycles per inference.

    Raises :class:`ConfigurationError` if the recipe prunes for another core, or if no densities fit the budget.
    """
    recipe = preset.recipe
    if (recipe.pe, recipe.simd) != (configuration.pe, configuration.simd):
        core = f"{configuration.simd}×{configuration.pe}"
        raise ConfigurationError(f"the recipe prunes for {recipe.simd}×{recipe.pe} (simd × pe), the core is {core}")
    with trained_twin(preset, seed, data_dir) as (twin, dataset):
        images = dataset.test_images[:IMAGES].reshape(-1, dataset.test_images[0].size)
        found: list[dict[str, float]] = []
        kept: list[dict[str, float]] = []
        names = [name for name, layer in calibrated(twin, recipe, dataset).named_layers() if layer.trained]

        def modelled(densities: Mapping[str, float]) -> tuple[CycleEstimate, QuantisedModel]:
            pruned = preset.with_layers({name: {"density": density} for name, density in densities.items()})
            model = calibrated(twin, pruned.recipe, dataset)
            network, _ = export_network(model, name=preset.name)
            return model_cycles(network, configuration, images), model

        for density in DENSITIES:
            estimate, model = modelled(dict.fromkeys(names, density))
            found.append(estimate.layers)
            kept.append(_kept(model))
        per_layer = {name: tuple(each[name] for each in found) for name in names}
        shares = {name: tuple(each[name] for each in kept) for name in names}
        # What a layer takes depends a little on the zeros that the others, at their densities, leave it: where the mix
        # as a whole does not fit, by so much less is chosen anew.
        most = cycles - sum(count for name, count in found[0].items() if name not in names)
        while True:
            steps = _chosen(per_layer, shares, most)
            densities = {name: DENSITIES[step] for name, step in steps.items()}
            total = modelled(densities)[0].total
            if total <= cycles:
                return CycleBudget(cycles=per_layer, kept=shares, densities=densities, total=total)
            if all(step == len(DENSITIES) - 1 for step in steps.values()):
                raise ConfigurationError(f"budget is {cycles:.0f} cycles; the least there is: {total:.0f}")
            most = sum(per_layer[name][step] for name, step in steps.items()) - (total - cycles)


def _chosen(cycles: dict[str, tuple[float, ...]], kept: dict[str, tuple[float, ...]], budget: float) -> dict[str, int]:
    """Step of each layer along :data:`DENSITIES`; the last of all if nothing fits."""
    steps = dict.fromkeys(cycles, 0)
    while sum(cycles[name][step] for name, step in steps.items()) > budget:
        prices = {}
        for name, step in steps.items():
            if step + 1 < len(DENSITIES):
                saved = cycles[name][step] - cycles[name][step + 1]
                lost = kept[name][step] - kept[name][step + 1]
                prices[name] = lost / saved if saved > 0 else float("inf")
        if not prices:
            break
        steps[min(prices, key=lambda name: prices[name])] += 1
    return steps


@torch.no_grad()
def _kept(model: QuantisedModel) -> dict[str, float]:
    """By layer that has weights: share of their magnitude that is not pruned."""
    shares = {}
    for name, layer in model.named_layers():
        terms = [term for term in layer.terms if term.trained]
        if terms:
            whole = sum(float(term.weight.abs().sum()) for term in terms)
            shares[name] = sum(float((term.weight.abs() * term.mask).sum()) for term in terms) / whole
    return shares
