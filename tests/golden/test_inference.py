"""The golden model against loops over Python integers and against torch's convolution."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sterna
from golden.naive import naive_trace
from sterna.golden import inference, load, predict, trace
from sterna.sim.topologies import resnet8
from sterna.spec.arithmetic import requantise
from sterna.spec.errors import InputError, ModelError
from sterna.spec.model_file import save_network
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane
from strategies import conv_networks, dense_networks, networks, random_images


def dense(trits, *, rows=1, bias=0, shift=0):
    """A network of one fully connected layer over ``rows`` pixels."""
    outputs, inputs = trits.shape
    plane = Plane(
        source="image",
        trits=trits.reshape(outputs, rows, 1, inputs // rows).astype(np.int8),
        multiplier=np.ones(outputs, np.int64),
    )
    layer = Layer(
        name="dense", planes=(plane,), bias=np.full(outputs, bias, np.int64),
        shift=np.full(outputs, shift, np.int64), minimum=-127, maximum=127,
    )  # fmt: skip
    spec = InputSpec(name="image", shape=(rows, 1, inputs // rows), low=-127.0, high=127.0, scale=1.0)
    return IntegerNetwork(
        name="one", act_bits=8, input=spec, layers=(layer,), outputs=("dense",), output_scale=(1.0,), metadata={}
    )


@settings(max_examples=60)
@given(networks(), st.integers(0, 2))
def test_every_tensor_equals_the_naive_loop(network, seed):
    images = random_images(network, 2, seed)
    traced = trace(network, images)
    assert list(traced) == [network.input.name, *(layer.name for layer in network.layers)]
    for index in range(len(images)):
        expected = naive_trace(network, network.input.quantise(images)[index].tolist())
        for name, tensor in traced.items():
            assert tensor.dtype == np.int8
            assert tensor[index].tolist() == expected[name], name


@settings(max_examples=60)
@given(conv_networks(max_extent=12, max_channels=20))
def test_every_tensor_equals_torch_convolutions_in_float64(network):
    traced = trace(network, random_images(network, 3))
    for layer in network.layers:
        total = torch.from_numpy(layer.bias).double()[:, None, None]
        for plane in layer.planes:
            top, bottom, left, right = plane.padding
            source = torch.from_numpy(traced[plane.source]).double().permute(0, 3, 1, 2)
            weights = torch.from_numpy(plane.trits).double().permute(0, 3, 1, 2)
            product = torch.nn.functional.conv2d(
                torch.nn.functional.pad(source, (left, right, top, bottom)),
                weights,
                stride=plane.stride,
                groups=plane.groups,
            )
            total = total + product * torch.from_numpy(plane.multiplier).double()[:, None, None]
        integers = total.permute(0, 2, 3, 1).numpy().astype(np.int64)
        clamped = requantise(integers, layer.shift, layer.minimum, layer.maximum)
        pooled = torch.nn.functional.max_pool2d(torch.from_numpy(clamped).double().permute(0, 3, 1, 2), layer.pool)
        assert (pooled.permute(0, 2, 3, 1).numpy() == traced[layer.name]).all()


@given(networks())
def test_predict_returns_the_outputs_of_trace_as_int32(network):
    images = random_images(network, 3)
    traced, predicted = trace(network, images), predict(network, images)
    results = predicted if isinstance(predicted, tuple) else (predicted,)
    assert isinstance(predicted, tuple) == (len(network.outputs) > 1)
    for name, result in zip(network.outputs, results, strict=True):
        height, width, channels = network.shape(name)
        assert result.dtype == np.int32
        assert result.shape == ((3, channels) if height == width == 1 else (3, height, width, channels))
        assert (result.reshape(traced[name].shape) == traced[name]).all()


@given(networks())
def test_an_empty_batch_gives_empty_results_of_the_right_shape(network):
    full, empty = predict(network, random_images(network, 2)), predict(network, random_images(network, 0))
    for one, other in zip(*(r if isinstance(r, tuple) else (r,) for r in (full, empty)), strict=True):
        assert other.shape == (0, *one.shape[1:])
        assert other.dtype == np.int32


@settings(max_examples=30)
@given(conv_networks())
def test_chunks_of_images_and_rows_change_nothing(network):
    images = random_images(network, 5)
    expected = trace(network, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "CHUNK_BYTES", 1)
        assert all((tensor == expected[name]).all() for name, tensor in trace(network, images).items())


def test_memory_does_not_grow_with_the_batch_but_for_the_outputs(monkeypatch):
    monkeypatch.setattr(inference, "CHUNK_BYTES", 1 << 20)
    network = resnet8()
    peaks = []
    for count in (16, 64):
        images = np.zeros((count, *network.input.shape), np.int8)
        tracemalloc.start()
        predict(network, images)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 4 << 20
    assert peaks[1] - peaks[0] < 1 << 16


@settings(max_examples=30)
@given(dense_networks())
def test_images_may_be_flat_and_of_any_real_dtype(network):
    images = np.rint(random_images(network, 4))
    images = np.clip(images, np.ceil(network.input.low), np.floor(network.input.high))
    expected = predict(network, images)
    for dtype in (np.float32, np.float64, np.int32):
        assert (predict(network, images.astype(dtype).reshape(4, -1)) == expected).all()
    assert (network.predict(images.tolist()) == expected).all()


@pytest.mark.parametrize("inputs", [132_100, 132_104, 132_108, 140_000])
def test_sums_around_the_float32_bound_are_exact(inputs):
    # 127 · 132104 = 2^24 - 8; four more inputs are beyond float32's exact integers.
    network = dense(np.ones((1, inputs)), rows=4, bias=-(127 * inputs) + 60)
    images = np.full((1, inputs), 127)
    images[0, -1] = 126
    assert predict(network, images).tolist() == [[59]]
    [step] = inference._prepare(network)
    assert step.convolutions[0].weights.dtype == (np.float32 if 127 * inputs < 2**24 else np.float64)


def test_digits_of_balanced_ternary_are_joined_into_one_float32_convolution():
    trits = np.random.default_rng(1).integers(-1, 2, (5, 4, 1, 1, 30)).astype(np.int8)
    planes = tuple(
        Plane(source="image", trits=digit, multiplier=np.full(4, 321 * 3**k, np.int64)) for k, digit in enumerate(trits)
    )
    one = dense(trits[0].reshape(4, 30))
    layer = Layer(
        name="dense", planes=planes, bias=np.zeros(4, np.int64), shift=np.full(4, 14), minimum=-127, maximum=127
    )
    network = IntegerNetwork(
        name="digits",
        act_bits=8,
        input=one.input,
        layers=(layer,),
        outputs=("dense",),
        output_scale=(1.0,),
        metadata={},
    )
    [step] = inference._prepare(network)
    assert [c.weights.dtype for c in step.convolutions] == [np.float32]
    assert np.abs(step.convolutions[0].weights).max() <= 121
    images = random_images(network, 2)
    expected = [naive_trace(network, image.tolist())["dense"][0][0] for image in network.input.quantise(images)]
    assert predict(network, images).tolist() == expected


def test_groups_of_different_bounds_are_exact_side_by_side():
    # Output 1 alone is beyond float32's exact integers; both must come out right.
    rows, inputs = 8, 17_500
    plane = Plane(
        source="image", trits=np.ones((2, rows, 1, inputs), np.int8), multiplier=np.ones(2, np.int64), groups=2
    )
    layer = Layer(
        name="grouped", planes=(plane,), bias=np.array([0, 1 - 127 * rows * inputs]), shift=np.zeros(2, np.int64),
        minimum=-127, maximum=127,
    )  # fmt: skip
    spec = InputSpec(name="image", shape=(rows, 1, 2 * inputs), low=-127, high=127, scale=1)
    network = IntegerNetwork(
        name="two", act_bits=8, input=spec, layers=(layer,), outputs=("grouped",), output_scale=(1.0,), metadata={}
    )
    images = np.zeros((1, rows, 1, 2 * inputs))
    images[0, :2, 0, 7] = [5, -9]
    images[..., inputs:] = 127
    assert predict(network, images).tolist() == [[-4, 1]]


def test_pooling_leaves_out_rows_and_columns_that_fill_no_window():
    plane = Plane(source="image", trits=np.ones((1, 1, 1, 1), np.int8), multiplier=np.ones(1, np.int64))
    layer = Layer(
        name="pooled", planes=(plane,), bias=np.zeros(1, np.int64), shift=np.zeros(1, np.int64), minimum=-3, maximum=9,
        pool=(2, 3),
    )  # fmt: skip
    spec = InputSpec(name="image", shape=(3, 7, 1), low=-127, high=127, scale=1)
    network = IntegerNetwork(
        name="pool", act_bits=8, input=spec, layers=(layer,), outputs=("pooled",), output_scale=(1.0,), metadata={}
    )
    image = [[-9, -8, -7, 4, 20, 5, 99], [-7, -9, -5, 6, 7, 8, 99], [99] * 7]
    assert predict(network, [image]).tolist() == [[[[-3], [9]]]]


def test_a_shift_of_a_negative_sum_rounds_down():
    network = dense(np.array([[1]]), shift=3)
    assert predict(network, [[-1], [-8], [-9], [7]]).tolist() == [[-1], [-1], [-2], [0]]


def test_sums_that_float64_cannot_hold_are_refused(monkeypatch):
    network = dense(np.array([[1, 1]]), bias=-7)
    monkeypatch.setattr(inference, "FLOAT64_EXACT", 2 * 127 + 7)
    with pytest.raises(ModelError, match=r"^layer 'dense' has sums up to 261, beyond 2\^53$"):
        predict(network, np.zeros((0, 2)))
    monkeypatch.setattr(inference, "FLOAT64_EXACT", 2 * 127 + 8)
    assert predict(network, np.zeros((0, 2))).shape == (0, 1)


def test_images_that_are_no_array_are_refused():
    with pytest.raises(InputError, match=r"^images are not an array: "):
        predict(dense(np.array([[1, 1]])), [[1, 2], [3]])


def test_load_gives_the_network_of_a_file(tmp_path):
    network = dense(np.array([[1, -1]]))
    save_network(network, tmp_path / "one.safetensors")
    for loaded in (load(tmp_path / "one.safetensors"), sterna.load(str(tmp_path / "one.safetensors"))):
        assert predict(loaded, [[5, 3]]).tolist() == [[2]]
