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
    floats = tmp_path / "floats"
    for _ in range(2):
        shared = sterna("bench", "train", "--row", quick_row, "--seeds", "0,3", "--floats", floats, "--json")
        assert json.loads(shared.stdout) == printed
    assert len(list(floats.iterdir())) == 2
    table = sterna("bench", "train", "--row", quick_row, "--seeds", "0")
    assert "quick: accuracy on digits" in table.stdout
    assert "80224 weights" in table.stdout


def test_a_row_that_breaks_off_has_kept_the_seeds_before(
    quick_row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sterna.train import measure_row

    def train(preset: Any, seed: int, *_: object) -> measure_row.Seed:
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


def never(*_: object, **__: object) -> None:
    raise AssertionError("trained")


BAD_INPUTS: list[tuple[str, tuple[str, ...]]] = [
    ("batch is 2000; allowed: 2…1343", ("--set", "batch=2000")),
    ("learning_rate of a phase is -1.0; allowed: above 0", ("--set", "float_phase.learning_rate=-1")),
    ("learning_rate of a phase is nan; allowed: above 0", ("--set", "float_phase.learning_rate=NaN")),
    ("epochs of a phase is 0; allowed: 1 or more", ("--set", "quantised_phase.epochs=0")),
    ("noise of the augmentation is -1.0; allowed: 0 or more", ("--set", "augmentation.noise=-1")),
    ("topology.hidden is 32; allowed: a list, such as [256, 240]", ("--set", "topology.hidden=32")),
    ("act_bits is '8'; allowed: 2…8", ("--layers", '{"dense0": {"act_bits": "8"}}')),
    ("act_bits is 4.0; allowed: 2…8", ("--layers", '{"dense0": {"act_bits": 4.0}}')),
    ("weights is ['digits3']; allowed: binary", ("--layers", '{"dense0": {"weights": ["digits3"]}}')),
    ("density is True; allowed: above 0", ("--layers", '{"dense0": {"density": true}}')),
    ("names a layer 'dense7', which the model does not have", ("--layers", '{"dense7": {"act_bits": 8}}')),
    ("--output is FOLDER, which is a folder; allowed: a file", ("--output", "FOLDER")),
    ("--checkpoint is FOLDER, which is a folder; allowed: a file", ("--checkpoint", "FOLDER")),
    ("--metrics is FOLDER, which is a folder; allowed: a file", ("--metrics", "FOLDER")),
    ("--plots is FILE, which is a file; allowed: a folder", ("--plots", "FILE")),
    ("--output and --checkpoint are both ", ("--output", "FILE", "--checkpoint", "FOLDER/../file")),
    ("--output and --metrics are both FILE", ("--output", "FILE", "--metrics", "FILE")),
    ("--checkpoint and --metrics are both FILE", ("--checkpoint", "FILE", "--metrics", "FILE")),
    ("--layers and --output are both LAYERS", ("--layers", "{}", "--output", "LAYERS")),
    ("--output is FILE/m.safetensors, but FILE cannot be made: ", ("--output", "FILE/m.safetensors")),
]


@pytest.mark.parametrize(("message", "options"), BAD_INPUTS, ids=[" ".join(options) for _, options in BAD_INPUTS])
def test_a_bad_input_is_one_line_before_any_training(
    message: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sterna.train import run

    monkeypatch.setattr(run, "run_phase", never)
    places = {"FOLDER": tmp_path / "folder", "FILE": tmp_path / "file", "LAYERS": tmp_path / "layers.json"}
    places["FOLDER"].mkdir()
    places["FILE"].write_text("before")

    def placed(text: str) -> str:
        if text.startswith("{"):
            places["LAYERS"].write_text(text)
            return str(places["LAYERS"])
        for name, path in places.items():
            text = text.replace(name, str(path))
        return text

    arguments = [placed(option) for option in options]
    output = () if "--output" in options else ("-o", tmp_path / "m.safetensors")
    fails(placed(message), "train", "digits-mlp", *QUICK, *arguments, *output)
    assert places["FILE"].read_text() == "before"


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("epochs of a phase is 0; allowed: 1 or more", ("--set", "quantised_phase.epochs=0")),
        ("batch is 0; allowed: 1 or more", ("--set", "batch=0")),
        ("--output is FOLDER, which is a folder", ("--output", "FOLDER")),
        ("its host's part is FOLDER/m.host.safetensors, which is a folder", ("--output", "FOLDER/m.safetensors")),
        ("host's part and --checkpoint are both", ("--output", "a", "--checkpoint", "a.host.safetensors")),
        ("--plots is FILE, which is a file", ("--plots", "FILE")),
    ],
)
def test_a_bad_input_for_text_is_one_line_before_any_training(
    message: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sterna.train import text_training

    monkeypatch.setattr(text_training, "load_text", never)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "m.host.safetensors").mkdir(parents=True)
    (tmp_path / "file").touch()
    arguments = [option.replace("FOLDER", "folder").replace("FILE", "file") for option in options]
    fails(message.replace("FOLDER", "folder").replace("FILE", "file"), "train", "text-bytelm-30k", *arguments)


def test_passes_over_layers_refuse_their_output_and_texts_presets_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sterna.train import run

    monkeypatch.setattr(run, "run_phase", never)
    for verb in ("sensitivity", "budget"):
        fails(f"--output is {tmp_path}, which is a folder", verb, "digits-mlp", "-o", tmp_path)
        fails("preset 'text-bytelm-30k' is one for text", verb, "text-bytelm-30k")


def test_bits_are_counted_for_each_trained_weight_as_a_row_counts_them(tmp_path: Path, quick_row: str) -> None:
    row = json.loads(sterna("bench", "train", "--row", quick_row, "--seeds", "0", "--json").stdout)
    arguments = ("train", "digits-mlp", "--set", "float_phase.epochs=1", "--set", "quantised_phase.epochs=1",
                 "--set", "recipe.layers.weights=digits2", "-o", tmp_path / "some" / "m.safetensors")  # fmt: skip
    found = json.loads(sterna(*arguments, "--json").stdout)
    assert found["weights"] == 64 * 256 + 256 * 240 + 240 * 10
    assert found["bits_per_weight"] == row["bits_per_weight"]
    assert f"80224 weights, {row['bits_per_weight']:.3f} bits each" in sterna(*arguments).stdout
