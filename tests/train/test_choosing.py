"""Passes that choose recipes: planes by sensitivity, densities by cycles. On the digits, few epochs."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sterna.cli.plan import read_layers
from sterna.cli.verbs import app
from sterna.compiler import model_cycles
from sterna.data import load
from sterna.data.metric import RECONSTRUCTION_AUC
from sterna.quant import Recipe, export_network
from sterna.spec.configuration import configuration_named
from sterna.spec.errors import ConfigurationError
from sterna.spec.model_file import load_network
from sterna.train import PRESETS, Mlp, Phase, Preset
from sterna.train.calibration import calibrated, held_back_accuracy, split, trained_twin
from sterna.train.cycle_budget import DENSITIES, IMAGES, CycleBudget, cycle_budget
from sterna.train.sensitivity import Sensitivity, sensitivity

QUICK = dataclasses.replace(
    PRESETS["digits-mlp"], topology=Mlp(hidden=(32, 24)), float_phase=Phase(epochs=8, learning_rate=1e-2),
)  # fmt: skip
ICEBREAKER = configuration_named("icebreaker")


@pytest.fixture(scope="module")
def found() -> Sensitivity:
    return sensitivity(QUICK, 0.02)


def test_one_in_five_training_images_is_held_back_and_no_test_image_is_seen() -> None:
    digits = load("digits")
    parts = split(digits)
    assert len(parts.test_images) + len(parts.train_images) == len(digits.train_images)
    tested = {image.tobytes() for image in digits.test_images}
    assert not any(image.tobytes() in tested for image in (*parts.train_images, *parts.test_images))


def test_every_layer_is_measured_at_every_number_of_digits(found: Sensitivity) -> None:
    assert found.weights == {"dense0": 64 * 32, "dense1": 32 * 24, "dense2": 24 * 10}
    assert all(len(values) == 5 and values[-1] == found.full for values in found.accuracy.values())
    assert found.full > 0.9


def test_the_mix_saves_planes_and_keeps_to_the_loss(found: Sensitivity) -> None:
    assert found.chosen >= found.full - 0.02
    assert sum(found.planes.values()) < 3 * 5
    layers = {name: values | {"density": 1.0} for name, values in found.layers().items()}
    with trained_twin(QUICK, 0) as (twin, dataset):
        model = calibrated(twin, QUICK.with_layers(layers).recipe, dataset)
        assert held_back_accuracy(model, dataset) == found.chosen


def test_no_loss_at_all_allowed_is_kept_to_as_well() -> None:
    exact = sensitivity(QUICK, 0.0)
    assert exact.chosen >= exact.full


def test_a_negative_loss_and_data_without_classes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("loss is -0.1; allowed: 0 or more")):
        sensitivity(QUICK, -0.1)
    windows = dataclasses.replace(load("digits"), name="windows", metric=RECONSTRUCTION_AUC)
    with pytest.raises(ConfigurationError, match="windows is measured by AUC; allowed: sets of classes"):
        split(windows)


@pytest.fixture(scope="module")
def budgets() -> dict[float, CycleBudget]:
    return {cycles: cycle_budget(QUICK, ICEBREAKER, cycles) for cycles in (75, 79, 1e6)}


def test_densities_fit_their_budget_and_a_larger_one_prunes_less(budgets: dict[float, CycleBudget]) -> None:
    assert set(budgets[1e6].densities.values()) == {1.0}
    assert budgets[75].total <= 75 < budgets[79].total <= 79 < budgets[1e6].total
    for name in budgets[75].densities:
        assert budgets[75].densities[name] <= budgets[79].densities[name]
        assert all(counts == tuple(sorted(counts, reverse=True)) for counts in budgets[75].cycles.values())
        assert budgets[75].kept[name][0] == 1.0
        assert len(budgets[75].kept[name]) == len(DENSITIES)


def test_the_total_is_the_cycle_models_of_the_mix(budgets: dict[float, CycleBudget]) -> None:
    with trained_twin(QUICK, 0) as (twin, dataset):
        images = dataset.test_images[:IMAGES].reshape(-1, 64)
        for budget in budgets.values():
            model = calibrated(twin, QUICK.with_layers(budget.layers()).recipe, dataset)
            network, _ = export_network(model, name="digits")
            assert model_cycles(network, ICEBREAKER, images).total == pytest.approx(budget.total)


def test_a_budget_below_the_least_and_another_core_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"budget is 10 cycles; the least there is: \d+"):
        cycle_budget(QUICK, ICEBREAKER, 10)
    other = dataclasses.replace(QUICK, recipe=Recipe(pe=16, simd=4))
    with pytest.raises(ConfigurationError, match=r"the recipe prunes for 4×16 \(simd × pe\), the core is 4×8"):
        cycle_budget(other, ICEBREAKER, 100)


def test_layers_change_by_name_and_unknown_fields_are_named() -> None:
    recipe = QUICK.with_layers({"dense1": {"weights": "ttq", "act_bits": 4}}).recipe
    layer = recipe.of_layer(1, 3, ["dense1"])
    assert (layer.weights, layer.act_bits, layer.density) == ("ttq", 4, QUICK.recipe.layers.density)
    assert recipe.of_layer(0, 3, ["dense0"]) == QUICK.recipe.first
    own = QUICK.recipe.first
    assert own is not None
    twice = QUICK.with_layers({"dense0": {"weights": "ttq"}}).with_layers({"dense?": {"act_bits": 4}}).recipe
    assert twice.of_layer(0, 3, ["dense0"]) == dataclasses.replace(own, weights="ttq", act_bits=4)
    with pytest.raises(ConfigurationError, match="layer 'dense1' has bits; allowed: act_bits, activation, density"):
        QUICK.with_layers({"dense1": {"bits": 3}})


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_layers_that_are_told_what_they_have_stay_what_they_are(preset: Preset) -> None:
    names = ["a", "b", "c"]
    before = [preset.recipe.of_layer(k, 3, [name]) for k, name in enumerate(names)]
    for field in dataclasses.fields(before[0]):
        told = {name: {field.name: getattr(each, field.name)} for name, each in zip(names, before, strict=True)}
        recipe = preset.with_layers(told).recipe
        assert [recipe.of_layer(k, 3, [name]) for k, name in enumerate(names)] == before


def test_what_a_pass_writes_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "quick", QUICK)
    run, plan, model = CliRunner().invoke, tmp_path / "plan.json", tmp_path / "m.safetensors"
    printed = json.loads(run(app, ["budget", "quick", "--cycles", "75", "-o", str(plan), "--json"]).stdout)
    assert printed["densities"] == {name: values["density"] for name, values in read_layers(plan).items()}
    short = ["--set", "quantised_phase.epochs=1", "-o", str(model)]
    assert run(app, ["train", "quick", "--layers", str(plan), *short]).exit_code == 0
    assert len(load_network(model).layers) == 3
    assert "chosen" in run(app, ["budget", "quick", "--cycles", "75"]).stdout
    assert "five digits everywhere" in run(app, ["sensitivity", "quick", "-o", str(plan)]).stdout
    assert read_layers(plan)["dense0"]["weights"].startswith("digits")
    assert set(json.loads(run(app, ["sensitivity", "quick", "--json"]).stdout)) == {
        "accuracy",
        "full",
        "planes",
        "chosen",
    }


@pytest.mark.parametrize(("content", "text"), [("{", "is no JSON"), ("[]", "must hold an object of layers")])
def test_another_file_is_refused(content: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ConfigurationError, match=text):
        read_layers(tmp_path / "plan.json")
