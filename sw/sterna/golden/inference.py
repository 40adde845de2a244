"""Vectorised, exact inference: convolutions as float matrix products, requantisation in float64.

**Why floats are exact here.** A sum of integers is exact in floating point, in whatever order a BLAS adds, with or
without fused operations, as long as no partial sum can reach 2^24 (float32) or 2^53 (float64). Every partial sum is
at most the sum of the absolute products. So for each output channel the largest activation times the sum of absolute
weights is computed from the actual weights; float32 serves where that is below 2^24 for all channels, else float64;
a network for which float64 would not do is refused. In the same way the
floor of the total times ``2**-shift`` is the arithmetic shift, because the total is below 2^53 and a power of two only
changes the exponents of its terms.

**Planes are joined.** Planes with the same source and geometry are one convolution with the integer weights
``Σ (m_i / g)·T_i``, where ``g`` is the greatest common divisor of the channel's multipliers: for balanced-ternary
digits that is a small integer weight, and as fast as one plane. Groups of channels are matrix products side by side.

Images are worked on in chunks so that what lies between two steps stays within ``CHUNK_BYTES``, as far as one output
row of one image allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.spec.arithmetic import max_activation
from sterna.spec.errors import ModelError
from sterna.spec.network import IntegerNetwork, Layer, Plane, Shape

CHUNK_BYTES = 8 << 20
"""Bytes of temporaries that one step may take."""
FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53

Activations = npt.NDArray[np.int8]
Outputs = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def predict(network: IntegerNetwork, images: npt.ArrayLike) -> Outputs | tuple[Outputs, ...]:
    """The network's outputs for a batch of images, as integers; times ``network.output_scale`` they are real values.

    ``images``: (n, height, width, channels) or (n, height·width·channels), see ``InputSpec.quantise``; n may be 0.
    Returns int32 (n, channels) for an output of one pixel, else int32 (n, height, width, channels); a tuple of them
    if the network has several outputs. Raises :class:`InputError`.
    """
    found = _run(network, images, network.outputs)
    results = tuple(_flat(found[name].astype(np.int32)) for name in network.outputs)
    return results if len(results) > 1 else results[0]


def trace(network: IntegerNetwork, images: npt.ArrayLike) -> dict[str, Activations]:
    """Every tensor, the quantised input first: int8 (n, height, width, channels) by name. As :func:`predict` else."""
    return _run(network, images, (network.input.name, *(layer.name for layer in network.layers)))


def _flat(output: Outputs) -> Outputs:
    return output.reshape(len(output), output.shape[3]) if output.shape[1:3] == (1, 1) else output


@dataclass(frozen=True)
class _Convolution:
    """Planes of one source and geometry, as one convolution with integer weights."""

    geometry: Plane
    """The first of the planes: source, kernel size, stride, padding, groups."""
    weights: Floats
    """(groups, kernel height · kernel width · in / groups, out / groups), float32 if all sums are exact in it, else
    float64."""
    factor: npt.NDArray[np.float64]
    """(out,): what the planes' multipliers have in common."""


@dataclass(frozen=True)
class _Step:
    """A layer made ready."""

    layer: Layer
    shape: Shape
    convolutions: list[_Convolution]
    bias: npt.NDArray[np.float64]
    """Times ``scale``."""
    scale: npt.NDArray[np.float64]
    """2^-shift."""
    bytes_per_row: int
    """Temporaries of one row of pooling windows of one image."""


def _run(network: IntegerNetwork, images: npt.ArrayLike, wanted: tuple[str, ...]) -> dict[str, Activations]:
    steps = _prepare(network)
    batch = network.input.batch(images)
    bytes_per_image = max(step.bytes_per_row * step.shape[0] for step in steps)
    size = max(1, CHUNK_BYTES // bytes_per_image)
    count = len(batch)
    found = {name: np.empty((count, *network.shape(name)), np.int8) for name in wanted}
    for at in range(0, count, size):
        tensors = {network.input.name: network.input.quantise(batch[at : at + size])}
        for step in steps:
            tensors[step.layer.name] = _compute(step, tensors)
        for name in wanted:
            found[name][at : at + size] = tensors[name]
    return found


def _prepare(network: IntegerNetwork) -> list[_Step]:
    """Joins planes and proves that the sums are exact. Raises :class:`ModelError` if float64 would not do."""
    reach = {network.input.name: max_activation(network.act_bits)}  # largest magnitude of each tensor
    steps = []
    for layer in network.layers:
        convolutions = []
        bound = np.abs(layer.bias).astype(object)  # Python integers: nothing here may wrap
        for planes in _joined(layer):
            convolution, products = _join(planes, reach[planes[0].source])
            convolutions.append(convolution)
            bound += products
        if max(bound) >= FLOAT64_EXACT:
            raise ModelError(f"layer {layer.name!r} has sums up to {max(bound)}, beyond 2^53")
        shape = network.shape(layer.name)
        # Columns, product and total of each pixel; the padded source counts with the columns.
        pixel = sum(3 * c.weights.itemsize * c.weights[..., 0].size + 24 * shape[2] for c in convolutions)
        row = pixel * shape[1] * layer.pool[0] * layer.pool[1]
        scale: npt.NDArray[np.float64] = np.ldexp(1.0, -layer.shift)
        reach[layer.name] = max(abs(layer.minimum), abs(layer.maximum))
        steps.append(_Step(layer, shape, convolutions, layer.bias * scale, scale, row))
    return steps


def _joined(layer: Layer) -> Iterator[list[Plane]]:
    """The layer's planes, those of the same source and geometry together."""
    groups: dict[object, list[Plane]] = {}
    for plane in layer.planes:
        key = (plane.source, plane.trits.shape, tuple(plane.stride), tuple(plane.padding))
        groups.setdefault(key, []).append(plane)
    yield from groups.values()


def _join(planes: list[Plane], largest: int) -> tuple[_Convolution, npt.NDArray[np.object_]]:
    """One convolution of several planes, and for each channel the largest sum of absolute products, multiplied out."""
    multipliers = np.array([plane.multiplier for plane in planes])
    common = np.maximum(np.gcd.reduce(multipliers, axis=0), 1)
    channels = multipliers.shape[1]
    weights = np.zeros((channels, planes[0].trits[0].size), np.int64)
    for plane, multiplier in zip(planes, multipliers, strict=True):
        weights += (multiplier // common)[:, np.newaxis] * plane.trits.reshape(channels, -1)
    sums = np.abs(weights).sum(axis=1) * largest
    groups = planes[0].groups
    grouped = weights.reshape(groups, channels // groups, -1).transpose(0, 2, 1)
    exact: Floats = grouped.astype(np.float32) if sums.max() < FLOAT32_EXACT else grouped.astype(np.float64)
    return _Convolution(planes[0], exact, common.astype(np.float64)), sums.astype(object) * common


def _compute(step: _Step, tensors: dict[str, Activations]) -> Activations:
    """One layer for a chunk of images: int8 (n, height, width, channels)."""
    height, width, channels = step.shape
    pool_height, pool_width = step.layer.pool
    sources = [_padded(convolution, tensors) for convolution in step.convolutions]
    count = len(sources[0])
    result = np.empty((count, *step.shape), np.int8)
    rows = min(height, max(1, CHUNK_BYTES // (step.bytes_per_row * max(count, 1))))
    for top in range(0, height, rows):
        part = result[:, top : top + rows]
        total: npt.NDArray[np.float64] | None = None
        for convolution, source in zip(step.convolutions, sources, strict=True):
            columns = _columns(
                convolution.geometry, source, top * pool_height, part.shape[1] * pool_height, width * pool_width
            )
            product = _product(columns, convolution)
            scaled = np.multiply(product, convolution.factor * step.scale, dtype=np.float64)
            total = scaled if total is None else np.add(total, scaled, out=total)
        assert total is not None  # a layer has a plane
        total += step.bias
        np.clip(total, step.layer.minimum, step.layer.maximum, out=total)
        if step.layer.minimum < 0:  # else the conversion, which cuts towards zero, is the floor
            np.floor(total, out=total)
        windows = total.reshape(count, part.shape[1], pool_height, width, pool_width, channels)
        part[...] = windows.max(axis=(2, 4)) if pool_height * pool_width > 1 else windows[:, :, 0, :, 0]
    return result


def _product(columns: Floats, convolution: _Convolution) -> Floats:
    """(pixels, out) of the columns of so many pixels."""
    weights = convolution.weights
    groups, products, outputs = weights.shape
    product: Floats
    if groups == 1:
        product = columns @ weights[0]
    else:
        taps = convolution.geometry.trits[0, :, :, 0].size
        split = columns.reshape(-1, taps, groups, products // taps).transpose(2, 0, 1, 3)
        side_by_side = split.reshape(groups, -1, products) @ weights
        product = side_by_side.transpose(1, 0, 2).reshape(-1, groups * outputs)
    return product


def _padded(convolution: _Convolution, tensors: dict[str, Activations]) -> Floats:
    """The source with its zeros around, in the dtype of the weights: (n, height, width, channels)."""
    plane = convolution.geometry
    source = tensors[plane.source]
    top, bottom, left, right = plane.padding
    count, height, width, channels = source.shape
    padded = np.zeros((count, height + top + bottom, width + left + right, channels), convolution.weights.dtype)
    padded[:, top : top + height, left : left + width] = source
    return padded


def _columns(plane: Plane, source: Floats, top: int, rows: int, width: int) -> Floats:
    """The windows of some output rows: (n · rows · width, kernel height · kernel width · channels)."""
    (kernel_height, kernel_width), (step_y, step_x) = plane.trits.shape[1:3], plane.stride
    count, height, _, channels = source.shape
    # Channel-last, a row of a window is one run: a window over (row, column · channel) that steps by whole columns.
    run = kernel_width * channels
    windows: Any = np.lib.stride_tricks.sliding_window_view(
        source.reshape(count, height, -1), (kernel_height, run), axis=(1, 2)
    )
    last_y, last_x = (top + rows - 1) * step_y, (width - 1) * step_x * channels
    chosen = windows[:, top * step_y : last_y + 1 : step_y, : last_x + 1 : step_x * channels]
    columns: Floats = chosen.reshape(count * rows * width, kernel_height * run)
    return columns
