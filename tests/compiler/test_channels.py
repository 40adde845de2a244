"""Layers in parts: the same network to whoever asks for its outputs."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.compiler import compile_network
from sterna.compiler.channels import share_channels
from sterna.driver import Device
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.spec.configuration import Configuration
from sterna.spec.errors import FitError, ModelError
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane
from strategies import conv_networks


@given(conv_networks(), st.data())
def test_parts_hold_the_channels_of_their_layer(network, data):
    names = [layer.name for layer in network.layers]
    parts = data.draw(st.dictionaries(st.sampled_from(names), st.integers(1, 4), min_size=1))
    unit = data.draw(st.integers(1, 4))
    try:
        shared, layer_of = share_channels(network, parts, unit)
    except ModelError as error:
        assert "planes; allowed: 1…16" in str(error)
        return
    images = np.random.default_rng(0).uniform(network.input.low, network.input.high, (2, *network.input.shape))
    expected, found = trace(network, images), trace(shared, images)
    assert [layer_of[layer.name] for layer in shared.layers] == sorted(
        (layer_of[layer.name] for layer in shared.layers), key=names.index
    )
    for name in names:
        of_layer = [part for part, layer in layer_of.items() if layer == name]
        assert len(of_layer) <= parts.get(name, 1)
        assert all(len(found[part][0, 0, 0]) % unit == 0 for part in of_layer[:-1])
        assert np.array_equal(np.concatenate([found[part] for part in of_layer], axis=3), expected[name])
    assert [layer_of[name] for name in shared.outputs] == [
        name for name in network.outputs for part in layer_of.values() if part == name
    ]


CONFIGURATION = Configuration(
    name="tight", simd=4, pe=8, weight_depth=128, mask_depth=64, activation_depth=4096, parameter_depth=128,
    program_depth=1024,
)  # fmt: skip


def convolutions(*channels: int) -> IntegerNetwork:
    """3×3 over 6×6 pixels, a residual around the second, max-pooling after the last."""
    rng = np.random.default_rng(3)
    layers: list[Layer] = []
    for index, (depth, outputs) in enumerate(pairwise(channels)):
        trits = rng.integers(-1, 2, (outputs, 3, 3, depth)).astype(np.int8)
        multiplier = rng.integers(100, 400, outputs)
        source = layers[-1].name if layers else "input"
        planes = [Plane(source=source, trits=trits, multiplier=multiplier, padding=(1, 1, 1, 1))]
        if index == 1 and depth == outputs:
            identity = np.ones((outputs, 1, 1, 1), np.int8)
            planes.append(Plane(source=source, trits=identity, multiplier=multiplier * 4, groups=outputs))
        last = index == len(channels) - 2
        layers.append(Layer(
            name=f"conv{index}", planes=tuple(planes), bias=rng.integers(-9000, 9000, outputs),
            shift=np.full(outputs, 12), minimum=0, maximum=127, pool=(2, 2) if last else (1, 1),
        ))  # fmt: skip
    return IntegerNetwork(
        name="convolutions", act_bits=8,
        input=InputSpec(name="input", shape=(6, 6, channels[0]), low=-127, high=127, scale=1.0),
        layers=tuple(layers), outputs=("conv1", layers[-1].name), output_scale=(1.0, 1.0), metadata={},
    )  # fmt: skip


def test_convolutions_that_do_not_fit_alone_run_in_parts() -> None:
    network = convolutions(4, 24, 24, 40)
    device = Device(Emulator(CONFIGURATION), configuration=CONFIGURATION)
    image = device.load(network)
    assert len(image.ops) > 3
    assert {op.tensor.name for op in image.ops} == {"conv0", "conv1", "conv2"}
    assert {source for op in image.ops for source in op.sources} == {"input", "conv0", "conv1"}
    images = np.random.default_rng(0).integers(-127, 128, (3, 6, 6, 4))
    for found, expected in zip(device.infer(images), network.predict(images), strict=True):
        assert np.array_equal(found, expected)
    tensors = trace(network, images[:1])
    assert {name: tensor.shape for name, tensor in device.trace(images[0]).items()} == {
        name: tensor.shape[1:] for name, tensor in tensors.items() if name != "input"
    }
    for name, tensor in device.trace(images[0]).items():
        assert np.array_equal(tensor, tensors[name][0]), name
    assert [row.op for row in device.profile(images[0])] == ["conv0", "conv1", "conv2"]
    for layer in network.layers:
        alone = network.layer(layer.name)
        x = np.random.default_rng(1).integers(0, 128, (2, *alone.input.shape))
        assert np.array_equal(device.linear(layer.name, x), alone.predict(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"program_depth": 128}, r"network does not fit tight: weights of layer 'conv2': \d+ of 128 blocks a bank"),
        ({"weight_depth": 16}, r"network does not fit tight: weights of layer 'conv\d': \d+ of 16 blocks a bank"),
    ],
)
def test_a_layer_whose_parts_do_not_fit_either_is_named(changes: dict[str, int], message: str) -> None:
    with pytest.raises(FitError, match=message):
        compile_network(convolutions(4, 24, 24, 40), dataclasses.replace(CONFIGURATION, **changes))


def read_by_planes(planes: int) -> IntegerNetwork:
    """A convolution of 160 channels, read by a layer of so many planes."""
    rng = np.random.default_rng(0)
    wide = Plane(
        source="input", trits=rng.choice([-1, 1], (160, 3, 3, 8)).astype(np.int8), multiplier=np.ones(160, np.int64),
        padding=(1, 1, 1, 1),
    )  # fmt: skip
    sparse = [(rng.choice([-1, 1], (8, 1, 1, 160)) * (rng.random((1, 1, 1, 160)) < 0.3)).astype(np.int8)
              for _ in range(planes)]  # fmt: skip
    readers = tuple(
        Plane(source="a", trits=trits, multiplier=np.full(8, 3 ** (k % 5))) for k, trits in enumerate(sparse)
    )
    layers = [
        Layer(name=name, planes=of_layer, bias=np.zeros(channels, np.int64), shift=np.full(channels, shift), minimum=0,
              maximum=127)
        for name, of_layer, channels, shift in (("a", (wide,), 160, 3), ("b", readers, 8, 8))
    ]  # fmt: skip
    return IntegerNetwork(
        name="wide", act_bits=8, input=InputSpec(name="input", shape=(4, 4, 8), low=-9, high=9, scale=1.0),
        layers=tuple(layers), outputs=("b",), output_scale=(1.0,), metadata={},
    )  # fmt: skip


def test_as_few_parts_are_made_as_fit() -> None:
    configuration = dataclasses.replace(CONFIGURATION, mask_depth=512, activation_depth=1024, parameter_depth=512)
    image = compile_network(read_by_planes(5), configuration)  # four parts would be twenty planes
    assert [op.tensor.name for op in image.ops] == ["a", "a", "a", "b"]
    with pytest.raises(FitError, match=r"^layer 'a' fits tight only in parts, but layer 'b' has \d+ planes; allowed"):
        compile_network(read_by_planes(9), configuration)
