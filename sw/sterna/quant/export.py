"""Exports a quantised model to the integer network, and proves the conversion value by value."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sterna.quant.layers import FoldedLayer, Signal
from sterna.quant.model import QuantisedModel
from sterna.quant.prune import block_density
from sterna.spec.arithmetic import max_activation
from sterna.spec.errors import ModelError
from sterna.spec.network import IntegerNetwork, Layer, Plane, Shape
from sterna.spec.requantiser import convert_channel, reachable, requantise_real


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What the conversion of one layer found."""

    name: str
    channels: int
    constant_channels: int
    """Channels whose output is the same for every reachable accumulator."""
    compared: int
    """Reachable accumulator values over all channels; each was compared."""
    differing: int
    """Those that the integer requantiser maps to another value than the model's real-valued one."""
    slope_change: float
    """Largest relative change of a slope by rounding it to what a multiplier can hold."""
    changed_by_rounding: int
    """Accumulator values for which that rounding changed the model's output (by one step)."""
    lowest: int
    """Bounds of the accumulators over all channels, from the actual trits."""
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
        """Accumulator values whose outputs differ; 0 is a proof of equality."""
        return sum(layer.differing for layer in self.layers)

    @property
    def acc_bits(self) -> int:
        """Signed bits that an accumulator needs."""
        return max(max(layer.highest.bit_length(), (-layer.lowest - 1).bit_length()) for layer in self.layers) + 1

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        totals = {"compared": self.compared, "differing": self.differing, "acc_bits": self.acc_bits}
        return totals | dataclasses.asdict(self)


def _convert(
    name: str, source_name: str, shape: Shape, source: Signal, folded: FoldedLayer, pe: int
) -> tuple[Layer, LayerReport]:
    """``shape``: of the source; a matrix product takes all of it in one window."""
    if len(folded.planes) != 1:
        raise ModelError(f"layer {name!r} has {len(folded.planes)} planes; export proves layers of one plane")
    (plane,) = folded.planes
    # A negative slope is folded into the trits: (-trits)·x·|A| is the same float64 product as trits·x·A.
    signs = np.where(plane.slope < 0, -1, 1).astype(np.int8)
    trits = plane.trits.numpy().astype(np.int8) * signs[:, np.newaxis]
    slope, unrounded = plane.slope * signs, plane.unrounded_slope * signs
    lowest, highest = reachable(trits, source.low, source.high)
    limits = folded.minimum, folded.maximum
    channels = []
    constant = changed = 0
    for c, (first, last) in enumerate(zip(lowest.tolist(), highest.tolist(), strict=True)):
        where = float(slope[c]), float(folded.offset[c])
        try:
            channel = convert_channel(*where, first, last, *limits)
        except ModelError as error:
            raise ModelError(f"layer {name!r} channel {c}: {error}") from error
        channels.append(channel)
        wanted = requantise_real(np.arange(first, last + 1), *where, *limits)
        constant += int(wanted[0] == wanted[-1])
        exact = requantise_real(np.arange(first, last + 1), float(unrounded[c]), where[1], *limits)
        changed += int(np.count_nonzero(exact != wanted))

    def column(values: list[int]) -> npt.NDArray[np.int64]:
        return np.array(values, np.int64)

    layer = Layer(
        name=name,
        planes=(
            Plane(
                source=source_name,
                trits=np.ascontiguousarray(trits.reshape(-1, *shape)),
                multiplier=column([channel.multiplier for channel in channels]),
            ),
        ),
        bias=column([channel.bias for channel in channels]),
        shift=column([channel.shift for channel in channels]),
        minimum=folded.minimum,
        maximum=folded.maximum,
    )
    nonzero = slope != 0
    change = np.abs(slope[nonzero] / unrounded[nonzero] - 1).max(initial=0.0)
    report = LayerReport(
        name=name,
        channels=len(channels),
        constant_channels=constant,
        compared=sum(channel.compared for channel in channels),
        differing=sum(channel.differing for channel in channels),
        slope_change=float(change),
        changed_by_rounding=changed,
        lowest=int(lowest.min()),
        highest=int(highest.max()),
        density=float(np.count_nonzero(trits) / trits.size),
        block_density=block_density(plane.trits, pe=pe),
    )
    return layer, report


def export_network(
    model: QuantisedModel, *, name: str, metadata: Mapping[str, Any] | None = None
) -> tuple[IntegerNetwork, ExportReport]:
    """The integer network of a quantised model, and the report of its conversion.

    BatchNorm, scales, steps and the rounding constant are folded; every channel's requantiser is compared with the
    model's on every reachable accumulator value. ``metadata``: JSON values for people.
    Raises :class:`ModelError` naming the layer and channel that cannot be converted.
    """
    layers: list[Layer] = []
    reports: list[LayerReport] = []
    source_name, shape = model.input.name, model.input.shape
    prepared = dict(model.named_layers())
    for layer_name, source, folded in model.folded():
        layer, report = _convert(layer_name, source_name, shape, source, folded, prepared[layer_name].pe)
        layers.append(layer)
        reports.append(report)
        source_name, shape = layer_name, (1, 1, report.channels)
    act_bits = max(layer.recipe.act_bits for layer in prepared.values())
    extreme = max(abs(bound) for _, source, _ in model.folded() for bound in (source.low, source.high))
    while max_activation(act_bits) < extreme:
        act_bits += 1
    network = IntegerNetwork(
        name=name,
        act_bits=act_bits,
        input=model.input,
        layers=tuple(layers),
        outputs=(source_name,),
        output_scale=(model.output_step,),
        metadata=dict(metadata or {}),
    )
    return network, ExportReport(layers=tuple(reports))


def export(
    model: QuantisedModel, sample: npt.ArrayLike, *, name: str = "network", metadata: Mapping[str, Any] | None = None
) -> IntegerNetwork:
    """The integer network of a quantised model, checked on a batch.

    ``sample``: images, real (n, …). Raises :class:`ModelError` if the network's answer for it is not the model's, bit
    for bit, and as :func:`export_network`.
    """
    network, _ = export_network(model, name=name, metadata=metadata)
    images = np.asarray(sample)
    training = model.training
    wanted = model.eval().integers(torch.from_numpy(images)).numpy()
    model.train(training)
    differing = int(np.count_nonzero(network.predict(images.reshape(len(images), -1)) != wanted))
    if differing:
        raise ModelError(f"{differing} of {wanted.size} outputs of the integer network differ from the model's")
    return network
