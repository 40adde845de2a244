"""The integer network computes what the fake-quantised model computes: exactly, tensor by tensor."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from torch import nn

import sterna
from quant.graphs import Dense, trained
from quant.models import random_images, random_model
from sterna.golden import trace
from sterna.quant import WEIGHT_QUANTISERS, Recipe, export, export_network, prepare
from sterna.spec.errors import InputError, ModelError
from sterna.spec.network import InputSpec


@pytest.mark.parametrize("act_bits", [2, 3, 8])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_every_tensor_of_the_model_is_the_golden_models(seed, relu, act_bits):
    model = random_model(seed, act_bits=act_bits, relu=relu)
    network, report = export_network(model, name="random")
    assert report.differing == 0
    images = random_images(seed, 200, 12)
    traced = model.trace(torch.from_numpy(images))
    golden = trace(network, images)
    assert set(golden) == set(traced)
    for name, integers in traced.items():
        assert np.array_equal(integers.numpy(), np.asarray(golden[name]).reshape(integers.shape)), name
    logits = network.predict(images)
    assert np.array_equal(logits, model.integers(torch.from_numpy(images)))
    (scale,) = network.output_scale
    assert np.array_equal(logits * scale, model(torch.from_numpy(images)))


def test_the_folded_model_is_close_to_the_same_layers_in_float():
    """Catches what exactness alone cannot: a wrong fold on both sides."""
    model = random_model(0, density=1.0)
    images = torch.from_numpy(random_images(0, 100, 12))
    x = torch.floor(images.double() / model.input.scale + 0.5) * model.input.scale
    for _, layer in model.named_layers():
        (term,) = layer.terms
        (plane,) = term.weights.planes(term.weight, term.mask)
        z = x @ (plane.trits * plane.scale[:, None]).double().T + term.bias.double()
        if term.norm is not None:
            z = term.norm.double()(z)
            term.norm.float()
        step = layer.activation.step.double()
        x = torch.clip(torch.floor(z / step + 0.5), layer.activation.low, layer.activation.high) * step
    differing = (model(images) - x.detach()).abs() / model.output_steps[0]
    assert differing.max() <= 1.5
    assert (differing > 0.5).double().mean() < 0.02


def test_training_and_evaluation_mode_agree_but_for_float32_once_statistics_have_settled():
    model = random_model(1)
    images = torch.from_numpy(random_images(1, 100, 12))
    exact = model(images)
    model.train()
    for _, layer in model.named_layers():
        if layer.terms[0].norm is not None:
            layer.terms[0].norm.eval()
    off = (model(images).detach() - exact).abs() / model.output_steps[0]
    assert (off > 1.5).double().mean() < 0.02


def test_bounds_and_counts_of_the_report_are_those_of_the_network():
    model = random_model(2)
    network, report = export_network(model, name="random", metadata={"seed": 2})
    assert network.metadata == {"seed": 2}
    assert network.input.shape == (2, 6, 1)
    golden = trace(network, random_images(0, 300, 12))
    source, low, high = "input", -24, 127
    for layer, told in zip(network.layers, report.layers, strict=True):
        trits = layer.planes[0].trits.reshape(len(layer.bias), -1).astype(np.int64)
        plus, minus = (trits > 0).sum(1), (trits < 0).sum(1)
        lowest, highest = plus * low - minus * high, plus * high - minus * low
        assert (told.lowest, told.highest) == (lowest.min(), highest.max())
        assert told.compared == (highest - lowest + 1).sum()
        assert told.channels == len(trits)
        assert told.density == np.count_nonzero(trits) / trits.size
        accumulators = np.asarray(golden[source]).reshape(300, -1) @ trits.T
        assert (accumulators >= lowest).all()
        assert (accumulators <= highest).all()
        source, low, high = layer.name, layer.minimum, layer.maximum
    assert report.compared == sum(layer.compared for layer in report.layers)
    largest = 1 << (report.acc_bits - 1)
    assert all(-largest <= layer.lowest and layer.highest < largest for layer in report.layers)
    assert any(layer.lowest < -largest // 2 or layer.highest >= largest // 2 for layer in report.layers)
    assert json.loads(json.dumps(report.as_dict()))["compared"] == report.compared


def test_pruned_blocks_reach_the_network_as_zero_blocks():
    network, report = export_network(random_model(0, density=0.5), name="random")
    for layer, told in zip(network.layers[:-1], report.layers, strict=False):
        trits = layer.planes[0].trits.reshape(len(layer.bias), -1)
        blocks = [trits[t : t + 4, k].any() for t in range(0, len(trits), 4) for k in range(trits.shape[1])]
        assert np.mean(blocks) == told.block_density <= 0.5


def test_rounding_is_reported_and_hardly_changes_anything():
    _, report = export_network(random_model(0), name="random")
    for layer in report.layers:
        assert layer.planes == 1
        assert layer.proof == "arithmetic, thresholds"
        assert 0 <= layer.slope_change < 1e-3
        assert layer.changed_by_rounding < 1e-3 * layer.compared
        assert (layer.changed_by_rounding == 0) or (layer.rounding_bound > 0)


def test_exporting_twice_gives_the_same_network():
    first, second = (export_network(random_model(3), name="random")[0] for _ in range(2))
    for a, b in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(a.planes[0].trits, b.planes[0].trits)
        assert np.array_equal(a.planes[0].multiplier, b.planes[0].multiplier)
        assert np.array_equal(a.bias, b.bias)
        assert np.array_equal(a.shift, b.shift)


def test_export_checks_itself_on_the_sample_and_leaves_the_mode_alone(monkeypatch):
    model = random_model(0).train()
    sample = random_images(0, 20, 12)
    network = export(model, sample, name="checked")
    assert model.training
    assert network.name == "checked"
    logits = np.asarray(network.predict(sample))
    monkeypatch.setattr("sterna.spec.network.IntegerNetwork.predict", lambda *_: logits ^ 1)
    with pytest.raises(ModelError, match="60 of 60 outputs of the integer network differ from the model's"):
        export(model, sample)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "sample",
    [
        np.zeros((0, 12), np.float32), np.zeros((0, 2, 6, 1)), np.zeros((3, 0)), np.float32(1), np.zeros(12), [],
        [[1.0], [1.0, 2.0]], np.zeros((2, 11)), np.full((2, 12), np.nan), np.full((2, 12), 17.0), [["a"] * 12],
        np.zeros((2, 12), np.complex64), np.full((2, 12), None),
    ],
)  # fmt: skip
def test_a_sample_that_is_no_batch_of_images_is_refused_and_the_mode_stays(sample, training):
    model = random_model(0).train(training)
    with pytest.raises(InputError):
        export(model, sample)
    assert model.training == training


def test_the_mode_stays_when_the_check_breaks_off(monkeypatch):
    def broken(*_):
        raise MemoryError

    model = random_model(0).train()
    monkeypatch.setattr("sterna.quant.QuantisedModel.integers", broken)
    with pytest.raises(MemoryError):
        export(model, random_images(0, 2, 12))
    assert model.training


def test_export_is_at_the_top_of_the_package():
    assert sterna.export is export


def test_two_bit_activations_with_eight_bit_input_and_output_need_eight_bits():
    assert export_network(random_model(0, act_bits=2), name="random")[0].act_bits == 8


def test_what_is_not_finite_is_refused_by_layer_and_channel():
    model = random_model(0)
    *_, (_, layer) = model.named_layers()
    layer.terms[0].bias.data[1] = torch.nan
    text = "layer 'dense3' channel 1: slope"
    with pytest.raises(ModelError, match=re.escape(text)):
        export_network(model, name="random")


def test_a_model_that_has_seen_no_training_batch_is_refused():
    model = prepare(
        nn.Sequential(nn.Linear(4, 2)), Recipe(), InputSpec(name="x", shape=(1, 1, 4), low=0, high=1, scale=1)
    )
    with pytest.raises(ModelError, match="an activation step is not set; run a batch in training mode first"):
        export_network(model.eval(), name="random")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("weights", sorted(WEIGHT_QUANTISERS))
def test_weights_that_are_not_finite_are_refused_whatever_quantises_them(weights, value):
    model = trained(Dense(), weights=weights)
    (_, layer), *_ = model.named_layers()
    layer.terms[0].weight.data[1, 1] = value
    with pytest.raises(ModelError, match="layer 'dense0' has a weight that is not finite"):
        export_network(model, name="random")


@pytest.mark.parametrize(("images", "text"), [(torch.full((1, 12), 17.0), "17"), (torch.zeros(1, 11), "(1, 11)")])
def test_the_model_refuses_the_images_that_the_network_refuses(images, text):
    model = random_model(0)
    with pytest.raises(InputError, match=re.escape(text)):
        model(images)


def test_reports_are_plain_values():
    _, report = export_network(random_model(0), name="random")
    assert dataclasses.is_dataclass(report.layers[0])
