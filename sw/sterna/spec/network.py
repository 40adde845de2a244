"""The integer network: what training exports, golden computes, and the compiler lays out.

A network is a list of layers over named tensors; a layer is a sum of ternary planes (DESIGN: "one idea"). A matrix
product is a 1×1 convolution over a 1×1 image. Shapes are channel-last: (height, width, channels).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.spec.arithmetic import MAX_MULTIPLIER, MAX_SHIFT, SUM_BITS, fits_signed, max_activation
from sterna.spec.errors import InputError, ModelError

Shape = tuple[int, int, int]

MAX_EXTENT = 1 << 16
"""Largest height, width or channel count."""
MAX_ACTIVATIONS = 1 << 24
"""Most activations of one tensor, its padding counted."""
UNCLAMPED = 1 << 15
"""Bound of quantised inputs that clamps nothing that an activation can hold."""
MAX_NAME = 255
MAX_LAYERS = 1024
MAX_PLANES = 16


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise ModelError(message)


def _require_name(what: str, name: str) -> None:
    _require(
        0 < len(name) <= MAX_NAME and name.isprintable(),
        f"{what} name {name[:MAX_NAME]!r}: allowed are 1…{MAX_NAME} printable characters",
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """One ternary plane: ``multiplier[c] · (trits ⋆ source)[c]``."""

    source: str
    """Name of the tensor it reads."""
    trits: npt.NDArray[np.int8]
    """int8 (out, kernel height, kernel width, in / groups), values -1, 0, 1."""
    multiplier: npt.NDArray[np.int64]
    """int64 (out,), 0 … 2**16-1."""
    stride: tuple[int, int] = (1, 1)
    """Rows, columns."""
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Zeros around the source: top, bottom, left, right."""
    groups: int = 1
    """Channels come in so many groups, and output ``o`` reads the inputs of group ``o // (out / groups)`` only (as in
    torch). As many as inputs: a depthwise convolution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """``y = clamp((Σ planes + bias) >> shift, minimum, maximum)``, max-pooled, written to the tensor ``name``."""

    name: str
    planes: tuple[Plane, ...]
    bias: npt.NDArray[np.int64]
    """int64 (out,), ``SUM_BITS`` signed bits; holds the rounding constant."""
    shift: npt.NDArray[np.int64]
    """int64 (out,), 0…``MAX_SHIFT``."""
    minimum: int
    maximum: int
    pool: tuple[int, int] = (1, 1)
    """Rows and columns of the windows of which only the largest ``y`` is kept. They do not overlap; rows and columns
    that do not fill a window are left out."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What the network takes: real data in ``low … high``, quantised as
    ``clamp(floor((x - offset) / scale + 0.5), minimum, maximum)``."""

    name: str
    shape: Shape
    low: float
    high: float
    scale: float
    offset: float = 0.0
    """The real value that is quantised as 0, which is also what padding stands for."""
    minimum: int = -UNCLAMPED
    maximum: int = UNCLAMPED
    """Clamp of the quantised values."""

    @property
    def levels(self) -> tuple[int, int]:
        """The smallest and the largest integer that data are quantised to."""
        return self._level(self.low), self._level(self.high)

    def _level(self, value: float) -> int:
        with np.errstate(over="ignore"):
            level = np.floor((np.float64(value) - self.offset) / self.scale + 0.5)
        return int(np.clip(level, self.minimum, self.maximum))

    def batch(self, images: npt.ArrayLike) -> npt.NDArray[Any]:
        """The images as (n, height, width, channels), values not looked at; see :meth:`quantise`."""
        try:
            array = np.asarray(images)
        except ValueError as error:
            raise InputError(f"images are not an array: {error}") from None
        if array.dtype.kind not in "iuf":
            raise InputError(f"images have dtype {array.dtype}; allowed: integers and floats")
        size = prod(self.shape)
        allowed = {self.shape, (size,)} | ({self.shape[:2]} if self.shape[2] == 1 else set())
        if array.ndim < 2 or array.shape[1:] not in allowed:
            expected = ", ".join(map(str, self.shape))
            raise InputError(f"images have shape {array.shape}; expected (n, {expected}) or (n, {size})")
        return array.reshape(len(array), *self.shape)

    def quantise(self, images: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """Quantises a batch.

        ``images``: (n, height, width, channels), (n, height·width·channels), or (n, height, width) for one channel; any
        real dtype, values in ``low … high``. Returns int8 (n, height, width, channels). Raises :class:`InputError` for
        another shape or dtype, NaN, or a value out of range.
        """
        values = self.batch(images).astype(np.float64)
        low, high = (values.min(), values.max()) if values.size else (self.low, self.low)
        if np.isnan(low):
            raise InputError("images hold NaN")
        if low < self.low or high > self.high:
            raise InputError(f"images reach from {low:g} to {high:g}; allowed: {self.low:g}…{self.high:g}")
        values -= self.offset
        values /= self.scale
        values += 0.5
        np.floor(values, out=values)
        return np.clip(values, self.minimum, self.maximum, out=values).astype(np.int8)


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerNetwork:
    """A checked network; building one with anything inconsistent raises :class:`ModelError`."""

    name: str
    act_bits: int
    """Signed bits of the widest activation, input included."""
    input: InputSpec
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    """Tensors that inference returns."""
    output_scale: tuple[float, ...]
    """Real value of one step of each output."""
    metadata: Mapping[str, Any]
    """Facts for people (task, accuracy, recipe); JSON values; nothing computes with them."""

    def __post_init__(self) -> None:
        _require(2 <= self.act_bits <= 8, f"act_bits is {self.act_bits}; allowed: 2…8")
        limit = max_activation(self.act_bits)
        spec = self.input
        _require_name("network", self.name)
        _require_name("input", spec.name)
        _require(
            len(spec.shape) == 3
            and all(1 <= n <= MAX_EXTENT for n in spec.shape)
            and prod(spec.shape) <= MAX_ACTIVATIONS,
            f"input shape {spec.shape} is out of range",
        )
        _require(
            bool(np.isfinite([spec.low, spec.high, spec.scale, spec.offset]).all())
            and spec.scale > 0
            and spec.low <= spec.high,
            f"input range {spec.low:g}…{spec.high:g}, scale {spec.scale:g} or offset {spec.offset:g} is not sensible",
        )
        _require(spec.minimum <= spec.maximum, f"input is clamped to {spec.minimum}…{spec.maximum}")
        _require(
            max(map(abs, spec.levels)) <= limit,
            f"input {spec.low:g}…{spec.high:g} at scale {spec.scale:g} exceeds {self.act_bits} bits",
        )
        _require(1 <= len(self.layers) <= MAX_LAYERS, f"{len(self.layers)} layers; allowed: 1…{MAX_LAYERS}")
        shapes: dict[str, Shape] = {spec.name: spec.shape}
        for layer in self.layers:
            _require_name("layer", layer.name)
            _require(layer.name not in shapes, f"tensor {layer.name!r} is defined twice")
            shapes[layer.name] = self._check_layer(layer, shapes, limit)
        _require(
            bool(self.outputs) and len(self.output_scale) == len(self.outputs), "every output needs a name and a scale"
        )
        for name, scale in zip(self.outputs, self.output_scale, strict=True):
            _require(name in shapes and name != spec.name, f"output {name!r} is not a layer")
            _require(bool(np.isfinite(scale)), f"output {name!r} has the scale {scale}; allowed: finite")
        _require(len(set(self.outputs)) == len(self.outputs), "an output is named twice")
        object.__setattr__(self, "_shapes", shapes)

    @staticmethod
    def _check_layer(layer: Layer, shapes: dict[str, Shape], limit: int) -> Shape:
        where = f"layer {layer.name!r}"
        _require(
            1 <= len(layer.planes) <= MAX_PLANES, f"{where} has {len(layer.planes)} planes; allowed: 1…{MAX_PLANES}"
        )
        _require(
            -limit <= layer.minimum <= layer.maximum <= limit,
            f"{where} clamps to {layer.minimum}…{layer.maximum}; allowed: -{limit}…{limit}",
        )
        found = {IntegerNetwork._check_plane(layer, index, shapes) for index in range(len(layer.planes))}
        _require(len(found) == 1, f"{where}: its planes give different shapes {sorted(found)}")
        channels = layer.planes[0].trits.shape[0]
        for kind, values in (("bias", layer.bias), ("shift", layer.shift)):
            _require(
                values.shape == (channels,) and values.dtype == np.int64, f"{where}: {kind} needs int64 ({channels},)"
            )
        _require(fits_signed(layer.bias, SUM_BITS), f"{where}: bias exceeds {SUM_BITS} bits")
        _require(
            bool((layer.shift >= 0).all() and (layer.shift <= MAX_SHIFT).all()),
            f"{where}: shift out of range 0…{MAX_SHIFT}",
        )
        height, width, _ = found.pop()
        _require(
            len(layer.pool) == 2 and 1 <= layer.pool[0] <= height and 1 <= layer.pool[1] <= width,
            f"{where}: pool {layer.pool} is out of range for {height}×{width} pixels",
        )
        return height // layer.pool[0], width // layer.pool[1], channels

    @staticmethod
    def _check_plane(layer: Layer, index: int, shapes: dict[str, Shape]) -> Shape:
        """The shape of the layer's tensor, before pooling, as this plane gives it."""
        at = f"layer {layer.name!r} plane {index}"
        plane = layer.planes[index]
        trits, multiplier = plane.trits, plane.multiplier
        _require(plane.source in shapes, f"{at} reads {plane.source!r}, which is not defined before it")
        height, width, depth = shapes[plane.source]
        _require(trits.ndim == 4 and trits.dtype == np.int8, f"{at}: trits need 4 axes of int8")
        channels = len(layer.planes[0].trits)
        _require(
            plane.groups >= 1 and depth % plane.groups == 0 and channels % plane.groups == 0,
            f"{at}: {plane.groups} groups do not divide {depth} inputs and {channels} outputs",
        )
        inputs = depth // plane.groups
        _require(
            trits.shape[0] == channels and trits.shape[3] == inputs and min(trits.shape) >= 1,
            f"{at}: trits have shape {trits.shape}; expected ({channels}, …, {inputs})",
        )
        _require(bool((trits.view(np.uint8) + np.uint8(1) <= 2).all()), f"{at}: trits reach beyond -1…1")
        _require(
            multiplier.shape == (channels,) and multiplier.dtype == np.int64,
            f"{at}: multiplier needs int64 ({channels},)",
        )
        _require(
            bool((multiplier >= 0).all() and (multiplier <= MAX_MULTIPLIER).all()),
            f"{at}: multiplier out of range 0…{MAX_MULTIPLIER}",
        )
        _require(
            len(plane.stride) == 2 and min(plane.stride) >= 1 and len(plane.padding) == 4 and min(plane.padding) >= 0,
            f"{at}: stride {plane.stride} or padding {plane.padding} out of range",
        )
        top, bottom, left, right = plane.padding
        out_height = (height + top + bottom - trits.shape[1]) // plane.stride[0] + 1
        out_width = (width + left + right - trits.shape[2]) // plane.stride[1] + 1
        _require(out_height >= 1 and out_width >= 1, f"{at}: the window is larger than its padded source")
        shape = (out_height, out_width, channels)
        padded = (height + top + bottom) * (width + left + right) * depth
        _require(
            max(shape) <= MAX_EXTENT and max(prod(shape), padded) <= MAX_ACTIVATIONS,
            f"{at}: its output {shape} or padded source is too large",
        )
        return shape

    def shape(self, tensor: str) -> Shape:
        """Shape (height, width, channels) of a tensor. Raises :class:`ModelError` for an unknown one."""
        shapes: dict[str, Shape] = object.__getattribute__(self, "_shapes")
        _require(tensor in shapes, f"no tensor {tensor!r}")
        return shapes[tensor]

    def levels(self, tensor: str) -> tuple[int, int]:
        """Bounds of a tensor's integers. Raises :class:`ModelError` for an unknown one."""
        if tensor == self.input.name:
            return self.input.levels
        found = next((layer for layer in self.layers if layer.name == tensor), None)
        _require(found is not None, f"no tensor {tensor!r}")
        assert found is not None
        return found.minimum, found.maximum

    def layer(self, name: str) -> "IntegerNetwork":
        """The network of one layer alone: its input is the layer's source, in integers, in that tensor's range.

        Raises :class:`ModelError` for a name that is no layer, or a layer that reads several tensors.
        """
        found = next((layer for layer in self.layers if layer.name == name), None)
        _require(found is not None, f"no layer {name!r}; known: {', '.join(layer.name for layer in self.layers)}")
        assert found is not None
        sources = {plane.source for plane in found.planes}
        _require(
            len(sources) == 1, f"layer {name!r} reads {len(sources)} tensors; one can run on its own if it reads one"
        )
        (source,) = sources
        low, high = self.levels(source)
        spec = InputSpec(name=source, shape=self.shape(source), low=float(low), high=float(high), scale=1.0)
        return IntegerNetwork(
            name=name, act_bits=self.act_bits, input=spec, layers=(found,), outputs=(name,), output_scale=(1.0,),
            metadata={},
        )  # fmt: skip

    def linear(self, name: str, x: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """One layer alone, by the golden model: what ``device.linear`` of :class:`sterna.driver.Device` gives.

        ``x``: integers (n, height, width, channels) or (n, size) of the layer's source, in its range. Returns int32 (n,
        channels) or (n, height, width, channels). Raises as :meth:`layer`, and :class:`InputError`.
        """
        layer = self.layer(name)
        outputs = layer.predict(layer.integers(x))
        assert isinstance(outputs, np.ndarray)  # a network of one layer has one output
        return outputs

    def integers(self, x: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """A batch of the input's integers, as :meth:`InputSpec.quantise` takes it, but nothing is rounded: raises
        :class:`InputError` for fractions too. For networks of one :meth:`layer`."""
        values = self.input.batch(x)
        if values.dtype.kind == "f" and (values != np.floor(values)).any():
            raise InputError(f"layer {self.name!r} alone takes integers; these have fractions")
        return self.input.quantise(values)

    @property
    def weights(self) -> int:
        """Trits in all planes."""
        return sum(plane.trits.size for layer in self.layers for plane in layer.planes)

    def predict(self, images: npt.ArrayLike) -> npt.NDArray[np.int32] | tuple[npt.NDArray[np.int32], ...]:
        """Outputs of the golden model; see :func:`sterna.golden.predict`."""
        from sterna.golden import predict  # golden depends on this module

        return predict(self, images)
