"""Sensitivity: how few planes each layer can do with.

A float model is quantised without training, every layer to balanced ternary digits, none pruned. The pass measures each
layer at one to five digits while all others keep five; then it takes digits away, one at a time, where most weights are
saved for the accuracy that the single measurement lost, as long as the whole mix stays within a stated loss. Training
afterwards recovers more: what the pass finds is an order of layers and a safe choice, not a bound (after Dong et al.
2019, "HAWQ", which asks second derivatives instead).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sterna.data import Dataset
from sterna.quant.digits import MAX_DIGITS
from sterna.spec.errors import ConfigurationError
from sterna.train.calibration import calibrated, held_back_accuracy, trained_twin
from sterna.train.presets import Preset


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What the pass found; accuracies are of training images that were held back."""

    accuracy: dict[str, tuple[float, ...]]
    """By layer: with 1 … 5 digits in it and five in all others."""
    full: float
    """With five digits everywhere."""
    planes: dict[str, int]
    """The chosen mix: digits of each layer."""
    chosen: float
    """Its accuracy."""
    weights: dict[str, int]
    """Of each layer."""

    def layers(self) -> dict[str, dict[str, str]]:
        """For :meth:`Preset.with_layers`."""
        return {name: {"weights": f"digits{planes}"} for name, planes in self.planes.items()}


def sensitivity(preset: Preset, loss: float, seed: int = 0, data_dir: str | Path | None = None) -> Sensitivity:
    """Trains the preset's float model, measures its layers and chooses a mix at most ``loss`` below five digits
    everywhere. Raises :class:`ConfigurationError` for a negative loss and for data without classes."""
    if loss < 0:
        raise ConfigurationError(f"loss is {loss}; allowed: 0 or more")
    with trained_twin(preset, seed, data_dir) as (twin, dataset):
        model = calibrated(twin, preset.recipe, dataset)
        weights = {
            name: sum(term.weight.numel() for term in layer.terms if term.trained)
            for name, layer in model.named_layers()
            if layer.trained
        }
        full = dict.fromkeys(weights, MAX_DIGITS)
        best = _measured(twin, preset, dataset, full)
        accuracy = {
            name: (*(_measured(twin, preset, dataset, full | {name: n}) for n in range(1, MAX_DIGITS)), best)
            for name in weights
        }
        planes, chosen, closed = dict(full), best, set[str]()
        while True:
            costs = {
                name: (accuracy[name][n - 1] - accuracy[name][n - 2]) / weights[name]
                for name, n in planes.items()
                if n > 1 and name not in closed
            }
            if not costs:
                break
            name = min(costs, key=lambda each: (costs[each], -weights[each]))
            mix = planes | {name: planes[name] - 1}
            found = _measured(twin, preset, dataset, mix)
            if found >= best - loss:
                planes, chosen = mix, found
            else:
                closed.add(name)
    return Sensitivity(accuracy=accuracy, full=best, planes=planes, chosen=chosen, weights=weights)


def _measured(twin: nn.Module, preset: Preset, dataset: Dataset, planes: Mapping[str, int]) -> float:
    """Accuracy with so many digits in each layer."""
    mix = preset.with_layers({name: {"weights": f"digits{count}", "density": 1.0} for name, count in planes.items()})
    return held_back_accuracy(calibrated(twin, mix.recipe, dataset), dataset)
