"""Every weight quantiser on dense and convolutional graphs: trains, exports, and is golden's, tensor by tensor."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from quant.graphs import SPEC, Conv, Dense, images, trained
from sterna.golden import trace
from sterna.quant import WEIGHT_QUANTISERS, QuantisedModel, Recipe, export, export_network, prepare
from sterna.spec.errors import ModelError
from sterna.spec.model_file import load_network, save_network


def assert_golden_is_the_model(model: QuantisedModel, batch: np.ndarray) -> None:
    network, report = export_network(model, name="graph")
    assert report.differing == 0
    traced, golden = model.trace(torch.from_numpy(batch)), trace(network, batch)
    assert list(traced) == list(golden)
    for name, integers in traced.items():
        assert np.array_equal(integers.numpy(), golden[name]), name
    outputs, predicted = model(torch.from_numpy(batch)), network.predict(batch)
    if not isinstance(outputs, tuple):
        outputs, predicted = (outputs,), (predicted,)
    for output, integers, scale in zip(outputs, predicted, network.output_scale, strict=True):
        assert np.array_equal(output.numpy(), integers * scale)


@pytest.mark.parametrize("act_bits", [2, 8])
@pytest.mark.parametrize("kind", [Dense, Conv])
@pytest.mark.parametrize("weights", sorted(WEIGHT_QUANTISERS))
def test_a_graph_of_every_quantiser_is_goldens(weights, kind, act_bits):
    model = trained(kind(), weights=weights, act_bits=act_bits, density=0.6)
    assert_golden_is_the_model(model, images(1, 40))


@pytest.mark.parametrize("act_bits", [2, 8])
@pytest.mark.parametrize("kind", [Dense, Conv])
@pytest.mark.parametrize("weights", sorted(WEIGHT_QUANTISERS))
def test_snapped_training_sees_the_integers_of_hardware_and_still_learns(weights, kind, act_bits):
    model = trained(kind(), weights=weights, act_bits=act_bits, density=0.6)
    batch = torch.from_numpy(images(2, 40))
    exact = model.trace(batch)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    statistics = [norm.running_mean.clone() for norm in norms]
    model.train()
    model.snap()
    tensors = model._tensors(batch)
    for name, integers in exact.items():
        assert torch.equal(tensors[name].integers.permute(0, 2, 3, 1).int(), integers), name
    outputs = model(batch)
    loss = sum((y**2).mean() for y in (outputs if isinstance(outputs, tuple) else (outputs,)))
    loss.backward()
    for name, layer in model.named_layers():
        gradients = [term.weight.grad for term in layer.terms if term.trained]
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients), name
    assert norms
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, statistics, strict=True))
    model.snap(False)
    model(batch)
    assert not any(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, statistics, strict=True))


@pytest.mark.parametrize("kind", [Dense, Conv])
def test_each_layer_alone_is_goldens(kind):
    model = trained(kind(), weights="ttq")
    network, _ = export_network(model, name="graph")
    rng = np.random.default_rng(0)
    alone = 0
    for name, _ in model.named_layers():
        try:
            spec = network.layer(name).input
        except ModelError as error:
            with pytest.raises(ModelError, match=re.escape(str(error))):
                model.linear(name, np.zeros((1, 1)))
            continue
        x = rng.integers(int(spec.low), int(spec.high) + 1, (5, *spec.shape))
        assert np.array_equal(model.linear(name, x), network.linear(name, x)), name
        alone += 1
    assert 2 <= alone <= len(network.layers)
    with pytest.raises(ModelError, match=r"^no layer 'nothing'; known: "):
        model.linear("nothing", np.zeros((1, 1)))


@pytest.mark.parametrize("act_bits", [3, 4, 5, 6, 7])
def test_every_number_of_bits_is_goldens(act_bits):
    assert_golden_is_the_model(trained(Conv(), seed=act_bits, weights="ttq", act_bits=act_bits), images(1, 40))


def test_layers_of_several_planes_are_proved_by_arithmetic_and_bounded():
    model = trained(Conv(), weights="digits5")
    network, report = export_network(model, name="graph")
    told = {layer.name: layer for layer in report.layers}
    residual = told["conv1"]
    assert residual.planes == 6 == len(network.layers[1].planes)
    assert residual.proof == "arithmetic"
    assert residual.compared == residual.changed_by_rounding == 0
    assert 0 < residual.rounding_bound < 1
    for layer in network.layers:
        sums = np.abs(layer.bias)
        for plane in layer.planes:
            sums += plane.multiplier * 127 * np.abs(plane.trits).sum(axis=(1, 2, 3), dtype=np.int64)
        assert (sums < 1 << 33).all(), "no sum exceeds its 34 bits"


def test_the_graph_is_what_the_float_model_says():
    network, _ = export_network(trained(Conv()), name="graph")
    sources = {layer.name: [plane.source for plane in layer.planes] for layer in network.layers}
    assert sources == {
        "conv0": ["input"], "conv1": ["conv0", "conv0"], "conv2": ["conv1", "conv1"], "conv3": ["conv2"],
        "average4": ["conv1"], "concat5": ["average4", "conv3"], "average6": ["conv3"], "conv7": ["concat5"],
        "dense8": ["average6", "conv7"],
    }  # fmt: skip
    assert [network.layers[7].pool, network.layers[7].planes[0].groups] == [(2, 1), 2]
    assert network.layers[1].planes[0].padding == (1, 1, 0, 1)
    assert network.outputs == ("dense8", "conv3")
    (mean,) = network.layers[6].planes
    assert (mean.groups, mean.trits.shape) == (6, (6, 3, 4, 1))


def float_twin_error(module: nn.Module) -> float:
    """Root mean square difference from the float model, as a share of its outputs'; eight bits and five digits."""
    model = trained(module, weights="digits5", rate=0)
    module.eval()
    for term, norm in zip(
        (term for _, layer in model.named_layers() for term in layer.terms if term.norm is not None),
        (child for child in module.modules() if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d)),
        strict=True,
    ):
        norm.load_state_dict(term.norm.state_dict())
    batch = torch.from_numpy(images(2, 60))
    with torch.no_grad():
        wanted, found = module(batch.permute(0, 3, 1, 2)), model(batch)
    if isinstance(wanted, tuple):
        wanted, found = wanted[0], found[0]
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kind", [Dense, Conv])
def test_with_many_digits_and_bits_the_model_is_close_to_the_float_one(kind):
    """Catches what exactness alone cannot: a wrong graph on both sides."""
    torch.manual_seed(1)
    assert float_twin_error(kind()) < 0.1


def test_a_model_file_keeps_the_network(tmp_path):
    model = trained(Conv(), weights="power-of-three")
    network = export(model, images(0, 5))
    save_network(network, tmp_path / "graph.safetensors")
    loaded = load_network(tmp_path / "graph.safetensors")
    for a, b in zip(network.predict(images(3, 20)), loaded.predict(images(3, 20)), strict=True):
        assert np.array_equal(a, b)


def test_training_twice_from_a_seed_gives_the_same_network():
    first, second = (export_network(trained(Conv(), weights="ttq"), name="graph")[0] for _ in range(2))
    torch.manual_seed(7)
    for a, b in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(a.bias, b.bias)
        for one, other in zip(a.planes, b.planes, strict=True):
            assert np.array_equal(one.trits, other.trits)
            assert np.array_equal(one.multiplier, other.multiplier)


def test_padding_around_an_input_without_zero_is_counted_in_the_bounds():
    spec = SPEC.__class__(name="input", shape=(3, 3, 1), low=50.0, high=100.0, scale=1.0)
    model = prepare(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten()), Recipe(), spec)
    batch = torch.rand(8, 3, 3, 1) * 50 + 50
    model(batch)
    _, report = export_network(model.eval(), name="padded")
    assert report.layers[0].lowest <= 0 <= report.layers[0].highest
    assert_golden_is_the_model(model, batch.numpy())
