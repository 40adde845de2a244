"""What each operator computes, in NumPy and in the dtypes of the graph: the reference that an import is held against.

Elementwise operators are evaluated as the ONNX and QONNX operator texts write them, one rounding an operation. Sums of
products have no defined order in ONNX; here they are the exact sums, rounded once.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.spec.errors import ModelError

Array = npt.NDArray[Any]
Attributes = dict[str, Any]
Operands = list[Any]
"""Arrays, or None where an optional input is left out."""

MAX_ELEMENTS = 1 << 24
"""Most elements of a constant, and of a tensor of one image."""
MAX_BITS = 24
"""Widest Quant."""

ROUNDING: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.round,  # halves to even
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - x.dtype.type(0.5)),
}


def _whole(value: Any, what: str, low: int, high: int) -> int:
    number = np.asarray(value).reshape(-1)
    if number.size != 1 or not low <= number[0] <= high or number[0] != np.floor(number[0]):
        raise ModelError(f"{what} is {np.array2string(number, threshold=4)}; allowed: one integer, {low}…{high}")
    return int(number[0])


# Elementwise


def _signs(values: Array, like: Array, scale: Array) -> Array:
    """scale or -scale; zero counts as positive."""
    signs: Array = np.where(values >= 0, like.dtype.type(1), like.dtype.type(-1)) * scale
    return signs


def _quant(operands: Operands, attributes: Attributes) -> Array:
    x, scale, zero, bits = operands[:4]
    if np.any(zero != 0):
        raise ModelError("its zero point is not zero; allowed: zero")
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ModelError("its scale is not positive and finite")
    width = _whole(bits, "its bit width", 1, MAX_BITS)
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    mode = str(attributes.get("rounding_mode", "ROUND")).upper()
    if mode not in ROUNDING:
        raise ModelError(f"its rounding mode is {mode!r}; allowed: {', '.join(ROUNDING)}")
    steps = x / scale
    if signed and width == 1:
        return _signs(steps, x, scale)
    low = -(1 << (width - 1)) + narrow if signed else 0
    high = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - narrow
    rounded: Array = ROUNDING[mode](np.clip(steps, x.dtype.type(low), x.dtype.type(high))) * scale
    return rounded


def _bipolar_quant(operands: Operands, _: Attributes) -> Array:
    x, scale = operands[:2]
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ModelError("its scale is not positive and finite")
    return _signs(x, x, scale)


def _batch_normalization(operands: Operands, attributes: Attributes) -> Array:
    x = operands[0]
    if attributes.get("training_mode", 0) or not attributes.get("spatial", 1):
        raise ModelError("it is in training mode or not per channel; allowed: per channel, for inference")
    column = (-1, *[1] * (x.ndim - 2))
    scale, bias, mean, variance = (np.reshape(value, column) for value in operands[1:5])
    epsilon = x.dtype.type(attributes.get("epsilon", 1e-5))
    normalised: Array = (x - mean) / np.sqrt(variance + epsilon) * scale + bias
    return normalised


def _clip(operands: Operands, attributes: Attributes) -> Array:
    x, low, high = [*operands, None, None][:3]
    low = attributes.get("min", -np.inf) if low is None else low
    high = attributes.get("max", np.inf) if high is None else high
    clipped: Array = np.minimum(np.maximum(x, np.asarray(low, x.dtype)), np.asarray(high, x.dtype))
    return clipped


def _relu(operands: Operands, _: Attributes) -> Array:
    positive: Array = np.maximum(operands[0], operands[0].dtype.type(0))
    return positive


def _identity(operands: Operands, _: Attributes) -> Array:
    found: Array = operands[0]
    return found


def _of_two(function: Callable[[Array, Array], Array]) -> Callable[[Operands, Attributes], Array]:
    return lambda operands, _: function(operands[0], operands[1])


Operator = Callable[[Operands, Attributes], Array]

ELEMENTWISE: dict[str, Operator] = {
    "Add": _of_two(np.add),
    "Sub": _of_two(np.subtract),
    "Mul": _of_two(np.multiply),
    "Div": _of_two(np.divide),
    "Pow": _of_two(np.power),
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Dropout": _identity,
    "Identity": _identity,
    "Neg": lambda operands, _: np.negative(operands[0]),
    "Relu": _relu,
    "Sign": lambda operands, _: np.sign(operands[0]),
    "Sqrt": lambda operands, _: np.sqrt(operands[0]),
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar_quant,
}
"""Functions of one activation and constants; or of constants alone."""

QONNX = frozenset({"Quant", "IntQuant", "BipolarQuant"})
"""Operators that are not ONNX's own."""
OPERANDS = {"Quant": 4, "IntQuant": 4, "BipolarQuant": 2, "BatchNormalization": 5} | dict.fromkeys(
    ("Add", "Sub", "Mul", "Div", "Pow"), 2
)
"""Inputs that an operator cannot do without; one if not listed."""


# Of constants alone


def _shape_axes(operands: Operands, attributes: Attributes) -> list[int]:
    axes = operands[1] if len(operands) > 1 and operands[1] is not None else attributes.get("axes", ())
    return [int(axis) for axis in np.asarray(axes, np.int64).reshape(-1)]


def _unsqueeze(operands: Operands, attributes: Attributes) -> Array:
    return np.expand_dims(operands[0], tuple(_shape_axes(operands, attributes)))


def _squeeze(operands: Operands, attributes: Attributes) -> Array:
    squeezed: Array = np.squeeze(operands[0], tuple(_shape_axes(operands, attributes)) or None)
    return squeezed


def _gather(operands: Operands, attributes: Attributes) -> Array:
    values, indices = operands[0], np.asarray(operands[1], np.int64)
    axis = int(attributes.get("axis", 0))
    bounded((*np.delete(values.shape, axis), indices.size))
    return np.take(values, indices, axis)


def _concat(operands: Operands, attributes: Attributes) -> Array:
    bounded((sum(part.size for part in operands),))
    return np.concatenate(operands, axis=int(attributes.get("axis", 0)))


def _reshape(operands: Operands, _: Attributes) -> Array:
    values: Array = operands[0]
    return values.reshape(reshaped(values.shape, operands[1]))


def _transpose(operands: Operands, attributes: Attributes) -> Array:
    return np.transpose(operands[0], attributes.get("perm"))


CONSTANT_ONLY: dict[str, Operator] = {
    "Concat": _concat,
    "Gather": _gather,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
LAYOUT: dict[str, Operator] = {"Reshape": _reshape, "Transpose": _transpose}
"""Of a constant; of an activation they only rename axes."""


def bounded(shape: tuple[int, ...]) -> None:
    """Raises :class:`ModelError` for a shape of more than ``MAX_ELEMENTS``."""
    if prod(int(n) for n in shape) > MAX_ELEMENTS:
        raise ModelError(f"its result has the shape {shape}; allowed: up to {MAX_ELEMENTS} elements")


def reshaped(shape: tuple[int, ...], wanted: Any) -> tuple[int, ...]:
    """The shape that ONNX's Reshape gives: 0 keeps an axis, -1 takes what is left."""
    target = [int(n) for n in np.asarray(wanted, np.int64).reshape(-1)]
    if len(target) > 8 or min(target, default=1) < -1 or target.count(-1) > 1:
        raise ModelError(f"it reshapes to {target[:8]}")
    target = [shape[k] if n == 0 and k < len(shape) else n for k, n in enumerate(target)]
    size, known = prod(shape), prod(n for n in target if n != -1)
    if -1 in target and known and size % known == 0:
        target[target.index(-1)] = size // known
    if -1 in target or prod(target) != size:
        raise ModelError(f"it reshapes {shape} to {target}")
    return tuple(target)


# Sums of products and pools, over (n, channels, height, width)


def convolve(x: Array, weights: Array, strides: tuple[int, int], pads: tuple[int, int, int, int], group: int) -> Array:
    """Exact convolution, rounded once: x (n, in, h, w), weights (out, in / group, kh, kw), pads top, bottom, left,
    right. Returns (n, out, h', w') in x's dtype."""
    top, bottom, left, right = pads
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    outputs, depth, kernel_height, kernel_width = weights.shape
    windows = _windows(padded, (kernel_height, kernel_width), strides)
    parts = []
    for g in range(group):
        rows = weights[g * outputs // group : (g + 1) * outputs // group].astype(np.float64)
        part = windows[:, g * depth : (g + 1) * depth]
        parts.append(np.einsum("nchwij,ocij->nohw", part, rows, optimize=True))
    return np.concatenate(parts, axis=1).astype(x.dtype)


def _windows(x: Array, kernel: tuple[int, int], strides: tuple[int, int]) -> Array:
    """(n, channels, rows, columns, kernel height, kernel width)."""
    found: Array = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    return found[:, :, :: strides[0], :: strides[1]]


def pool_maximum(x: Array, kernel: tuple[int, int]) -> Array:
    """The largest of each window; windows do not overlap, and what does not fill one is left out."""
    found: Array = _windows(x, kernel, kernel).max(axis=(4, 5))
    return found


def matrix_product(x: Array, weights: Array) -> Array:
    """Exact product of (n, in) and (in, out), rounded once to x's dtype."""
    product: Array = (x.astype(np.float64) @ weights.astype(np.float64)).astype(x.dtype)
    return product
