"""Reading ONNX files: bytes that nobody vouches for become a plain, bounded :class:`Graph`, or a :class:`ModelError`.

Nothing outside the file is ever opened: tensors stored elsewhere ("external data") are refused. Sizes are checked
before anything is allocated, sub-graphs, functions and sparse tensors are refused, and names are defined before use.
"""

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.interop.graph import MAX_ELEMENTS, Array, Graph, Node
from sterna.spec.errors import ModelError, ToolError

MAX_FILE_BYTES = 256 << 20
MAX_NODES = 4096
MAX_TENSOR_NAMES = 4 * MAX_NODES
MAX_AXES = 8
MAX_ATTRIBUTE = 1 << 16
"""Most entries of a list attribute."""


def read_onnx(path: str | os.PathLike[str]) -> Graph:
    """The graph in an ONNX file. Raises :class:`ModelError` for anything else, :class:`ToolError` without ``onnx``."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(f"cannot read ONNX file {str(path)!r}: {reason}") from None
    return graph_from_bytes(data)


def graph_from_bytes(data: bytes) -> Graph:
    """The graph in an ONNX file's bytes; as :func:`read_onnx`."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ToolError(f"reading ONNX needs another package ({error}); mend: pip install 'sterna[interop]'") from None
    if len(data) > MAX_FILE_BYTES:
        raise ModelError(f"ONNX file has more than {MAX_FILE_BYTES} bytes")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError) as error:  # ValueError: text that is not UTF-8
        raise ModelError(f"not an ONNX file, or cut short: {' '.join(str(error).split())}") from None
    if model.functions:
        raise ModelError("ONNX file defines functions of its own; allowed: plain graphs")
    return _Reading(model.graph).graph()


def _limited(what: str, count: int, most: int) -> None:
    if count > most:
        raise ModelError(f"ONNX file has {count} {what}; allowed: at most {most}")


def _text(value: str | bytes, what: str) -> str:
    try:
        text = value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        raise ModelError(f"ONNX file has {what} that is not UTF-8") from None
    if len(text) > 255 or not (text.isprintable() or not text):
        raise ModelError(f"ONNX file has {what} {text[:80]!r}; allowed: up to 255 printable characters")
    return text


class _Reading:
    """One pass over a GraphProto, in which every name is defined once and before its use."""

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self._defined: set[str] = set()

    def graph(self) -> Graph:
        proto = self._proto
        if not proto.node:
            raise ModelError("not an ONNX file, or cut short: it has no nodes")
        _limited("nodes", len(proto.node), MAX_NODES)
        _limited("initialisers", len(proto.initializer), MAX_TENSOR_NAMES)
        if proto.sparse_initializer:
            raise ModelError("ONNX file has sparse tensors; allowed: dense ones")
        constants = {self._define(tensor.name): tensor_array(tensor) for tensor in proto.initializer}
        inputs = [value for value in proto.input if value.name not in constants]
        if len(inputs) != 1:
            named = ", ".join(repr(_text(value.name, "a name")) for value in inputs[:8])
            raise ModelError(f"ONNX graph has {len(inputs)} inputs ({named}); allowed: one")
        name, shape, dtype = self._input(inputs[0])
        nodes = tuple(self._node(index, node) for index, node in enumerate(proto.node))
        outputs = tuple(_text(value.name, "a name") for value in proto.output)
        if not outputs or len(set(outputs)) != len(outputs):
            raise ModelError(f"ONNX graph has the outputs {outputs}; allowed: one or more different ones")
        for output in outputs:
            self._use(output, "the graph's output")
        return Graph(input=name, shape=shape, dtype=dtype, outputs=outputs, constants=constants, nodes=nodes)

    def _define(self, value: str) -> str:
        name = _text(value, "a name")
        if not name or name in self._defined:
            raise ModelError(f"ONNX graph defines {name!r} twice, or without a name")
        self._defined.add(name)
        return name

    def _use(self, value: str, where: str) -> str:
        name = _text(value, "a name")
        if name and name not in self._defined:
            raise ModelError(f"{where} reads {name!r}, which is not defined before it")
        return name

    def _input(self, value: Any) -> tuple[str, tuple[int, ...], npt.DTypeLike]:
        import onnx

        name = self._define(value.name)
        kinds = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.DOUBLE: np.float64}
        tensor = value.type.tensor_type
        if value.type.WhichOneof("value") != "tensor_type" or tensor.elem_type not in kinds:
            raise ModelError(f"ONNX input {name!r} is not a tensor of float or double")
        dims = [int(dim.dim_value) if dim.WhichOneof("value") == "dim_value" else 0 for dim in tensor.shape.dim]
        if not 2 <= len(dims) <= 4 or min(dims[1:]) < 1 or prod(dims[1:]) > MAX_ELEMENTS:
            raise ModelError(f"ONNX input {name!r} has shape {dims}; allowed: a batch and 1…3 axes of known size")
        return name, (1, *dims[1:]), kinds[tensor.elem_type]

    def _node(self, index: int, proto: Any) -> Node:
        op = _text(proto.op_type, "an op")
        name = _text(proto.name, "a node name") or f"{op}_{index}"
        where = f"node {name!r}"
        _limited(f"inputs and outputs at {where}", len(proto.input) + len(proto.output), MAX_NODES)
        inputs = tuple(self._use(value, f"{where} ({op})") for value in proto.input)
        outputs = tuple(self._define(value) for value in proto.output if value)
        attributes: dict[str, Any] = {}
        for attribute in proto.attribute:
            key = _text(attribute.name, "an attribute name")
            if key in attributes:
                raise ModelError(f"{where} ({op}) has the attribute {key!r} twice")
            attributes[key] = _attribute(attribute, f"{where} ({op})")
        if len(outputs) != 1:
            raise ModelError(f"{where} ({op}) has {len(outputs)} outputs; allowed: one")
        standard = proto.domain in ("", "ai.onnx")
        return Node(op=op, name=name, inputs=inputs, output=outputs[0], attributes=attributes, standard=standard)


def _attribute(attribute: Any, where: str) -> Any:
    import onnx

    kinds = onnx.AttributeProto
    if attribute.ref_attr_name:
        raise ModelError(f"{where} refers to an attribute of a function")
    if attribute.type == kinds.INT:
        return int(attribute.i)
    if attribute.type == kinds.FLOAT:
        return float(attribute.f)
    if attribute.type == kinds.STRING:
        return _text(attribute.s, f"a text at {where}")
    if attribute.type == kinds.TENSOR:
        return tensor_array(attribute.t)
    if attribute.type in (kinds.INTS, kinds.FLOATS):
        values = attribute.ints if attribute.type == kinds.INTS else attribute.floats
        _limited(f"entries in {attribute.name!r} at {where}", len(values), MAX_ATTRIBUTE)
        return tuple(values)
    raise ModelError(f"{where} has the attribute {attribute.name[:80]!r} of a kind that is not supported")


def tensor_array(tensor: Any) -> Array:
    """A TensorProto as an array of float32, float64 or int64. Raises :class:`ModelError`."""
    import onnx
    from onnx import numpy_helper

    kinds = onnx.TensorProto
    name = _text(tensor.name, "a name")
    where = f"ONNX tensor {name!r}"
    if tensor.data_location == kinds.EXTERNAL or tensor.external_data:
        raise ModelError(f"{where} lies outside the file; mend: save the model with its tensors inside")
    allowed = {
        kinds.FLOAT: np.float32, kinds.DOUBLE: np.float64, kinds.INT64: np.int64, kinds.INT32: np.int64,
        kinds.INT8: np.int64, kinds.UINT8: np.int64, kinds.BOOL: np.int64,
    }  # fmt: skip
    if tensor.data_type not in allowed:
        raise ModelError(f"{where} has the data type {tensor.data_type}; allowed: float, double and integers")
    dims = [int(dim) for dim in tensor.dims]
    if len(dims) > MAX_AXES or any(dim < 0 for dim in dims) or prod(dims) > MAX_ELEMENTS:
        raise ModelError(f"{where} has shape {dims[:MAX_AXES]}; allowed: up to {MAX_ELEMENTS} elements")
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{where} is damaged: {' '.join(str(error).split())}") from None
    if list(array.shape) != dims:
        raise ModelError(f"{where} is damaged: its values do not go with its shape {dims}")
    return np.ascontiguousarray(array, allowed[tensor.data_type]).reshape(dims)
