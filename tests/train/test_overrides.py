"""Changing presets by paths, and rows, which are presets with changes."""

import dataclasses
import math
import re

import pytest

from sterna.data import NAMES, TEXTS
from sterna.spec.errors import ConfigurationError
from sterna.train import PRESETS, Cnn, Mlp
from sterna.train.overrides import changed, parsed
from sterna.train.presets import Preset
from sterna.train.rows import ROWS, row_named
from sterna.train.text_presets import TextPreset

DIGITS = PRESETS["digits-mlp"]


def test_a_path_leads_to_the_value_that_changes() -> None:
    assert changed(DIGITS, "quantised_phase.epochs", 3).quantised_phase.epochs == 3
    assert changed(DIGITS, "recipe.layers.weights", "ttq").recipe.layers.weights == "ttq"
    assert changed(DIGITS, "distillation", 1).distillation == 1.0
    assert changed(DIGITS, *parsed("topology.hidden=[32,24]")).topology == Mlp(hidden=(32, 24))
    assert changed(DIGITS, *parsed("augmentation.flip=true")).augmentation.flip
    assert changed(PRESETS["mnist-cnn"], *parsed("topology.stages=[[8],[8,16]]")).topology == Cnn(
        stages=((8,), (8, 16))
    )
    rest = dataclasses.replace(changed(DIGITS, "batch", 32), batch=DIGITS.batch)
    assert rest == DIGITS


def test_a_last_layer_of_its_own_is_made_from_the_others() -> None:
    recipe = changed(PRESETS["mnist-cnn"], "recipe.last.weights", "digits5").recipe
    assert recipe.last is not None
    assert recipe.last == dataclasses.replace(recipe.layers, weights="digits5")


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (
            "recipe.layer.weights",
            "ttq",
            "no 'recipe.layer.weights' in a preset: 'layer' is none of changed, first, last, layers",
        ),
        ("batch.size", 3, "no 'batch.size' in a preset: 'batch' has no fields"),
        ("batch", 2.5, "batch is 2.5; allowed: a value of the kind of 64"),
        ("float_phase.learning_rate", math.inf, "learning_rate of a phase is inf; allowed: above 0"),
        ("float_phase.learning_rate", -1, "learning_rate of a phase is -1.0; allowed: above 0"),
        ("recipe", "ttq", "recipe cannot be set as a whole; allowed: recipe.layers, recipe.first"),
        ("recipe.last", "ttq", "recipe.last cannot be set as a whole; allowed: recipe.last.weights"),
        ("augmentation.flip", 1, "augmentation.flip is 1; allowed: true, false"),
        ("topology.hidden", 32, "topology.hidden is 32; allowed: a list, such as [256, 240]"),
        ("topology.hidden", (32, "a"), "hidden is (32, 'a'); allowed: widths of 1 or more"),
        ("recipe.named", ("a",), "named is ('a',); allowed: a tuple of pairs"),
        ("batch", 1, "batch is 1; allowed: 2 or more: BatchNorm needs two"),
    ],
)
def test_what_cannot_be_changed_is_named(path: str, value: str | float, text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        changed(DIGITS, path, value)


def test_settings_are_a_path_and_a_number_or_text() -> None:
    assert [parsed(text) for text in ("a.b=3", "a=0.5", "a=ttq", "a=true", "a=[1,[2]]")] == [
        ("a.b", 3), ("a", 0.5), ("a", "ttq"), ("a", "true"), ("a", (1, (2,))),
    ]  # fmt: skip
    for text in ("a", "=3", "a="):
        with pytest.raises(ConfigurationError, match=re.escape(f"setting is {text!r}; allowed: path=value")):
            parsed(text)


def test_every_row_is_a_preset_with_changes_and_reaches_for_known_rows() -> None:
    for name, row in ROWS.items():
        assert row.name == name
        preset = row.changed_preset()
        assert preset.text in TEXTS if isinstance(preset, TextPreset) else preset.dataset in NAMES
        if row.reach.below_row is not None:
            assert row.reach.below_row[0] in ROWS
    half = ROWS["mnist-cnn-50"].changed_preset()
    assert isinstance(half, Preset)
    assert half.recipe.layers.density == 0.5
    with pytest.raises(ConfigurationError, match="no row 'mnist'; known: cifar-resnet8, "):
        row_named("mnist")
