"""Synthetic QONNX graphs: the integer network gives what the graph gives, and what cannot be imported is refused."""

import re
from typing import Any

import numpy as np
import pytest

from interop.graphs import GraphBuilder, conv, mlp
from sterna.compiler import compile_network
from sterna.interop import SUPPORTED, Feed, graph_from_bytes, import_graph, plan
from sterna.spec.configuration import configuration_named
from sterna.spec.errors import ModelError
from sterna.spec.model_file import network_from_bytes, network_to_bytes


def imported(data: bytes, **options: Any) -> Any:
    return import_graph(graph_from_bytes(data), **options)


def graph_answer(data: bytes, images: np.ndarray, feed: Feed | None = None) -> np.ndarray:
    """Output of the graph's own evaluation for channel-last images of integers; inputs are (n, C, H, W) or (n, K)."""
    graph = graph_from_bytes(data)
    real = (feed or Feed()).real(images, np.float32)
    ordered = real.transpose(0, 3, 1, 2) if len(graph.shape) == 4 else real.reshape(len(real), -1)
    return plan(graph).evaluate(ordered)[graph.outputs[0]]


def refused(text: str, data: bytes, **options: Any) -> None:
    with pytest.raises(ModelError, match=re.escape(text)):
        imported(data, **options)


FILES = {
    "ternary": mlp(),
    "ternary weights, 7-bit input": mlp(1, bits=7),
    "4-bit weights": mlp(2, weight_bits=4),
    "4-bit weights with a scale": mlp(3, weight_bits=4, scale=0.3),
    "max-pool": conv(4),
    "average pool": conv(5, pool="AveragePool"),
    "global average pool": conv(6, pool="GlobalAveragePool"),
    "scale by channel": conv(7, per_channel=True),
}


@pytest.mark.parametrize("name", FILES)
def test_the_network_equals_the_graph_and_survives_its_file(name: str) -> None:
    network, report = imported(FILES[name], images=48, seed=3)
    assert report.differing == report.undecided == 0
    assert report.images == 48
    assert report.same_class == 48 or not report.outputs[0].exact  # rounded outputs may tie
    assert all(layer.differing == 0 and layer.compared > 0 for layer in report.layers)
    images = np.random.default_rng(5).integers(0, 256, (40, *network.input.shape))
    (output,) = report.outputs
    real = graph_answer(FILES[name], images).astype(np.float64)
    integers = np.floor((real - output.offset) / output.scale + 0.5)
    assert np.array_equal(network.predict(images), integers)
    loaded = network_from_bytes(network_to_bytes(network))
    assert loaded.input == network.input
    assert np.array_equal(loaded.predict(images), network.predict(images))
    compile_network(network, configuration_named("icebreaker"))


@pytest.mark.parametrize("scale", [1.0, 0.11])
def test_binary_weights_and_bipolar_activations(scale: float) -> None:
    rng = np.random.default_rng(8)
    b = GraphBuilder(1, 1, 5, 5)
    x = b.bipolar(b.node("Sub", "x", b.constant(0.5)))
    for outputs, inputs in ((16, 25), (7, 16)):
        if inputs == 25:
            x = b.node("Reshape", x, b.constant([1, -1], np.int64))
        weights = b.bipolar(b.constant(rng.normal(0, 1, (inputs, outputs))), scale)
        x = b.bipolar(b.norm(b.node("MatMul", x, weights), rng, outputs, 4 * scale))
    network, report = imported(b.bytes(x))
    assert report.differing == 0
    assert network.act_bits == 2
    assert all(len(layer.planes) == 1 for layer in network.layers)
    assert all((layer.planes[0].trits != 0).all() for layer in network.layers)
    assert set(np.unique(network.predict(np.arange(100).reshape(4, 25)))) <= {-1, 1}


def test_a_one_bit_signed_quant_is_bipolar() -> None:
    b = GraphBuilder(1, 4)
    x = b.quant(b.node("Sub", "x", b.constant(0.5)), 1)
    network, _ = imported(b.bytes(b.node("MatMul", x, b.constant(np.eye(4)))))
    assert network.predict(np.array([[0, 127, 128, 255]])).tolist() == [[-1, -1, 1, 1]]


def test_ternary_weights_and_an_input_of_127_levels() -> None:
    rng = np.random.default_rng(9)
    b = GraphBuilder(1, 30)
    x = b.quant("x", 8, 1 / 127, narrow=1)
    x = b.node("MatMul", x, b.quant(b.constant(rng.normal(0, 1, (30, 6))), 2, 0.07))
    network, report = imported(b.bytes(b.quant(b.node("Relu", b.norm(x, rng, 6)), 4, 0.2, signed=0, narrow=0)))
    assert network.input.levels == (0, 127)
    assert report.differing == 0


@pytest.mark.parametrize("mode", ["ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_every_rounding_of_a_ternary_activation_is_exact_halves_included(mode: str) -> None:
    b = GraphBuilder(1, 6)
    x = b.quant("x", 4, 1 / 8)
    x = b.node("MatMul", x, b.constant(np.sign(np.random.default_rng(10).normal(0, 1, (6, 4)))))
    x = b.quant(b.node("Mul", x, b.constant(4)), 2, 1.0, mode=mode)  # half a step an accumulator: halves are hit
    data = b.bytes(x)
    network, report = imported(data)
    images = np.random.default_rng(1).integers(0, 256, (300, 1, 1, 6))
    assert np.array_equal(network.predict(images), graph_answer(data, images))
    assert report.layers[0].differing == report.undecided == 0
    assert network.input.levels == (0, 7)  # 255 / 255 is 8 eighths, clamped


def test_halves_rounded_to_even_over_many_levels_are_refused_with_their_number() -> None:
    b = GraphBuilder(1, 8)
    x = b.quant("x", 4, 1.0)
    x = b.node("MatMul", x, b.constant(np.ones((8, 1))))
    data = b.bytes(b.quant(b.node("Mul", x, b.constant(0.5)), 6))
    with pytest.raises(
        ModelError, match=r"\d+ of 57 accumulator values cannot be requantised as in the graph"
    ) as error:
        imported(data, feed=Feed(low=-0, high=7, divide=1))
    assert "halves rounded to even" in str(error.value)


def test_sums_near_a_threshold_whose_floats_are_rounded_are_counted() -> None:
    b = GraphBuilder(1, 9)
    x = b.quant("x", 3, 0.1)
    x = b.node("MatMul", x, b.constant(np.ones((9, 2))))
    _, report = imported(b.bytes(b.quant(x, 2, 0.2)), feed=Feed(low=-3, high=3, divide=10))
    assert report.undecided > 0


def test_a_falling_channel_turns_its_trits_round() -> None:
    b = GraphBuilder(1, 3)
    x = b.quant("x", 4, 1 / 7)
    x = b.node("MatMul", x, b.constant(np.eye(3)))
    network, _ = imported(b.bytes(b.quant(b.node("Mul", x, b.constant([1.0, -1.0, 0.0])), 4, 1 / 7)))
    assert network.predict(np.array([[255, 255, 255]])).tolist() == [[7, -7, 0]]


def test_branches_read_one_tensor_and_give_two_outputs() -> None:
    b = GraphBuilder(1, 5)
    x = b.quant("x", 4, 1 / 7)
    outputs = [b.node("MatMul", x, b.constant(np.eye(5)[:, :k])) for k in (3, 2)]
    network, _ = imported(b.bytes(*outputs))
    first, second = network.predict(np.full((1, 5), 255))
    assert first.tolist() == [[7, 7, 7]]
    assert second.tolist() == [[7, 7]]


def test_channel_last_input_is_transposed() -> None:
    rng = np.random.default_rng(11)
    b = GraphBuilder(1, 6, 5, 2)
    x = b.quant(b.node("Transpose", "x", perm=[0, 3, 1, 2]), 4, 1 / 7)
    x = b.node("Conv", x, b.constant(rng.integers(-1, 2, (4, 2, 3, 2))))
    data = b.bytes(b.quant(x, 4, 0.9))
    network, report = imported(data)
    images = rng.integers(0, 256, (20, 6, 5, 2))
    wanted = plan(graph_from_bytes(data)).evaluate(Feed().real(images, np.float32))
    real = next(reversed(wanted.values())).transpose(0, 2, 3, 1)
    assert np.array_equal(network.predict(images), np.rint(real / report.outputs[0].scale))


def test_shape_arithmetic_is_folded() -> None:
    b = GraphBuilder(1, 1, 2, 3)
    size = b.node("Gather", b.node("Shape", "x"), b.constant(0, np.int64))
    size = b.node("Unsqueeze", size, b.constant([0], np.int64))
    shape = b.node("Concat", size, b.constant([-1], np.int64), axis=0)
    x = b.quant(b.node("Reshape", "x", shape), 2)
    network, _ = imported(b.bytes(b.node("MatMul", x, b.constant(np.eye(6)))))
    assert network.input.shape == (2, 3, 1)


def test_an_output_too_wide_for_eight_bits_is_rounded_and_said_so() -> None:
    b = GraphBuilder(1, 60)
    x = b.quant("x", 4, 1 / 7)
    _, report = imported(b.bytes(b.node("MatMul", x, b.constant(np.ones((60, 3))))))
    assert not report.outputs[0].exact
    assert imported(mlp())[1].outputs[0].exact


def test_the_same_file_gives_the_same_bytes() -> None:
    one, other = (network_to_bytes(imported(conv(3))[0]) for _ in range(2))
    assert one == other


def one_node(op: str, **attributes: Any) -> bytes:
    b = GraphBuilder(1, 2, 6, 6)
    return b.bytes(b.node(op, b.quant("x", 4, 1 / 7), **attributes))


@pytest.mark.parametrize("op", ["Softmax", "TopK", "Trunc", "Resize", "If", "Loop", "Concat"])
def test_an_op_that_is_not_supported_is_refused_by_name(op: str) -> None:
    refused(f"node '{op}_1'", one_node(op))
    if op not in SUPPORTED:
        refused(f"node '{op}_1': the op {op} cannot be imported; supported are Add, AveragePool,", one_node(op))


def test_a_quantiser_of_another_domain_is_refused() -> None:
    b = GraphBuilder(1, 4)
    refused("the op Relu cannot be imported", b.bytes(b.node("Relu", "x", domain="custom")))


def _quantised(builder: GraphBuilder) -> str:
    return builder.quant("x", 4, 1 / 7)


BAD = [
    (lambda b: b.node("MatMul", _quantised(b), b.constant(np.random.default_rng(0).normal(0, 1, (8, 3)))),
     "node 'MatMul_1' (MatMul): its weights of output 0 are not integers -121…121 times one step"),
    (lambda b: b.node("MatMul", "x", b.constant(np.eye(8))),
     "the input 0…255, divided by 255, is not quantised to multiples -127…127 of one step (256 values)"),
    (lambda b: b.node("MatMul", b.quant("x", 8, 1 / 255, signed=0, narrow=0), b.constant(np.eye(8))),
     "is not quantised to multiples -127…127 of one step (256 values)"),
    (lambda b: b.quant("x", 4, 1 / 7, zero=1.0), "node 'Quant_0' (Quant): its zero point is not zero"),
    (lambda b: b.quant("x", 4, -1.0), "its scale is not positive and finite"),
    (lambda b: b.quant("x", 4, np.nan), "its scale is not positive and finite"),
    (lambda b: b.quant("x", 2.5), "its bit width is [2.5]; allowed: one integer, 1…24"),
    (lambda b: b.quant("x", 4, mode="STOCHASTIC"), "its rounding mode is 'STOCHASTIC'"),
    (lambda b: b.quant("x", 4, 1 / 7), "output 'v0': no layer computes it"),
    (lambda b: b.node("Add", _quantised(b), b.node("Relu", "x")), "(Add): it joins two activations"),
    (lambda b: b.node("Add", _quantised(b), b.constant(np.ones((8, 8)))), "its constants do not go with the shape"),
    (lambda b: b.node("MatMul", b.node("MatMul", _quantised(b), b.constant(np.eye(8) * 39 + 1)),
                      b.constant(np.eye(8))), "is not quantised to multiples"),
    (lambda b: b.quant(b.node("Sub", b.node("MatMul", _quantised(b), b.constant(np.eye(8))), b.constant(np.inf)), 4),
     None),
    (lambda b: b.node("Mul", b.node("MatMul", _quantised(b), b.constant(np.eye(8))), b.constant(np.nan)),
     "gives values that are not finite"),
    (lambda b: b.node("MatMul", _quantised(b), b.constant(np.eye(7))), "its weights have shape (7, 7)"),
    (lambda b: b.node("Reshape", _quantised(b), b.constant([2, 4], np.int64)), "the batch first"),
    (lambda b: b.node("Reshape", _quantised(b), b.constant([1, 2, 2, 2], np.int64)), "it reshapes [8] to [2, 2, 2]"),
    (lambda b: b.node("Transpose", _quantised(b), perm=[1, 0]), "its order is (1, 0); allowed: the batch first"),
    (lambda b: b.node("Conv", _quantised(b), b.constant(np.ones((1, 8, 1, 1)))), "(Conv): its activation has shape"),
    (lambda b: b.node("Quant", "x"), "(Quant): it has 1 inputs"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "text"), BAD)
def test_what_cannot_be_imported_is_refused_by_name(build: Any, text: str | None) -> None:
    b = GraphBuilder(1, 8)
    data = b.bytes(build(b))
    if text is None:
        imported(data)  # a constant, but finite
    else:
        refused(text, data)


@pytest.mark.parametrize(
    ("op", "attributes", "text"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2]}, "windows that do not overlap"),
        ("MaxPool", {"kernel_shape": [4, 4], "strides": [4, 4], "ceil_mode": 1}, "its last windows are not full"),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, "its padding does not count in the mean"),
        ("AveragePool", {"kernel_shape": [9, 9]}, "its window (9, 9) is larger than the padded image"),
        ("MaxPool", {}, "None is not a size over images"),
        ("Flatten", {"axis": 2}, "its axis is 2; allowed: 1"),
    ],
)
def test_pools_that_planes_cannot_express_are_refused(op: str, attributes: dict[str, Any], text: str) -> None:
    refused(text, one_node(op, **attributes))


def test_constants_that_vary_over_pixels_are_refused() -> None:
    rng = np.random.default_rng(0)
    b = GraphBuilder(1, 2, 4, 4)
    x = b.node("Conv", b.quant("x", 4, 1 / 7), b.constant(np.ones((2, 2, 1, 1))))
    refused(
        "its constants vary over pixels", b.bytes(b.quant(b.node("Add", x, b.constant(rng.normal(0, 1, (4, 4)))), 4))
    )
    b = GraphBuilder(1, 2, 4, 4)
    x = b.node("Conv", b.quant("x", 4, 1 / 7), b.constant(np.ones((2, 2, 1, 1))))
    x = b.node("Add", b.node("Flatten", x), b.constant(rng.normal(0, 1, 32)))
    refused("its constants vary over pixels", b.bytes(b.quant(x, 4)))


def test_a_max_pool_before_a_falling_function_is_refused() -> None:
    b = GraphBuilder(1, 1, 4, 4)
    x = b.node("Conv", b.quant("x", 4, 1 / 7), b.constant(np.ones((1, 1, 1, 1))))
    x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    refused("(MaxPool): what follows it falls in channel 0", b.bytes(b.quant(b.node("Neg", x), 4, 1 / 7)))


def test_a_max_pool_of_the_input_is_a_layer_of_its_own() -> None:
    b = GraphBuilder(1, 2, 4, 4)
    x = b.node("MaxPool", b.quant("x", 4, 1 / 7), kernel_shape=[2, 2], strides=[2, 2])
    data = b.bytes(b.node("MatMul", b.node("Flatten", x), b.constant(np.eye(8))))
    network, _ = imported(data)
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 2))
    assert [layer.pool for layer in network.layers] == [(2, 2), (1, 1)]
    assert np.array_equal(network.predict(images), np.rint(graph_answer(data, images) * 7))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"low": 5, "high": 5}, "input range 5…5; allowed: up to 65536 rising integers"),
        ({"low": 0, "high": 1 << 20}, "input range 0…1048576"),
        ({"divide": 0.0}, "input divisor 0.0; allowed: positive"),
        ({"divide": float("nan")}, "input divisor nan"),
    ],
)
def test_an_impossible_feed_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=re.escape(text)):
        Feed(**options)
