"""Presets: plain values, checked."""

import dataclasses
import math
import re
from typing import Any

import pytest

from sterna.spec.configuration import configuration_named
from sterna.spec.errors import ConfigurationError
from sterna.train import PRESETS, Autoencoder, ByteTransformer, Cnn, DsCnn, Mlp, Phase, ResNet8, preset_named
from sterna.train.augment import Augmentation
from sterna.train.text_presets import TEXT_PRESETS

DIGITS = PRESETS["digits-mlp"]


def test_presets_are_known_by_their_names():
    assert all(preset_named(name).name == name for name in PRESETS)
    with pytest.raises(ConfigurationError, match="no preset 'resnet'; known: cifar-resnet8, digits-mlp"):
        preset_named("resnet")
    with pytest.raises(ConfigurationError, match="preset 'text-bytelm-30k' is one for text; those for images: cifar"):
        preset_named("text-bytelm-30k")


def test_digits_are_pruned_for_the_icebreaker_configuration():
    configuration = configuration_named("icebreaker")
    assert (DIGITS.recipe.pe, DIGITS.recipe.simd) == (configuration.pe, configuration.simd)
    assert all(DIGITS.recipe.of_layer(index, 3).density <= 0.5 for index in range(3))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"batch": 1}, "batch is 1; allowed: 2 or more: BatchNorm needs two"),
        ({"distillation": 1.5}, "distillation is 1.5; allowed: 0…1"),
        ({"temperature": 0.0}, "temperature is 0.0; allowed: above 0"),
        ({"temperature": math.inf}, "temperature is inf; allowed: above 0"),
        ({"prune_until": 0.0}, "prune_until is 0.0; allowed: above 0, at most 1"),
        ({"harden_until": "0"}, "harden_until is '0'; allowed: 0 or more, below 1"),
    ],
)
def test_a_preset_names_its_bad_value(values, text):
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        dataclasses.replace(DIGITS, **values)


WHOLE = (0, -1, 2.0, 2.5, True, "3", None, math.nan)
REAL = (-1, -1e-9, math.nan, math.inf, -math.inf, 10**400, True, "0.1", None)
RATE = Phase(epochs=1, learning_rate=1e-3)
TEXT = TEXT_PRESETS["text-bytelm-30k"]


@pytest.mark.parametrize(
    ("holder", "name", "values"),
    [
        (RATE, "epochs", WHOLE),
        (RATE, "learning_rate", (0, *REAL)),
        (RATE, "weight_decay", REAL),
        *((Augmentation(), name, REAL) for name in ("rotation", "zoom", "shift", "noise")),
        (Augmentation(), "flip", (1, "true", None)),
        (DIGITS, "batch", (1, *WHOLE)),
        (TEXT, "batch", WHOLE),
        *((DIGITS, name, REAL) for name in ("distillation", "temperature", "prune_until", "harden_until", "snap_from")),
        (TEXT, "snap_from", REAL),
        *((TEXT.topology, name, WHOLE) for name in ("width", "heads", "blocks", "context", "expansion")),
        (Mlp(hidden=(8,)), "hidden", [(value,) for value in WHOLE]),
        (Mlp(hidden=(8,)), "activation", ("tanh", ["relu"], None)),
        (Cnn(stages=((8,),)), "stages", ((), ((),), (8,), *(((value,),) for value in WHOLE))),
        (Cnn(stages=((8,),)), "hidden", [(value,) for value in WHOLE]),
        (Autoencoder(), "hidden", [(value,) for value in WHOLE]),
        (Autoencoder(), "code", WHOLE),
        (ResNet8(), "widths", ((8, 8), *((8, value, 8) for value in WHOLE))),
        (DsCnn(), "channels", WHOLE),
        (DsCnn(), "blocks", WHOLE),
        (DsCnn(), "stem_kernel", ((3,), *((3, value) for value in WHOLE))),
        (DsCnn(), "stem_stride", ((1,), *((1, value) for value in WHOLE))),
    ],
)
def test_every_number_of_a_preset_is_checked(holder: Any, name: str, values: Any) -> None:
    for value in values:
        with pytest.raises(ConfigurationError, match=re.escape(f"is {value!r}; allowed: ")) as caught:
            dataclasses.replace(holder, **{name: value})
        assert str(caught.value).startswith(name)


def test_every_preset_can_be_built_again_from_its_own_values() -> None:
    for preset in (*PRESETS.values(), *TEXT_PRESETS.values()):
        assert dataclasses.replace(preset) == preset
    assert isinstance(TEXT.topology, ByteTransformer)
