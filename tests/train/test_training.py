"""Training runs: reproducible, exact to the golden model, silent, and stopped by a loss that is no number."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from sterna.data import load
from sterna.quant import LayerRecipe, Recipe
from sterna.spec.errors import DataError, SternaError
from sterna.train import PRESETS, Cnn, DivergedError, Mlp, Phase, Preset, TrainResult, train

DIGITS = PRESETS["digits-mlp"]

QUICK = dataclasses.replace(
    DIGITS,
    topology=Mlp(hidden=(32, 24)),
    float_phase=Phase(epochs=3, learning_rate=1e-2),
    quantised_phase=Phase(epochs=4, learning_rate=1e-2),
)


@pytest.fixture(scope="module")
def digits() -> TrainResult:
    return train("digits-mlp", seed=0)


def test_digits_reach_97_percent_with_ternary_weights_in_every_layer(digits):
    assert digits.integer_accuracy >= 0.97
    assert digits.network.metadata["accuracy"] == digits.integer_accuracy
    assert min(len(layer.bias) for layer in digits.network.layers[:-1]) >= 240


def test_every_logit_of_the_model_is_the_golden_models(digits):
    dataset = load("digits")
    for images in (dataset.test_images, dataset.train_images):
        flat = images.reshape(len(images), -1)
        assert np.array_equal(digits.network.predict(flat), digits.model.integers(torch.from_numpy(images)))
    assert digits.quantised_accuracy == digits.integer_accuracy


def test_conversion_is_proved_on_every_reachable_accumulator(digits):
    assert digits.report.differing == 0
    assert digits.report.compared > 1_000_000
    assert digits.report.acc_bits <= 18


def test_hidden_layers_reach_their_block_density(digits):
    for index, layer in enumerate(digits.report.layers[:-1]):
        assert layer.block_density == DIGITS.recipe.of_layer(index, 3).density


def test_zero_activations_are_measured_on_the_held_out_images(digits):
    images = torch.from_numpy(load("digits").test_images)
    for name, integers in digits.model.trace(images).items():
        assert digits.zero_activations[name] == pytest.approx(float((integers == 0).double().mean()))


def bytes_of(result: TrainResult) -> bytes:
    arrays = [
        array for layer in result.network.layers
        for array in (*(a for plane in layer.planes for a in (plane.trits, plane.multiplier)), layer.bias, layer.shift)
    ]  # fmt: skip
    return b"".join(array.tobytes() for array in arrays) + repr(result.network.output_scale).encode()


def test_the_same_seed_gives_the_same_network_whatever_ran_before():
    first = train(QUICK, seed=3)
    torch.manual_seed(99)
    torch.rand(7)
    second = train(QUICK, seed=3)
    assert bytes_of(first) == bytes_of(second)
    assert first.history == second.history
    assert bytes_of(first) != bytes_of(train(QUICK, seed=4))


def test_a_convolutional_network_is_the_same_from_the_same_seed_too():
    once = Phase(epochs=1, learning_rate=1e-2)
    preset = dataclasses.replace(
        QUICK, topology=Cnn(stages=((4,), (8,))), float_phase=once, quantised_phase=once,
        recipe=Recipe(layers=LayerRecipe(weights="power-of-three", density=0.5)),
    )  # fmt: skip
    first, second = train(preset, seed=1), train(preset, seed=1)
    assert bytes_of(first) == bytes_of(second)
    assert bytes_of(first) != bytes_of(train(preset, seed=2))


def test_training_leaves_torch_as_it_was():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    train(QUICK)
    assert torch.equal(torch.rand(1), wanted)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_progress_is_told_epoch_by_epoch_and_nothing_is_printed(capsys):
    told = []
    result = train(QUICK, progress=told.append)
    assert tuple(told) == result.history
    assert [(p.phase, p.epoch, p.epochs) for p in told] == (
        [("float", e, 3) for e in (1, 2, 3)] + [("quantised", e, 4) for e in (1, 2, 3, 4)]
    )
    assert capsys.readouterr() == ("", "")


def test_distillation_pulls_the_logits_to_the_float_models():
    unpruned = dataclasses.replace(QUICK, recipe=Recipe(), temperature=1.0)
    result = train(dataclasses.replace(unpruned, distillation=1.0))
    quantised = [entry.loss for entry in result.history if entry.phase == "quantised"]
    assert quantised[-1] < 0.7 * quantised[0]
    plain = train(unpruned)
    assert plain.float_accuracy == result.float_accuracy
    assert bytes_of(plain) != bytes_of(result)


@pytest.mark.parametrize("phase", ["float", "quantised"])
def test_a_loss_that_is_no_number_stops_with_the_step_named(phase, monkeypatch):
    cross_entropy = functional.cross_entropy
    calls = 0
    # 1343 images make 20 batches of 64; the float phase has 3 epochs
    fatal = 25 + (60 if phase == "quantised" else 0)

    def failing(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return cross_entropy(logits, labels) * (math.nan if calls == fatal else 1)

    monkeypatch.setattr(functional, "cross_entropy", failing)
    text = rf"loss is nan at step 25 of the {phase} phase \(epoch 2\); lower its learning rate"
    with pytest.raises(DivergedError, match=text) as caught:
        train(QUICK)
    assert isinstance(caught.value, SternaError)


def test_a_missing_data_set_is_refused_before_anything_runs(tmp_path):
    preset: Preset = dataclasses.replace(QUICK, dataset="mnist")
    with pytest.raises(DataError, match="no mnist in"):
        train(preset, data_dir=tmp_path, progress=lambda _: pytest.fail("it trained"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"batch": 2000}, "batch is 2000; allowed: 2…1343, the training images of digits"),
        (
            {"recipe": Recipe(named=(("dense9", LayerRecipe()),))},
            "names a layer 'dense9', which the model does not have",
        ),
        ({"topology": Cnn(stages=((4,), (4,), (4,), (4,)))}, "stages are 4; allowed: 3 at most, of (8, 8, 1) pixels"),
    ],
)
def test_what_cannot_become_a_network_is_refused_before_it_is_trained(changes, text):
    with pytest.raises(SternaError, match=re.escape(text)):
        train(dataclasses.replace(QUICK, **changes), progress=lambda _: pytest.fail("trained"))
