"""Topologies and presets: a few steps of training, exported, and equal to golden, tensor by tensor."""

import dataclasses
import re
from math import prod

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sterna import data
from sterna.golden import trace
from sterna.quant import LayerRecipe, QuantisedModel, Recipe, export_network, prepare
from sterna.spec.errors import ConfigurationError, DataError
from sterna.spec.network import InputSpec, IntegerNetwork
from sterna.train import PRESETS, Autoencoder, Cnn, DsCnn, Mlp, ResNet8, train

TOPOLOGIES = [
    # topology, shape of the input, outputs
    (Mlp(hidden=(20, 12)), (6, 5, 2), 4),
    (Mlp(hidden=(20,), activation="hardtanh"), (1, 1, 30), 4),
    (Cnn(stages=((4, 4), (6,)), hidden=(8,)), (9, 8, 1), 4),
    (ResNet8(widths=(4, 6, 8)), (8, 8, 3), 5),
    (DsCnn(channels=8, blocks=2, stem_kernel=(4, 4), stem_stride=(2, 2)), (13, 10, 1), 6),
    (Autoencoder(hidden=(12, 12), code=3), (1, 1, 16), 16),
]


def quantised(topology, shape, outputs, **recipe) -> tuple[QuantisedModel, np.ndarray]:
    """After some steps on random images, in evaluation mode, and other images."""
    torch.manual_seed(0)
    spec = InputSpec(name="input", shape=shape, low=-1.0, high=1.0, scale=1 / 127)
    layers = LayerRecipe(**recipe)
    model = prepare(topology.build(shape, outputs), Recipe(layers=layers, last=LayerRecipe(), pe=4, simd=2), spec)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for step in range(3):
        model.prune((step + 1) / 3)
        images = torch.rand(16, *shape) * 2 - 1
        logits = model(images)
        if isinstance(topology, Autoencoder):
            loss = functional.mse_loss(logits, images.flatten(1))
        else:
            loss = functional.cross_entropy(logits, torch.randint(outputs, (16,)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval(), (torch.rand(40, *shape) * 2 - 1).numpy()


def assert_equal(model: QuantisedModel, network: IntegerNetwork, images: np.ndarray) -> None:
    golden = trace(network, images)
    for name, integers in model.trace(torch.from_numpy(images)).items():
        assert np.array_equal(integers.numpy(), golden[name]), name


@pytest.mark.parametrize(("topology", "shape", "outputs"), TOPOLOGIES)
@pytest.mark.parametrize("recipe", [{}, {"weights": "ttq", "act_bits": 2, "density": 0.5}])
def test_every_topology_trains_exports_and_is_goldens(topology, shape, outputs, recipe):
    model, images = quantised(topology, shape, outputs, **recipe)
    network, report = export_network(model, name="topology")
    assert report.differing == 0
    assert_equal(model, network, images)
    assert network.predict(images).shape == (40, outputs)


def test_resnet8_is_that_of_mlperf_tiny():
    spec = InputSpec(name="input", shape=(32, 32, 3), low=-1.0, high=1.0, scale=1 / 127)
    layers = dict(prepare(ResNet8().build(spec.shape, 10), Recipe(), spec).named_layers())
    assert list(layers) == [
        "conv0", "conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "average7", "dense8",
    ]  # fmt: skip
    windows = [window for layer in layers.values() for term in layer.terms if term.trained for window in term.windows]
    assert sum(prod(window.extent) * window.out * window.positions for window in windows) == 12_501_632


def weights(preset_name: str, shape: tuple[int, int, int]) -> int:
    model = PRESETS[preset_name].topology.build(shape, 10)
    return sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) for p in [m.weight])


def test_presets_have_the_sizes_that_they_are_named_for():
    assert weights("mnist-tfc", (28, 28, 1)) == 59_008, "Brevitas' TFC"
    assert weights("mnist-cnn", (28, 28, 1)) == 28_368 <= 30_000
    assert weights("speech-dscnn", (49, 16, 1)) == 6_848


TASKS = {
    "mnist-tfc": "mnist", "mnist-sfc": "mnist", "mnist-cnn": "mnist", "fashion-cnn": "fashion_mnist",
    "cifar-resnet8": "cifar10_5k", "speech-dscnn": "fsdd", "skab-autoencoder": "skab",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_preset_trains_a_few_steps_on_its_images_and_is_goldens(name, monkeypatch):
    """On 200 images to train and 50 to test with, one epoch a phase."""
    try:
        full = data.load(TASKS[name])
    except DataError as error:
        pytest.skip(str(error))
    few = dataclasses.replace(
        full, train_images=full.train_images[:200], train_labels=full.train_labels[:200],
        test_images=full.test_images[:: len(full.test_labels) // 50][:50],
        test_labels=full.test_labels[:: len(full.test_labels) // 50][:50],
    )  # fmt: skip
    monkeypatch.setattr("sterna.train.training.load", lambda *_: few)
    chosen = PRESETS[name]
    quick = dataclasses.replace(
        chosen,
        batch=50,
        float_phase=dataclasses.replace(chosen.float_phase, epochs=1),
        quantised_phase=dataclasses.replace(chosen.quantised_phase, epochs=1),
    )
    result = train(quick)
    assert result.report.differing == 0
    assert_equal(result.model, result.network, few.test_images[:20])
    assert result.integer_accuracy == result.quantised_accuracy


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Mlp(hidden=(4, 0)), "hidden is (4, 0); allowed: widths of 1 or more"),
        (lambda: Mlp(hidden=(4,), activation="gelu"), "activation is 'gelu'; allowed: relu, hardtanh"),
        (lambda: Cnn(stages=()), "stages is (); allowed: one or more, of widths of 1 or more"),
        (lambda: Cnn(stages=((4, 0),)), "stages is ((4, 0),); allowed: one or more"),
        (lambda: Cnn(stages=((4,),), hidden=(0,)), "hidden is (0,); allowed: widths of 1 or more"),
    ],
)
def test_a_topology_names_its_bad_value(make, text):
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        make()
