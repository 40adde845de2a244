"""From a graph to steps on activations: constants are folded, everything that is not supported is refused by name.

Six kinds of steps are left, each on one activation: elementwise functions, reshapes, transpositions, matrix products,
convolutions and max-pools. Gemm, biases and average pools are taken apart into them. :meth:`Plan.evaluate` computes
them as they stand: the graph's own answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from sterna.interop.graph import Array, Graph, Node
from sterna.interop.operators import (
    CONSTANT_ONLY,
    ELEMENTWISE,
    LAYOUT,
    OPERANDS,
    QONNX,
    bounded,
    convolve,
    matrix_product,
    pool_maximum,
    reshaped,
)
from sterna.spec.errors import ModelError

MAX_WINDOWS = 1 << 27
"""Most activations in all windows of a convolution of one image."""
MAX_PRODUCTS = 1 << 33
POOLS = ("AveragePool", "GlobalAveragePool", "MaxPool")
PRODUCTS = ("Conv", "Gemm", "MatMul")
SUPPORTED = tuple(sorted({*ELEMENTWISE, *CONSTANT_ONLY, *LAYOUT, *POOLS, *PRODUCTS, "Constant", "Flatten", "Shape"}))
"""Operators that can be imported."""

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """Base of the steps: from the activation ``source`` to the activation ``output``."""

    node: Node
    source: str
    output: str
    shape: Shape
    """Of the output, for a batch of one."""

    def apply(self, x: Array) -> Array:
        """The output of (n, …); every step leaves the batch as it is."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False)
class Elementwise(Step):
    """A function of the activation and constants."""

    op: str
    operands: tuple[Array | None, ...]
    """Constants; the activation's place, ``at``, and optional inputs left out hold None."""
    at: int

    def apply(self, x: Array) -> Array:
        operands = [x if k == self.at else operand for k, operand in enumerate(self.operands)]
        with np.errstate(all="ignore"):  # what is not finite is refused where it matters
            result = ELEMENTWISE[self.op](operands, dict(self.node.attributes))
        return result.astype(x.dtype, copy=False)

    @property
    def step(self) -> float | None:
        """Distance of a quantiser's levels, if it is the same for all channels."""
        if self.op not in QONNX or self.operands[1] is None or self.operands[1].size != 1:
            return None
        return float(self.operands[1].reshape(-1)[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Reshaped(Step):
    """Another shape, the batch apart."""

    def apply(self, x: Array) -> Array:
        return x.reshape(len(x), *self.shape[1:])


@dataclass(frozen=True, kw_only=True, eq=False)
class Transposed(Step):
    """Axes in another order; the batch stays first."""

    order: tuple[int, ...]

    def apply(self, x: Array) -> Array:
        return x.transpose(self.order)


@dataclass(frozen=True, kw_only=True, eq=False)
class Product(Step):
    """Matrix product or convolution with constant weights."""

    weights: Array
    """(in, out) of a matrix product; (out, in / group, kernel height, kernel width) of a convolution."""
    steps: Array | None
    """Of the weights' levels, of the same shape, where the graph says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixProduct(Product):
    def apply(self, x: Array) -> Array:
        return matrix_product(x, self.weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution(Product):
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Top, bottom, left, right."""
    group: int

    def apply(self, x: Array) -> Array:
        return convolve(x, self.weights, self.strides, self.pads, self.group)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaxPool(Step):
    kernel: tuple[int, int]

    def apply(self, x: Array) -> Array:
        return pool_maximum(x, self.kernel)


@dataclass(frozen=True, eq=False)
class Plan:
    """Steps in order."""

    graph: Graph
    steps: tuple[Step, ...]
    shapes: Mapping[str, Shape]
    """Of every activation, for a batch of one."""

    def evaluate(self, batch: Array) -> dict[str, Array]:
        """Every activation of a batch, the input included: (n, …) by name."""
        values = {self.graph.input: batch.astype(self.graph.dtype)}
        for step in self.steps:
            values[step.output] = step.apply(values[step.source])
        return values


def plan(graph: Graph) -> Plan:
    """Folds constants and takes nodes apart.

    Raises :class:`ModelError` naming the node and the op that cannot be imported.
    """
    building = _Building(graph)
    for node in graph.nodes:
        if node.op not in SUPPORTED or (not node.standard and node.op not in QONNX):
            raise ModelError(
                f"node {node.name!r}: the op {node.op} cannot be imported; supported are {', '.join(SUPPORTED)}"
            )
        try:
            building.add(node)
        except ModelError as error:
            raise ModelError(f"node {node.name!r} ({node.op}): {error}") from None
        except (ValueError, IndexError, TypeError, KeyError, ArithmeticError, MemoryError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(f"node {node.name!r} ({node.op}) does not go with its inputs: {reason}") from None
    for name in graph.outputs:
        if name not in building.shapes:
            raise ModelError(f"the graph's output {name!r} is a constant")
    return Plan(graph, tuple(building.steps), building.shapes)


@dataclass
class _Building:
    graph: Graph
    steps: list[Step] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    levels: dict[str, Array] = field(default_factory=dict)
    """Steps of the levels of quantised constants, of the same shape."""
    shapes: dict[str, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants |= self.graph.constants
        self.shapes[self.graph.input] = self.graph.shape

    def add(self, node: Node) -> None:
        if len(node.inputs) < OPERANDS.get(node.op, 0 if node.op == "Constant" else 1):
            raise ModelError(f"it has {len(node.inputs)} inputs")
        streams = [k for k, name in enumerate(node.inputs) if name in self.shapes]
        if node.op == "Shape":
            shape = self.shapes[node.inputs[0]] if streams else self.constants[node.inputs[0]].shape
            self.constants[node.output] = np.array(shape, np.int64)
        elif not streams:
            self._fold(node)
        elif len(streams) > 1:
            raise ModelError("it joins two activations; allowed: one activation and constants")
        elif node.op in CONSTANT_ONLY:
            self._squeezed(node)
        elif streams[0] != 0 and node.op not in ("Add", "Sub", "Mul", "Div"):
            raise ModelError(f"its input {streams[0]} is an activation; allowed: its first")
        else:
            self._step(node, streams[0])

    def _operands(self, node: Node) -> list[Any]:
        return [self.constants.get(name) for name in node.inputs]

    # Constants

    def _fold(self, node: Node) -> None:
        operands = self._operands(node)
        if node.op == "Constant":
            values = [node.attributes[k] for k in ("value", "value_float", "value_int", "value_floats", "value_ints")
                      if k in node.attributes]  # fmt: skip
            if len(values) != 1:
                raise ModelError("it has no value that is a number")
            found = values[0] if isinstance(values[0], np.ndarray) else _number(values[0])
        elif node.op in ELEMENTWISE:
            present = [np.asarray(operand) for operand in operands if operand is not None]
            if node.op == "BatchNormalization":
                raise ModelError("it normalises a constant")
            bounded(np.broadcast_shapes(*(operand.shape for operand in present)))
            with np.errstate(all="ignore"):
                found = np.asarray(ELEMENTWISE[node.op](operands, dict(node.attributes)))
            found = found.astype(present[0].dtype, copy=False)
            if node.op in QONNX:
                self.levels[node.output] = np.broadcast_to(operands[1], found.shape)
        elif node.op in CONSTANT_ONLY or node.op in LAYOUT:
            function = (CONSTANT_ONLY | LAYOUT)[node.op]
            found = function(operands, dict(node.attributes))
            if node.inputs[0] in self.levels and node.op in LAYOUT:
                self.levels[node.output] = function([self.levels[node.inputs[0]], *operands[1:]], dict(node.attributes))
        else:
            raise ModelError("its inputs are all constants")
        bounded(found.shape)
        self.constants[node.output] = found

    # Activations

    def _put(self, step: Step) -> None:
        bounded(step.shape)
        if step.shape[0] != 1 or min(step.shape) < 1:
            raise ModelError(f"its output has shape {step.shape}; allowed: the batch first, no axis empty")
        self.steps.append(step)
        self.shapes[step.output] = step.shape

    def _squeezed(self, node: Node) -> None:
        """Squeeze and Unsqueeze of an activation: what they do to its shape."""
        if node.op not in ("Squeeze", "Unsqueeze"):
            raise ModelError("its input is an activation; allowed: constants")
        source = node.inputs[0]
        empty = np.empty(self.shapes[source], np.int8)
        shape = CONSTANT_ONLY[node.op]([empty, *self._operands(node)[1:]], dict(node.attributes)).shape
        self._put(Reshaped(node=node, source=source, output=node.output, shape=shape))

    def _step(self, node: Node, at: int) -> None:
        source, operands = node.inputs[at], self._operands(node)
        shape = self.shapes[source]
        dtype = np.dtype(self.graph.dtype)
        operands = [o if o is None or node.op == "Reshape" else o.astype(dtype) for o in operands]
        common: dict[str, Any] = {"node": node, "source": source, "output": node.output}
        match node.op:
            case "Reshape":
                wanted = np.asarray(operands[1], np.int64).reshape(-1)
                self._put(Reshaped(**common, shape=reshaped(shape, wanted)))
            case "Flatten":
                if node.attributes.get("axis", 1) != 1:
                    raise ModelError(f"its axis is {node.attributes['axis']}; allowed: 1")
                self._put(Reshaped(**common, shape=(1, prod(shape[1:]))))
            case "Transpose":
                order = tuple(node.attributes.get("perm", range(len(shape))[::-1]))
                if sorted(order) != list(range(len(shape))) or order[0] != 0:
                    raise ModelError(f"its order is {order}; allowed: the batch first")
                self._put(Transposed(**common, order=order, shape=tuple(shape[k] for k in order)))
            case "MatMul" | "Gemm":
                self._matrix_product(node, source, operands)
            case "Conv":
                self._convolution(node, source, operands)
            case "MaxPool":
                self._max_pool(node, source)
            case "AveragePool" | "GlobalAveragePool":
                self._average_pool(node, source)
            case _:
                self._elementwise(node, node.op, source, node.output, tuple(operands), at)

    def _elementwise(
        self, node: Node, op: str, source: str, output: str, operands: tuple[Array | None, ...], at: int = 0
    ) -> None:
        shape = self.shapes[source]
        if op == "BatchNormalization":
            if any(o is None or o.size not in (1, shape[1]) for o in operands[1:5]):
                raise ModelError(f"its parameters do not go with {shape[1]} channels")
        elif np.broadcast_shapes(shape, *(o.shape for o in operands if o is not None)) != shape:
            raise ModelError(f"its constants do not go with the shape {shape} of the activation")
        step = Elementwise(node=node, source=source, output=output, shape=shape, op=op, operands=operands, at=at)
        step.apply(np.zeros((1,) * len(shape), self.graph.dtype))  # attributes and constants are checked here
        self._put(step)

    def _matrix_product(self, node: Node, source: str, operands: list[Any]) -> None:
        attributes = node.attributes
        weights, levels = operands[1], self.levels.get(node.inputs[1])
        shape = self.shapes[source]
        if attributes.get("transA", 0) or len(shape) != 2:
            raise ModelError(f"its activation has shape {shape}; allowed: (batch, features), not transposed")
        if weights is None or weights.ndim != 2:
            raise ModelError("its weights are not a constant of two axes")
        if attributes.get("transB", 0):
            weights, levels = weights.T, None if levels is None else levels.T
        if weights.shape[0] != shape[1]:
            raise ModelError(f"its weights have shape {weights.shape}; its activation {shape}")
        after: list[tuple[str, Array]] = []
        if attributes.get("alpha", 1.0) != 1.0:
            after.append(("Mul", np.array(attributes["alpha"])))
        if len(operands) > 2 and operands[2] is not None:
            after.append(("Add", operands[2] * weights.dtype.type(attributes.get("beta", 1.0))))
        name = self._inner(node, len(after))
        self._put(MatrixProduct(node=node, source=source, output=name, shape=(1, weights.shape[1]), weights=weights,
                                steps=levels))  # fmt: skip
        self._follow(node, name, after)

    def _convolution(self, node: Node, source: str, operands: list[Any]) -> None:
        weights, levels = operands[1], self.levels.get(node.inputs[1])
        if weights is None or weights.ndim != 4:
            raise ModelError("its weights are not a constant of four axes; allowed: convolutions over images")
        bias = operands[2] if len(operands) > 2 else None
        after = [] if bias is None else [("Add", bias.reshape(1, -1, 1, 1))]
        name = self._inner(node, len(after))
        group = int(node.attributes.get("group", 1))
        self._convolve(node, source, name, weights, levels, group)
        self._follow(node, name, after)

    def _convolve(self, node: Node, source: str, output: str, weights: Array, levels: Array | None, group: int) -> None:
        shape = self.shapes[source]
        kernel = (int(weights.shape[2]), int(weights.shape[3]))
        strides, pads = self._geometry(node, shape, kernel)
        outputs, depth = weights.shape[:2]
        if len(shape) != 4 or group < 1 or depth * group != shape[1] or outputs % group or min(weights.shape) < 1:
            raise ModelError(f"its weights {weights.shape} in {group} groups do not go with {shape}")
        rows, columns = _extent(shape, kernel, strides, pads)
        bounded((shape[1], shape[2] + pads[0] + pads[1], shape[3] + pads[2] + pads[3]))
        taps = rows * columns * prod(kernel)
        if taps * shape[1] > MAX_WINDOWS or taps * depth * outputs > MAX_PRODUCTS:
            raise ModelError(f"its window {kernel} over {shape} gives {taps * depth * outputs} products an image")
        self._put(Convolution(node=node, source=source, output=output, shape=(1, outputs, rows, columns),
                              weights=weights, steps=levels, strides=strides, pads=pads, group=group))  # fmt: skip

    def _average_pool(self, node: Node, source: str) -> None:
        shape = self.shapes[source]
        if len(shape) != 4:
            raise ModelError(f"its activation has shape {shape}; allowed: (batch, channels, height, width)")
        kernel = shape[2:] if node.op == "GlobalAveragePool" else _pair(node.attributes.get("kernel_shape"))
        _, pads = self._geometry(node, shape, (kernel[0], kernel[1]))
        if any(pads) and not node.attributes.get("count_include_pad", 0):
            raise ModelError("its padding does not count in the mean; allowed: none, or count_include_pad")
        self._ceil(node, shape, (kernel[0], kernel[1]))
        bounded((shape[1], *kernel))
        ones = np.ones((shape[1], 1, *kernel), self.graph.dtype)
        name = self._inner(node, 1)
        self._convolve(node, source, name, ones, np.ones_like(ones), shape[1])
        self._follow(node, name, [("Div", np.array(prod(kernel), self.graph.dtype))])

    def _max_pool(self, node: Node, source: str) -> None:
        shape = self.shapes[source]
        kernel = _pair(node.attributes.get("kernel_shape"))
        strides, pads = self._geometry(node, shape, kernel)
        if len(shape) != 4 or strides != kernel or any(pads) or kernel[0] > shape[2] or kernel[1] > shape[3]:
            raise ModelError(
                f"its windows {kernel} step by {strides} with padding {pads} over {shape}; "
                "allowed: windows that do not overlap, without padding"
            )
        self._ceil(node, shape, kernel)
        self._put(MaxPool(node=node, source=source, output=node.output, kernel=kernel,
                          shape=(1, shape[1], shape[2] // kernel[0], shape[3] // kernel[1])))  # fmt: skip

    @staticmethod
    def _ceil(node: Node, shape: Shape, kernel: tuple[int, int]) -> None:
        if node.attributes.get("ceil_mode", 0) and (shape[2] % kernel[0] or shape[3] % kernel[1]):
            raise ModelError("its last windows are not full (ceil_mode); allowed: full windows")

    @staticmethod
    def _geometry(
        node: Node, shape: Shape, kernel: tuple[int, int]
    ) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """Strides, and padding: top, bottom, left, right."""
        attributes = node.attributes
        if len(shape) != 4 or min(kernel) < 1:
            raise ModelError(f"its activation has shape {shape}; allowed: (batch, channels, height, width)")
        if any(n != 1 for n in attributes.get("dilations", ())):
            raise ModelError(f"its dilations are {attributes['dilations']}; allowed: 1")
        if _pair(attributes.get("kernel_shape", kernel)) != kernel:
            raise ModelError(f"its kernel_shape is {attributes['kernel_shape']}, its weights' {kernel}")
        strides = _pair(attributes.get("strides", (1, 1)))
        auto = attributes.get("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            before, behind = [], []
            for size, window, stride in zip(shape[2:], kernel, strides, strict=True):
                total = max((-(-size // stride) - 1) * stride + window - size, 0)
                before.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
                behind.append(total - before[-1])
            return strides, (before[0], behind[0], before[1], behind[1])
        pads = tuple(attributes.get("pads", (0, 0, 0, 0))) if auto == "NOTSET" else (0, 0, 0, 0)
        if auto not in ("NOTSET", "VALID") or len(pads) != 4 or not all(0 <= n < 1 << 12 for n in pads):
            raise ModelError(f"its padding is {auto} {pads}")
        return strides, (pads[0], pads[2], pads[1], pads[3])

    @staticmethod
    def _inner(node: Node, steps_after: int) -> str:
        return f"{node.output}\n0" if steps_after else node.output  # no name of a file holds a line feed

    def _follow(self, node: Node, source: str, after: list[tuple[str, Array]]) -> None:
        for k, (op, constant) in enumerate(after, 1):
            output = node.output if k == len(after) else f"{node.output}\n{k}"
            self._elementwise(node, op, source, output, (None, constant.astype(self.graph.dtype)))
            source = output


def _number(value: Any) -> Array:
    whole = all(isinstance(n, int) for n in (value if isinstance(value, tuple) else (value,)))
    return np.array(value, np.int64 if whole else np.float32)


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, tuple) or len(value) != 2 or not all(1 <= n < 1 << 16 for n in value):
        raise ModelError(f"{value} is not a size over images; allowed: two positive integers")
    return int(value[0]), int(value[1])


def _extent(
    shape: Shape, kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int]
) -> tuple[int, int]:
    rows = (shape[2] + pads[0] + pads[1] - kernel[0]) // strides[0] + 1
    columns = (shape[3] + pads[2] + pads[3] - kernel[1]) // strides[1] + 1
    if rows < 1 or columns < 1:
        raise ModelError(f"its window {kernel} is larger than the padded image {shape[2:]}")
    return rows, columns
