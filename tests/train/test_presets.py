"""Presets: plain values, checked."""

import dataclasses
import re

import pytest

from sterna.spec.configuration import configuration_named
from sterna.spec.errors import ConfigurationError
from sterna.train import PRESETS, Phase, preset_named

DIGITS = PRESETS["digits-mlp"]


def test_presets_are_known_by_their_names():
    assert all(preset_named(name).name == name for name in PRESETS)
    with pytest.raises(ConfigurationError, match="no preset 'resnet'; known: cifar-resnet8, digits-mlp"):
        preset_named("resnet")


def test_digits_are_pruned_for_the_icebreaker_configuration():
    configuration = configuration_named("icebreaker")
    assert (DIGITS.recipe.pe, DIGITS.recipe.simd) == (configuration.pe, configuration.simd)
    assert all(DIGITS.recipe.of_layer(index, 3).density <= 0.5 for index in range(3))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"float_phase": Phase(epochs=0, learning_rate=1)}, "float_phase is Phase(epochs=0"),
        ({"quantised_phase": Phase(epochs=0, learning_rate=1)}, "quantised_phase is Phase(epochs=0"),
        ({"batch": 1}, "batch is 1; allowed: 2 or more: BatchNorm needs two"),
        ({"distillation": 1.5}, "distillation is 1.5; allowed: 0…1"),
        ({"temperature": 0.0}, "temperature is 0.0; allowed: above 0"),
        ({"prune_until": 0.0}, "prune_until is 0.0; allowed: above 0, at most 1"),
    ],
)
def test_a_preset_names_its_bad_value(values, text):
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        dataclasses.replace(DIGITS, **values)
