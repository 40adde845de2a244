"""Exports a quantised model to the integer network, and reports what the conversion did."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sterna.quant.layers import FoldedLayer, QuantisedLayer
from sterna.quant.model import QuantisedModel
from sterna.quant.prune import blocks
from sterna.quant.requantiser import smallest_reaching
from sterna.spec.arithmetic import Float64, Int64, max_activation, requantise
from sterna.spec.errors import InputError, ModelError
from sterna.spec.network import IntegerNetwork, Layer, Plane

PROOF_BY_ARITHMETIC = "arithmetic"
PROOF_BY_THRESHOLDS = "arithmetic, thresholds"


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What the conversion of one layer found."""

    name: str
    channels: int
    planes: int
    proof: str
    """Why the integer layer equals the evaluated model's on every input. ``arithmetic``: every product and sum of
    the float64 evaluation is an exact multiple of the shift's power of two (:mod:`sterna.quant.requantiser`), which
    holds for any number of planes. ``arithmetic, thresholds``: one plane, so that outputs rise with one accumulator;
    both functions were also compared, level by level, on where they rise, which covers every reachable value."""
    constant_channels: int
    """Channels whose output is the same for every reachable accumulator."""
    compared: int
    """Reachable accumulator values, over all channels, that the thresholds cover; 0 for several planes."""
    differing: int
    """For how many of them (times steps of the output) integer and float64 evaluation differ: 0."""
    slope_change: float
    """Largest relative change of a slope by rounding it to a multiplier."""
    rounding_bound: float
    """Most that rounding slopes can move the sum before it is rounded, in steps of the output."""
    changed_by_rounding: int
    """Accumulator values (times steps) for which rounding slopes changed the output; 0 for several planes."""
    lowest: int
    """Bounds of the accumulators over all channels and planes, from the actual trits."""
    highest: int
    density: float
    """Share of non-zero trits."""
    block_density: float
    """Share of weight blocks that hold a non-zero trit."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What the conversion of a network found."""

    layers: tuple[LayerReport, ...]

    @property
    def compared(self) -> int:
        """Accumulator values compared."""
        return sum(layer.compared for layer in self.layers)

    @property
    def differing(self) -> int:
        """Accumulator values whose outputs differ: 0."""
        return sum(layer.differing for layer in self.layers)

    @property
    def acc_bits(self) -> int:
        """Signed bits that an accumulator needs."""
        return max(max(layer.highest.bit_length(), (-layer.lowest - 1).bit_length()) for layer in self.layers) + 1

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        totals = {"compared": self.compared, "differing": self.differing, "acc_bits": self.acc_bits}
        return totals | dataclasses.asdict(self)


def _layer(name: str, folded: FoldedLayer) -> Layer:
    planes = []
    for plane, multiplier in zip(folded.planes, folded.fixed.multiplier, strict=True):
        # A negative slope is folded into the trits.
        trits = plane.trits * np.where(multiplier < 0, -1, 1).astype(np.int8)[:, np.newaxis]
        window = plane.window
        planes.append(Plane(
            source=window.source,
            trits=np.ascontiguousarray(trits.reshape(window.out, *window.kernel, window.inputs)),
            multiplier=np.abs(multiplier),
            stride=window.stride,
            padding=window.padding,
            groups=window.groups,
        ))  # fmt: skip
    return Layer(
        name=name,
        planes=tuple(planes),
        bias=folded.fixed.bias,
        shift=folded.fixed.shift,
        minimum=folded.minimum,
        maximum=folded.maximum,
        pool=folded.pool,
    )


def _compare(folded: FoldedLayer) -> tuple[int, int, int]:
    """Of a layer of one plane: values compared, differing, changed by rounding slopes. Negative slopes are mirrored."""
    (plane,) = folded.planes
    negative = plane.slope < 0
    lowest = np.where(negative, -plane.highest, plane.lowest)
    highest = np.where(negative, -plane.lowest, plane.highest)
    fixed = folded.fixed
    (multiplier,), (slope,) = np.abs(fixed.multiplier), np.abs(fixed.slope)
    levels = np.arange(folded.minimum + 1, folded.maximum + 1)

    def thresholds(values: Callable[[Int64], Int64]) -> Int64:
        return smallest_reaching(values, lowest, highest, levels)

    def clamped(total: Float64) -> Int64:
        values: Int64 = np.clip(np.floor(total), folded.minimum, folded.maximum).astype(np.int64)
        return values

    def integer(acc: Int64) -> Int64:
        total = multiplier[:, np.newaxis] * acc + fixed.bias[:, np.newaxis]
        return requantise(total, fixed.shift[:, np.newaxis], folded.minimum, folded.maximum)

    def evaluated(acc: Int64) -> Int64:
        return clamped(acc.astype(np.float64) * slope[:, np.newaxis] + fixed.offset[:, np.newaxis])

    def unrounded(acc: Int64) -> Int64:
        return clamped(acc.astype(np.float64) * np.abs(plane.slope)[:, np.newaxis] + folded.offset[:, np.newaxis] + 0.5)

    found = thresholds(integer)
    differing = np.abs(found - thresholds(evaluated)).sum()
    changed = np.abs(found - thresholds(unrounded)).sum()
    return int((highest - lowest + 1).sum()), int(differing), int(changed)


def _report(layer: QuantisedLayer, folded: FoldedLayer) -> LayerReport:
    single = len(folded.planes) == 1
    compared, differing, changed = _compare(folded) if single else (0, 0, 0)
    fixed, offset = folded.fixed, folded.fixed.offset
    slopes = np.array([plane.slope for plane in folded.planes])
    lowest = np.array([plane.lowest for plane in folded.planes])
    highest = np.array([plane.highest for plane in folded.planes])
    negative = fixed.multiplier < 0  # what was folded into the trits
    lowest, highest = np.where(negative, -highest, lowest), np.where(negative, -lowest, highest)
    slope = np.abs(fixed.slope)
    moved = (np.abs(fixed.slope - slopes) * np.maximum(np.abs(lowest), np.abs(highest))).sum(axis=0)
    least, most = (
        np.clip(np.floor((slope * end).sum(axis=0) + offset), folded.minimum, folded.maximum)
        for end in (lowest, highest)
    )
    kept = fixed.multiplier != 0
    counted = [blocks(torch.from_numpy(p.trits), pe=layer.pe, groups=p.window.groups) for p in folded.planes]
    return LayerReport(
        name=layer.name,
        channels=len(fixed.bias),
        planes=len(folded.planes),
        proof=PROOF_BY_THRESHOLDS if single else PROOF_BY_ARITHMETIC,
        constant_channels=int(np.count_nonzero(least == most)),
        compared=compared,
        differing=differing,
        slope_change=float(np.abs(fixed.slope[kept] / slopes[kept] - 1).max(initial=0.0)),
        rounding_bound=float(moved.max()),
        changed_by_rounding=changed,
        lowest=int(lowest.min()),
        highest=int(highest.max()),
        density=float(sum(np.count_nonzero(p.trits) for p in folded.planes) / sum(p.trits.size for p in folded.planes)),
        block_density=sum(used for used, _ in counted) / sum(count for _, count in counted),
    )


def export_network(
    model: QuantisedModel, *, name: str, metadata: Mapping[str, Any] | None = None
) -> tuple[IntegerNetwork, ExportReport]:
    """The integer network of a quantised model, and the report of its conversion.

    BatchNorm, scales, steps and the rounding constant are folded. The network equals the model in evaluation mode, bit
    for bit and tensor by tensor: :mod:`sterna.quant.requantiser` says why. ``metadata``: JSON values for people.
    Raises :class:`ModelError` naming the layer and channel that cannot be converted.
    """
    layers: list[Layer] = []
    reports: list[LayerReport] = []
    act_bits = 2
    for layer, folded in model.folded():
        layers.append(_layer(layer.name, folded))
        reports.append(_report(layer, folded))
        act_bits = max(act_bits, layer.recipe.act_bits)
    while max_activation(act_bits) < model.largest_input:
        act_bits += 1
    network = IntegerNetwork(
        name=name,
        act_bits=act_bits,
        input=model.input,
        layers=tuple(layers),
        outputs=model.outputs,
        output_scale=model.output_steps,
        metadata=dict(metadata or {}),
    )
    return network, ExportReport(layers=tuple(reports))


def export(
    model: QuantisedModel, sample: npt.ArrayLike, *, name: str = "network", metadata: Mapping[str, Any] | None = None
) -> IntegerNetwork:
    """The integer network of a quantised model, checked on a batch.

    ``sample``: images, real (n, …), n at least 1. Raises :class:`InputError` for another sample, :class:`ModelError` if
    the network's answer for it is not the model's, bit for bit, and as :func:`export_network`. The model's mode stays.
    """
    images = _images(sample)
    network, _ = export_network(model, name=name, metadata=metadata)
    predicted = network.predict(images.reshape(len(images), -1))  # refuses what is no image of the model
    training = model.training
    try:
        given = model.eval().integers(torch.from_numpy(images))
    finally:
        model.train(training)
    wanted = [output.numpy() for output in (given if isinstance(given, tuple) else (given,))]
    found = predicted if isinstance(predicted, tuple) else (predicted,)
    differing = sum(int(np.count_nonzero(a != b)) for a, b in zip(found, wanted, strict=True))
    if differing:
        of = sum(output.size for output in wanted)
        raise ModelError(f"{differing} of {of} outputs of the integer network differ from the model's")
    return network


def _images(sample: npt.ArrayLike) -> npt.NDArray[Any]:
    """The sample as an array of its own: torch warns of those that cannot be written to."""
    try:
        images = np.array(sample)
    except ValueError as error:
        raise InputError(f"the sample is no array: {error}") from error
    if images.ndim < 2 or images.size == 0:
        raise InputError(f"the sample has the shape {images.shape}; allowed: (n, …), with one image or more")
    return images
