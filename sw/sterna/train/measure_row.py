"""Trains a row's preset from several seeds, and says what came of it."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sterna.spec.model_file import packed_bits
from sterna.train.presets import Preset
from sterna.train.rows import Row
from sterna.train.text_presets import TextPreset
from sterna.train.text_training import train_text
from sterna.train.training import train

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Seed:
    """What one training gave."""

    metric: str
    data: str
    accuracy: float
    """By the metric, of the integer network on held-out data."""
    fp32: float
    """By the metric, of the float model."""
    weights: int
    """Of the float model's layers."""
    bits_per_weight: float
    """Everything that the model file packs, for each of these weights."""


def train_seed(preset: Preset | TextPreset, seed: int, data_dir: Path | None, floats: Path | None) -> Seed:
    """Trains a preset of either kind."""
    if isinstance(preset, TextPreset):
        text = train_text(preset, seed, data_dir=data_dir, floats=floats)
        weights = preset.topology.weights
        return Seed(metric="bits per byte", data=preset.text, accuracy=text.integer_bits, fp32=text.float_bits,
                    weights=weights, bits_per_weight=packed_bits(text.network) / weights)  # fmt: skip
    result = train(preset, seed, data_dir=data_dir, floats=floats)
    weights = result.model.trained_weights
    return Seed(metric=result.metric, data=preset.dataset, accuracy=result.integer_accuracy, fp32=result.float_accuracy,
                weights=weights, bits_per_weight=packed_bits(result.network) / weights)  # fmt: skip


def measure_row(
    row: Row,
    seeds: Sequence[int],
    *,
    data_dir: Path | None = None,
    floats: Path | None = None,
    done: Callable[[Result, Result], None] = lambda *_: None,
) -> tuple[Result, Result]:
    """Trains once for each seed. Returns what the row prints, and what is kept of it besides; ``done`` is called with
    the same of the seeds so far, after each. ``floats``: see :func:`sterna.train.train`."""
    results: list[Seed] = []
    told: tuple[Result, Result] = {}, {}
    for seed in seeds:
        results.append(train_seed(row.changed_preset(), seed, data_dir, floats))
        told = _told(row, seeds[: len(results)], results)
        done(*told)
    return told


def _told(row: Row, seeds: Sequence[int], results: Sequence[Seed]) -> tuple[Result, Result]:
    accuracy, twins = [each.accuracy for each in results], [each.fp32 for each in results]
    printed = {
        "row": row.name,
        "seeds": list(seeds),
        "accuracy": accuracy,
        "median": statistics.median(accuracy),
        "fp32_median": statistics.median(twins),
        "bits_per_weight": statistics.median(each.bits_per_weight for each in results),
    }
    first = results[0]
    return printed, {"metric": first.metric, "dataset": first.data, "fp32": twins, "weights": first.weights}
