"""Files that nobody vouches for: typed errors, bounded sizes, and nothing opened beside the file."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from interop.graphs import GraphBuilder, load, mlp
from sterna.interop import graph_from_bytes, import_graph, import_onnx, read_onnx
from sterna.spec.errors import ModelError

DATA = mlp()


def changed(change: Callable[[Any], object]) -> bytes:
    model = load(DATA)
    change(model)
    return bytes(model.SerializeToString())


def _external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _attribute(value: Any) -> Callable[[Any], None]:
    return lambda model: model.graph.node[0].attribute.append(helper.make_attribute("extra", value))


def _dims(*dims: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)

    return change


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "external data": (_external, "ONNX tensor 'c0' lies outside the file; mend: save the model with its"),
    "huge tensor": (_dims(1 << 40, 1 << 20), "allowed: up to 16777216 elements"),
    "negative dims": (_dims(-1), "ONNX tensor 'c0' has shape [-1]"),
    "short tensor": (_dims(5), "ONNX tensor 'c0' is damaged"),
    "odd dtype": (lambda m: setattr(m.graph.initializer[0], "data_type", 99), "has the data type 99"),
    "text tensor": (lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING), "has the data type 8"),
    "no nodes": (lambda m: m.graph.ClearField("node"), "not an ONNX file, or cut short: it has no nodes"),
    "no outputs": (lambda m: m.graph.ClearField("output"), "allowed: one or more different ones"),
    "no input": (lambda m: m.graph.ClearField("input"), "ONNX graph has 0 inputs (); allowed: one"),
    "two inputs": (lambda m: m.graph.input.append(helper.make_tensor_value_info("y", 1, [1])), "2 inputs ('x', 'y')"),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), "ONNX file has sparse tensors"),
    "functions": (lambda m: m.functions.add(name="f"), "ONNX file defines functions of its own"),
    "unknown value": (lambda m: m.graph.node[0].input.append("nowhere"), "reads 'nowhere', which is not defined"),
    "a loop": (lambda m: m.graph.node[0].input.append(m.graph.node[-1].output[0]), "which is not defined before it"),
    "two definitions": (lambda m: m.graph.node[1].output.__setitem__(0, "v0"), "defines 'v0' twice"),
    "two outputs": (lambda m: m.graph.node[1].output.append("more"), "has 2 outputs; allowed: one"),
    "a sub-graph": (_attribute(helper.make_graph([], "g", [], [])), "'extra' of a kind that is not supported"),
    "a long list": (_attribute([1] * ((1 << 16) + 1)), "65537 entries in 'extra'"),
    "unprintable": (lambda m: setattr(m.graph.node[0], "name", "a\nb"), "a node name 'a\\nb'"),
    "long name": (lambda m: setattr(m.graph.node[0], "name", "a" * 256), "allowed: up to 255 printable characters"),
    "integer input": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 7), "is not a tensor of float"),
    "unknown size": (lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].Clear(), "1…3 axes of known size"),
    "unknown output": (lambda m: setattr(m.graph.output[0], "name", "nowhere"), "the graph's output reads 'nowhere'"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_hostile_file_is_refused_with_the_reason(name: str) -> None:
    change, text = CHANGES[name]
    with pytest.raises(ModelError, match=re.escape(text)):
        graph_from_bytes(changed(change))


@settings(max_examples=150)
@given(st.integers(0, len(DATA) - 1), st.binary(min_size=0, max_size=8))
def test_damage_gives_a_network_or_a_typed_error(at: int, patch: bytes) -> None:
    for damaged in (DATA[:at] + patch, DATA[:at] + patch + DATA[at + len(patch) :]):
        try:
            import_graph(graph_from_bytes(damaged), images=2)
        except ModelError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"not an ONNX file", b"\x08\x07" * 10])
def test_what_is_no_onnx_file_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="not an ONNX file, or cut short"):
        graph_from_bytes(data)


def test_a_file_too_long_is_not_parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sterna.interop.onnx_file.MAX_FILE_BYTES", 100)
    (tmp_path / "a.onnx").write_bytes(DATA)
    with pytest.raises(ModelError, match="ONNX file has more than 100 bytes"):
        read_onnx(tmp_path / "a.onnx")


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read ONNX file '.*': No such file or directory"):
        import_onnx(tmp_path / "absent.onnx")


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.interop.onnx_file.MAX_NODES", 3)
    with pytest.raises(ModelError, match=r"ONNX file has \d+ nodes; allowed: at most 3"):
        graph_from_bytes(DATA)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [("Add", [(1 << 14, 1), (1, 1 << 14)]), ("Gather", [(1 << 12,), (1 << 12, 1 << 12)])],
)
def test_constants_do_not_grow_beyond_their_bound(op: str, shapes: list[tuple[int, ...]]) -> None:
    b = GraphBuilder(1, 4)
    kinds = [np.float32, np.int64 if op == "Gather" else np.float32]
    parts = [b.constant(np.zeros(shape), kind) for shape, kind in zip(shapes, kinds, strict=True)]
    grown = parts[0]
    for _ in range(2):
        grown = b.node(op, grown, parts[1])
    data = b.bytes(b.node("MatMul", b.quant("x", 4, 1 / 7), grown))
    with pytest.raises(ModelError, match=r"its result has the shape .*; allowed: up to 16777216 elements|\(MatMul\)"):
        import_graph(graph_from_bytes(data))


def test_typed_values_and_constant_nodes_are_read() -> None:
    b = GraphBuilder(1, 3)
    weights = b.node("Constant", value=numpy_helper.from_array(np.eye(3, dtype=np.float32)))
    scale = b.node("Constant", value_float=2.0)
    data = b.bytes(b.node("Mul", b.node("MatMul", b.quant("x", 4, 1 / 7), weights), scale))
    network, report = import_graph(graph_from_bytes(data))
    assert report.outputs[0].scale == pytest.approx(2 / 7)
    assert network.predict(np.array([[0, 128, 255]])).tolist() == [[0, 4, 7]]
