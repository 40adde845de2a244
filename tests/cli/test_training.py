"""``sterna train`` with its options, and ``sterna bench train``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from sterna.cli.verbs import app
from sterna.data import Text
from sterna.spec.model_file import load_network
from sterna.train.phases import DivergedError

QUICK = ("--set", "float_phase.epochs=1", "--set", "quantised_phase.epochs=2")


def sterna(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(message: str, *arguments: str | Path) -> None:
    """The verb fails with exit code 1 and one line on standard error that holds ``message``."""
    result = sterna(*arguments)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert message in line


def test_a_preset_is_changed_and_its_run_is_kept(tmp_path: Path) -> None:
    model, metrics = tmp_path / "m.safetensors", tmp_path / "m.csv"
    arguments = ("train", "digits-mlp", *QUICK, "--set", "recipe.layers.weights=ttq", "-o", model, "--metrics", metrics,
                 "--checkpoint", tmp_path / "run.safetensors", "--plots", tmp_path / "plots", "--json")  # fmt: skip
    found = json.loads(sterna(*arguments).stdout)
    assert len(load_network(model).layers[1].planes) == 2
    assert len(metrics.read_text().splitlines()) == 1 + 3
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"m-loss.svg", "m-weights.svg"}
    written = model.read_bytes()
    assert json.loads(sterna(*arguments).stdout) == found
    assert model.read_bytes() == written


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    fails("no 'epochs' in a preset", "train", "--set", "epochs=3", "-o", model)
    fails("setting is 'epochs'", "train", "--set", "epochs", "-o", model)
    fails("metrics file is 'm.txt'", "train", "--metrics", tmp_path / "m.txt", "-o", model)
    assert not model.exists()


@pytest.fixture
def quick_row(monkeypatch: pytest.MonkeyPatch) -> str:
    from sterna.train import rows

    changes = (("float_phase.epochs", 1), ("quantised_phase.epochs", 1), ("recipe.layers.weights", "digits2"))
    monkeypatch.setitem(rows.ROWS, "quick", rows.Row(name="quick", preset="digits-mlp", changes=changes))
    return "quick"


def test_a_row_prints_exactly_six_values_and_keeps_the_rest(quick_row: str, tmp_path: Path) -> None:
    result = sterna("bench", "train", "--row", quick_row, "--seeds", "0, 3", "--keep", tmp_path / "kept", "--json")
    printed = json.loads(result.stdout)
    assert list(printed) == ["row", "seeds", "accuracy", "median", "fp32_median", "bits_per_weight"]
    assert printed["row"] == "quick"
    assert printed["seeds"] == [0, 3]
    assert printed["median"] == sum(printed["accuracy"]) / 2
    assert 1.6 < printed["bits_per_weight"] < 6  # one digit where the first and last layer have one plane
    kept = json.loads((tmp_path / "kept" / "train-quick.json").read_text())
    assert {key: kept[key] for key in printed} == printed
    assert kept["command"] == "sterna bench train --row quick --seeds 0,3 --json"
    assert (kept["metric"], kept["dataset"], kept["weights"]) == ("accuracy", "digits", 64 * 256 + 256 * 240 + 240 * 10)
    table = sterna("bench", "train", "--row", quick_row, "--seeds", "0")
    assert "quick: accuracy on digits" in table.stdout
    assert "80224 weights" in table.stdout


def test_a_row_that_breaks_off_has_kept_the_seeds_before(
    quick_row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sterna.train import measure_row

    def train(preset: Any, seed: int, data_dir: Path | None) -> measure_row.Seed:
        if seed == 2:
            raise DivergedError("loss is nan")
        return measure_row.Seed(metric="accuracy", data="digits", accuracy=0.9 + seed / 100, fp32=0.95, weights=10,
                                bits_per_weight=2.0 + seed)  # fmt: skip

    monkeypatch.setattr(measure_row, "train_seed", train)
    fails("loss is nan", "bench", "train", "--row", quick_row, "--seeds", "0,1,2", "--keep", tmp_path, "--json")
    kept = json.loads((tmp_path / "train-quick.json").read_text())
    assert kept["seeds"] == [0, 1]
    assert kept["accuracy"] == [0.9, 0.91]
    assert kept["bits_per_weight"] == 2.5
    assert kept["command"] == "sterna bench train --row quick --seeds 0,1 --json"


def test_an_unknown_row_and_wrong_seeds_are_one_line() -> None:
    fails("no row 'mnist'; known: cifar", "bench", "train", "--row", "mnist")
    fails("seeds are '0,a'; allowed: whole numbers", "bench", "train", "--row", "mnist-tfc", "--seeds", "0,a")


def test_text_is_trained_into_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sterna.host import load_transformer
    from sterna.train import text_training

    content = np.frombuffer(b"she sells sea shells by the sea shore. " * 40, np.uint8).copy()
    shells = Text(name="shells", train=content, validation=content, test=content[:200])
    monkeypatch.setattr(text_training, "load_text", lambda *_: shells)
    monkeypatch.setattr(text_training, "EPOCH", 3)
    model = tmp_path / "t.safetensors"
    arguments = ("train", "text-bytelm-30k", *QUICK, "-o", model, "--metrics", tmp_path / "m.jsonl",
                 "--plots", tmp_path / "plots")  # fmt: skip
    assert "held-out bits per byte: float" in sterna(*arguments).stdout
    host = load_transformer(tmp_path / "t.host.safetensors", load_network(model))
    assert host.shape.width == 32
    assert len((tmp_path / "m.jsonl").read_text().splitlines()) == 1 + 2 + 2
    assert len(list((tmp_path / "plots").iterdir())) == 2
    found = json.loads(sterna(*arguments, "--json").stdout)
    assert found["bits_per_byte"].keys() == {"float", "golden"}
    fails("--layers is for presets of images", *arguments, "--layers", model)
