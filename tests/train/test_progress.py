"""Files of metrics, and plots."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from sterna.quant import LayerRecipe, Recipe, prepare
from sterna.spec.errors import ConfigurationError
from sterna.spec.network import InputSpec
from sterna.train import MetricsFile, Mlp, Progress
from sterna.train.plots import plot_losses, plot_weights

ENTRIES = [
    Progress(phase="float", epoch=1, epochs=1, loss=0.1 + 0.2),
    Progress(phase="quantised", epoch=1, epochs=2, loss=0.25),
]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_line_is_written_for_each_epoch_as_it_ends(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"metrics{suffix}"
    path.write_text("old")
    keep = MetricsFile(path)
    for count, entry in enumerate(ENTRIES, 1):
        keep(entry)
        lines = path.read_text().splitlines()
        found = list(csv.DictReader(lines)) if suffix == ".csv" else [json.loads(line) for line in lines]
        assert [float(row["loss"]) for row in found] == [each.loss for each in ENTRIES[:count]]
        assert found[-1].keys() == {field.name for field in dataclasses.fields(Progress)}


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"metrics file is 'a\.txt'; allowed: names that end in \.csv or"):
        MetricsFile(tmp_path / "a.txt")


def test_losses_and_weights_are_drawn(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = InputSpec(name="input", shape=(1, 1, 12), low=0, high=8, scale=1)
    model = prepare(Mlp(hidden=(8,)).build((1, 1, 12), 3), Recipe(last=LayerRecipe(weights="digits2")), spec)
    plot_losses(ENTRIES, tmp_path / "loss.svg")
    plot_weights(model, tmp_path / "weights.svg")
    for name in ("loss.svg", "weights.svg"):
        assert (tmp_path / name).read_text().startswith("<?xml")
