"""The zoo: every card says what its model does, on whatever data are there."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sterna.cli.verbs import app
from sterna.data import load
from sterna.spec.configuration import STANDARD
from sterna.spec.errors import ConfigurationError, DataError
from sterna.spec.model_file import load_network, packed_bits
from sterna.train import Phase, held_out_accuracy
from sterna.train.rows import ROWS
from sterna.zoo import NAMES, Card, card, network, path_of
from sterna.zoo.make import TASKS, card_of, cycles_of, main
from sterna.zoo.speed import Obstacle, Speed, speeds


@pytest.mark.parametrize("name", NAMES)
def test_a_model_has_the_accuracy_and_the_cycles_of_its_card(name: str) -> None:
    made = card(name)
    try:
        dataset = load(made.dataset)
    except DataError as error:
        pytest.skip(str(error))
    model = network(name)
    # Areas compare float64 errors, whose last bits may differ between machines.
    tolerance = 0 if made.metric == "accuracy" else 1e-6
    assert held_out_accuracy(model, dataset) == pytest.approx(made.accuracy, rel=0, abs=tolerance)
    assert cycles_of(model, dataset) == made.cycles
    assert made.metric == dataset.metric.name


@pytest.mark.parametrize("name", NAMES)
def test_a_card_tells_the_size_and_the_command_of_its_model(name: str) -> None:
    made, model = card(name), network(name)
    assert made.name == name
    assert made.bytes == path_of(name).stat().st_size
    assert made.bits_per_weight == packed_bits(model) / made.weights
    assert model.metadata["accuracy"] == made.accuracy
    assert made.command == f"python -m sterna.zoo.make {name} --seed {model.metadata['seed']}"
    assert made.task == TASKS[name]


def test_models_for_the_zoo_are_rows_and_digits_are_there() -> None:
    assert TASKS.keys() <= ROWS.keys()
    assert set(NAMES) <= TASKS.keys()
    assert "digits-mlp" in NAMES


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"no model 'lion' in the zoo; known: {', '.join(NAMES)}")):
        card("lion")


def test_a_model_is_made_with_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = (("float_phase.epochs", 1), ("quantised_phase.epochs", 1))
    monkeypatch.setitem(ROWS, "digits-mlp", dataclasses.replace(ROWS["digits-mlp"], changes=changes))
    monkeypatch.setattr("sys.argv", ["make", "digits-mlp", "--seed", "3", "--folder", str(tmp_path)])
    main()
    made = Card(**json.loads((tmp_path / "digits-mlp.json").read_text()))
    model = load_network(tmp_path / "digits-mlp.safetensors")
    assert held_out_accuracy(model, load("digits")) == made.accuracy
    assert ROWS["digits-mlp"].changed_preset().float_phase == Phase(epochs=1, learning_rate=3e-3, weight_decay=0.05)
    assert made.command.endswith("digits-mlp --seed 3")


@pytest.mark.parametrize("source", [["--again"], ["--model", str(path_of("digits-mlp"))]])
def test_a_card_is_made_without_training(source: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(path_of("digits-mlp"), tmp_path)
    monkeypatch.setattr("sys.argv", ["make", "digits-mlp", *source, "--folder", str(tmp_path)])
    main()
    for suffix in (".json", ".safetensors"):
        assert (tmp_path / f"digits-mlp{suffix}").read_bytes() == path_of("digits-mlp").with_suffix(suffix).read_bytes()


def test_a_model_that_is_not_what_it_says_gets_no_card() -> None:
    model = network("digits-mlp")
    with pytest.raises(ConfigurationError, match="the model's preset is 'digits-mlp'; wanted: 'mnist-tfc'"):
        card_of("mnist-tfc", model)
    with pytest.raises(ConfigurationError, match="the model does not say what trained it"):
        card_of("digits-mlp", dataclasses.replace(model, metadata={}))
    boasting = dataclasses.replace(model, metadata={**model.metadata, "accuracy": 1.0})
    with pytest.raises(ConfigurationError, match=r"the model has 0\.\d+, but says 1\.0 of itself"):
        card_of("digits-mlp", boasting)


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "none.safetensors"
    monkeypatch.setattr("sys.argv", ["make", "digits-mlp", "--model", str(missing), "--folder", str(tmp_path / "new")])
    with pytest.raises(SystemExit, match=re.escape(str(missing))) as stopped:
        main()
    assert "\n" not in str(stopped.value)
    assert (tmp_path / "new").is_dir()


def test_the_zoo_is_listed_shown_and_copied_out(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert [each["name"] for each in json.loads(run(app, ["zoo", "--json"]).stdout)] == list(NAMES)
    assert all(name in run(app, ["zoo"]).stdout for name in NAMES)
    target = tmp_path / "new" / "m.safetensors"
    shown = run(app, ["zoo", "digits-mlp", "-o", str(target)])
    assert "cycles on icebreaker" in shown.stdout
    assert target.read_bytes() == path_of("digits-mlp").read_bytes()
    assert json.loads(run(app, ["zoo", "digits-mlp", "--json"]).stdout) == dataclasses.asdict(card("digits-mlp"))
    failed = run(app, ["zoo", "-o", str(target)])
    assert failed.exit_code == 1
    assert failed.stderr.startswith("sterna: --output needs the name of a model: ")


def test_speed_on_a_board_follows_from_the_card_and_the_bytes_on_the_wire() -> None:
    icebreaker = STANDARD["icebreaker"]
    (digits,) = (each for each in speeds(icebreaker, frequency=20e6, baud=1e6) if each.name == "digits-mlp")
    assert isinstance(digits, Speed)
    assert digits.cycles == card("digits-mlp").cycles["icebreaker"]
    assert digits.compute == digits.cycles / 20e6
    assert (digits.send, digits.receive) == (digits.sent * 10 / 1e6, digits.received * 10 / 1e6)
    assert (digits.cores, digits.overlaps) == (1, True)
    assert digits.inferences_per_second == 1 / digits.send
    assert dataclasses.replace(digits, compute=1.0, cores=4).inferences_per_second == 4
    one_slot = dataclasses.replace(digits, overlaps=False)
    assert one_slot.inferences_per_second == 1 / (digits.compute + digits.send + digits.receive)
    assert digits.summary()["inferences_per_second"] == digits.inferences_per_second


def test_a_model_without_a_speed_says_why() -> None:
    tiny = dataclasses.replace(STANDARD["icebreaker"], name="tiny", activation_depth=16)
    other = dataclasses.replace(STANDARD["icebreaker"], name="other")
    narrow = dataclasses.replace(STANDARD["icebreaker"], name="narrow", acc_bits=8)
    found = {
        (configuration.name, each.name): each
        for configuration in (tiny, other, narrow)
        for each in speeds(configuration, frequency=20e6, baud=1e6)
    }
    reason = {
        "tiny": "too small: activations",
        "other": "its card has no cycles for this configuration",
        "narrow": r"layer 'dense0' plane 0 channel \d+ sums to -\d+…\d+; narrow accumulates 8 bits",
    }
    for name, text in reason.items():
        obstacle = found[name, "digits-mlp"]
        assert isinstance(obstacle, Obstacle)
        assert re.fullmatch(text, obstacle.reason)
    assert found["tiny", "digits-mlp"].summary() == {"name": "digits-mlp", "reason": reason["tiny"]}
