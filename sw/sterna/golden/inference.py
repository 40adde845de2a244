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

**Images lie side by side.** Inside, a tensor is (height, channels, width, images): a row of one channel over all images
of a chunk is one long run, which is what a matrix product, a copy and a multiplication by a value per channel are quick
at. A source row is copied out once for each column of the kernel; the rows of a window then follow each other in
memory, and windows of neighbouring output rows overlap there, so nothing is copied for the rows of the kernel.

Images are worked on in chunks, and layers in blocks of rows, so that what a chunk keeps and what lies between two steps
stay within ``CHUNK_BYTES`` each, as far as one output row and the tensors of one image allow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.spec.errors import ModelError
from sterna.spec.network import IntegerNetwork, Layer, Plane, Shape

CHUNK_BYTES = 8 << 20
"""Bytes that the tensors of a chunk may take, and the temporaries of a block: few enough for a processor's caches, many
enough that the calls to NumPy cost little."""
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
    """(groups, 1, out / groups, kernel height · kernel width · in / groups), float32 if all sums are exact in it, else
    float64."""
    factor: npt.NDArray[np.float64]
    """(out, 1): what the planes' multipliers have in common."""


@dataclass(frozen=True)
class _Step:
    """A layer made ready."""

    layer: Layer
    shape: Shape
    convolutions: list[_Convolution]
    bias: npt.NDArray[np.float64]
    """(out, 1), times ``scale``."""
    scale: npt.NDArray[np.float64]
    """(out, 1): 2^-shift."""
    bytes_per_row: int
    """Temporaries of one row of pooling windows of one image."""


def _run(network: IntegerNetwork, images: npt.ArrayLike, wanted: tuple[str, ...]) -> dict[str, Activations]:
    steps = _prepare(network)
    batch = network.input.batch(images)
    kept = prod(network.input.shape) + sum(prod(step.shape) for step in steps)
    # Twice: a source with its zeros around is a copy.
    size = max(1, CHUNK_BYTES // max(2 * kept, *(step.bytes_per_row for step in steps)))
    count = len(batch)
    buffers = _Buffers()
    found = {name: np.empty((count, *network.shape(name)), np.int8) for name in wanted}
    for at in range(0, count, size):
        quantised = network.input.quantise(batch[at : at + size])
        tensors = {network.input.name: np.ascontiguousarray(quantised.transpose(1, 3, 2, 0))}
        for step in steps:
            tensors[step.layer.name] = _compute(step, tensors, buffers)
        for name in wanted:
            found[name][at : at + size] = tensors[name].transpose(3, 0, 2, 1)
    return found


def _prepare(network: IntegerNetwork) -> list[_Step]:
    """Joins planes and proves that the sums are exact. Raises :class:`ModelError` if float64 would not do."""
    steps = []
    for layer in network.layers:
        convolutions = []
        bound = np.abs(layer.bias).astype(object)  # Python integers: nothing here may wrap
        for planes in _joined(layer):
            convolution, products = _join(planes, max(map(abs, network.levels(planes[0].source))))
            convolutions.append(convolution)
            bound += products
        if max(bound) >= FLOAT64_EXACT:
            raise ModelError(f"layer {layer.name!r} has sums up to {max(bound)}, beyond 2^53")
        shape = network.shape(layer.name)
        # Columns, product and total of each pixel.
        pixel = sum(c.weights.itemsize * c.weights[:, :, 0].size + 24 * shape[2] for c in convolutions)
        row = pixel * shape[1] * layer.pool[0] * layer.pool[1]
        scale: npt.NDArray[np.float64] = np.ldexp(1.0, -layer.shift)[:, np.newaxis]
        steps.append(_Step(layer, shape, convolutions, layer.bias[:, np.newaxis] * scale, scale, row))
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
    grouped = weights.reshape(groups, 1, channels // groups, -1)
    exact: Floats = grouped.astype(np.float32) if sums.max() < FLOAT32_EXACT else grouped.astype(np.float64)
    return _Convolution(planes[0], exact, common[:, np.newaxis].astype(np.float64)), sums.astype(object) * common


class _Buffers:
    """Memory that each chunk and block uses again: to touch new pages costs about as much as to compute on them."""

    def __init__(self) -> None:
        self._kept: dict[str, npt.NDArray[np.uint8]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array with whatever the last one of that name left in it."""
        size = prod(shape) * np.dtype(dtype).itemsize
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size, np.uint8)
        return self._kept[name][:size].view(dtype).reshape(shape)


def _compute(step: _Step, tensors: dict[str, Activations], buffers: _Buffers) -> Activations:
    """One layer for a chunk of images: int8 (height, channels, width, n)."""
    height, width, channels = step.shape
    pool_height, pool_width = step.layer.pool
    sources = [_padded(c.geometry, tensors, buffers, f"source {i}") for i, c in enumerate(step.convolutions)]
    count = sources[0].shape[3]
    result = buffers.take(f"layer {step.layer.name}", (height, channels, width, count), np.int8)
    rows = max(1, CHUNK_BYTES // (step.bytes_per_row * count))
    for top in range(0, height, rows):
        part = result[top : top + rows]
        shape = (len(part) * pool_height, channels, width * pool_width * count)
        total, scaled = buffers.take("total", shape, np.float64), buffers.take("scaled", shape, np.float64)
        for index, (convolution, source) in enumerate(zip(step.convolutions, sources, strict=True)):
            product = _product(convolution, source, top * pool_height, shape, buffers)
            np.multiply(product, convolution.factor * step.scale, out=scaled if index else total)
            if index:
                total += scaled
        total += step.bias
        np.clip(total, step.layer.minimum, step.layer.maximum, out=total)
        if step.layer.minimum < 0:  # else the conversion, which cuts towards zero, is the floor
            np.floor(total, out=total)
        windows = total.reshape(len(part), pool_height, channels, width, pool_width, count)
        part[...] = windows.max(axis=(1, 4)) if pool_height * pool_width > 1 else windows[:, 0, :, :, 0]
    return result


def _padded(plane: Plane, tensors: dict[str, Activations], buffers: _Buffers, name: str) -> Activations:
    """The source with its zeros around: (height, channels, width, n)."""
    source = tensors[plane.source]
    if not any(plane.padding):
        return source
    top, bottom, left, right = plane.padding
    height, channels, width, count = source.shape
    padded = buffers.take(name, (height + top + bottom, channels, width + left + right, count), np.int8)
    padded[...] = 0
    padded[top : top + height, :, left : left + width] = source
    return padded


def _product(
    convolution: _Convolution, source: Activations, top: int, shape: tuple[int, int, int], buffers: _Buffers
) -> Floats:
    """Sums of some output rows, of ``shape`` (rows, out, width · n)."""
    plane, weights = convolution.geometry, convolution.weights
    rows, outputs, run = shape
    _, kernel_height, kernel_width, depth = plane.trits.shape
    step_y, step_x = plane.stride
    groups, count = plane.groups, source.shape[3]
    width = run // count
    needed = source[top * step_y : (top + rows - 1) * step_y + kernel_height]
    grouped = needed.reshape(len(needed), groups, depth, -1, count).swapaxes(0, 1)
    columns = buffers.take("columns", (groups, len(needed), kernel_width, depth, width, count), weights.dtype)
    for tap in range(kernel_width):
        columns[:, :, tap] = grouped[:, :, :, tap : tap + (width - 1) * step_x + 1 : step_x]
    # A window is kernel_height rows of columns, which follow each other in memory; the next begins step_y rows on.
    group, row, _, position, *_ = columns.strides
    windows = np.lib.stride_tricks.as_strided(
        columns,
        (groups, rows, kernel_height * kernel_width * depth, run),
        (group, step_y * row, position, columns.itemsize),
        writeable=False,
    )
    product = buffers.take("product", (rows, groups, outputs // groups, run), weights.dtype)
    np.matmul(weights, windows, out=product.swapaxes(0, 1))
    return product.reshape(shape)
