"""Training on text: bits per byte, the integers of its linear layers, and resuming; sizes of its presets."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sterna.data import Text
from sterna.host import Transformer
from sterna.quant import LayerRecipe, Recipe
from sterna.spec.errors import ConfigurationError
from sterna.spec.model_file import network_to_bytes
from sterna.train import ByteTransformer, Phase, text_training
from sterna.train.measure_row import measure_row
from sterna.train.rows import Row
from sterna.train.text_presets import TEXT_PRESETS, TextPreset
from sterna.train.text_training import TextResult, held_out_bits, train_text

SHELLS = np.frombuffer(b"she sells sea shells by the sea shore. " * 40, np.uint8).copy()

QUICK = dataclasses.replace(
    TEXT_PRESETS["text-bytelm-30k"],
    topology=ByteTransformer(width=16, heads=2, blocks=1, context=16),
    float_phase=Phase(epochs=2, learning_rate=1e-2),
    quantised_phase=Phase(epochs=2, learning_rate=1e-2),
    batch=8,
)


@pytest.fixture(autouse=True)
def shells(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Text(name="shells", train=SHELLS, validation=SHELLS[:200], test=SHELLS[:333])
    monkeypatch.setattr(text_training, "load_text", lambda *_: text)
    monkeypatch.setattr(text_training, "EPOCH", 20)


def test_text_is_learned_by_float_and_ternary_models() -> None:
    result = train_text(QUICK)
    assert result.float_bits < 4
    assert result.integer_bits < 5
    assert result.report.differing == 0
    assert result.network.metadata["bits_per_byte"] == result.integer_bits
    assert isinstance(result.host, Transformer)
    assert [entry.phase for entry in result.history] == ["float"] * 2 + ["reference"] * 2 + ["quantised"] * 2


def test_float_and_reference_serve_all_runs_that_begin_with_them(tmp_path: Path) -> None:
    train_text(QUICK, 4, floats=tmp_path)
    (file,) = tmp_path.iterdir()
    kept = file.read_bytes()
    other = dataclasses.replace(QUICK, name="b", recipe=Recipe(layers=LayerRecipe(weights="binary")), snap_from=0.5)
    alone, shared = train_text(other, 4), train_text(other, 4, floats=tmp_path)
    assert network_to_bytes(shared.network) == network_to_bytes(alone.network)
    assert shared.history == alone.history
    assert shared.float_bits == alone.float_bits
    assert file.read_bytes() == kept
    fields = {field.name for field in dataclasses.fields(TextPreset)} - {"name", "recipe", "snap_from"}
    assert set(QUICK.float_part) == {getattr(QUICK, name) for name in fields}


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_the_same_seed_gives_the_same_bytes_interrupted_or_not(epochs: int, tmp_path: Path) -> None:
    whole = train_text(QUICK, 4)
    count = 0

    def stop(_: object) -> None:
        nonlocal count
        count += 1
        if count > epochs:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_text(QUICK, 4, checkpoint=tmp_path / "run.safetensors", progress=stop)
    resumed = train_text(QUICK, 4, checkpoint=tmp_path / "run.safetensors")
    assert network_to_bytes(resumed.network) == network_to_bytes(whole.network)
    assert resumed.history == whole.history
    assert resumed.float_bits == whole.float_bits


class Uniform(nn.Module):
    """All bytes are equally likely, but for the zero that it always sees coming after a zero."""

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*text.shape, 256)
        logits[..., 0] = torch.where(text == 0, math.inf, 0.0).nan_to_num(posinf=1e4)
        return logits


def test_bits_are_a_mean_over_every_byte_of_whole_windows() -> None:
    text = np.array([1, 2, 3, 4, 0, 0, 0, 0, 0, 9, 9], np.uint8)
    # Two windows of four: five bytes that cost eight bits, three zeros after zeros that cost none.
    assert held_out_bits(Uniform(), text, 4) == pytest.approx(8 * 4 / 8, abs=0.01)


@pytest.mark.parametrize(("size", "parameters"), [("30k", 30e3), ("100k", 100e3), ("300k", 300e3), ("1m", 1e6)])
def test_presets_have_about_as_many_parameters_as_their_names_say(size: str, parameters: float) -> None:
    preset = TEXT_PRESETS[f"text-bytelm-{size}"]
    assert preset.parameters == pytest.approx(parameters, rel=0.05)
    assert sum(parameter.numel() for parameter in preset.topology.build().parameters()) == preset.parameters
    with pytest.raises(ConfigurationError, match=re.escape("batch is 0; allowed: 1 or more")):
        dataclasses.replace(preset, batch=0)


def test_a_row_of_text_is_measured_in_bits_per_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[TextResult] = []
    monkeypatch.setitem(TEXT_PRESETS, "quick", QUICK)

    def kept(*arguments: object, **options: object) -> TextResult:
        made.append(train_text(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr("sterna.train.measure_row.train_text", kept)
    printed, more = measure_row(Row(name="r", preset="quick", changes=(("recipe.layers.weights", "digits2"),)), [0])
    assert printed["accuracy"] == [made[0].integer_bits]
    assert printed["fp32_median"] == made[0].float_bits
    assert (more["metric"], more["weights"]) == ("bits per byte", QUICK.topology.weights)
    assert 3.2 < printed["bits_per_weight"] < 8  # two digits, and much for the scales of small layers


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"topology": dataclasses.replace(QUICK.topology, context=333)},
            "context is 333; allowed: 2…332, the shortest",
        ),
        ({"recipe": Recipe(named=(("dense0", LayerRecipe()),))}, "does not have; it has: qkv0, out0, up0, down0, head"),
    ],
)
def test_what_cannot_become_a_network_is_refused_before_it_is_trained(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        train_text(dataclasses.replace(QUICK, **changes), progress=lambda _: pytest.fail("trained"))
