"""Trains a row's preset from several seeds, and says what came of it."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sterna.spec.model_file import packed_bits
from sterna.train.rows import Row
from sterna.train.training import TrainResult, train

Result = dict[str, Any]


def measure_row(
    row: Row,
    seeds: Sequence[int],
    *,
    data_dir: Path | None = None,
    done: Callable[[TrainResult], None] | None = None,
) -> tuple[Result, Result]:
    """Trains once for each seed.

    ``done`` is called with each result. Returns what the row prints, and what is kept of it besides: metric, data set,
    number of weights, every seed's float accuracy. Accuracies are those of the integer networks on held-out data. Bits
    per weight count everything that the model file packs, for each weight of the float model.
    """
    results = []
    for seed in seeds:
        results.append(train(row.changed_preset(), seed, data_dir=data_dir))
        if done is not None:
            done(results[-1])
    accuracy = [result.integer_accuracy for result in results]
    twins = [result.float_accuracy for result in results]
    bits = statistics.median(packed_bits(result.network) / result.model.trained_weights for result in results)
    printed = {
        "row": row.name,
        "seeds": list(seeds),
        "accuracy": accuracy,
        "median": statistics.median(accuracy),
        "fp32_median": statistics.median(twins),
        "bits_per_weight": bits,
    }
    kept = {
        "metric": results[0].metric,
        "dataset": results[0].preset.dataset,
        "fp32": twins,
        "weights": results[0].model.trained_weights,
    }
    return printed, kept
