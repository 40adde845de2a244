"""From a graph of quantised floats to the integer network, decided on every reachable accumulator value.

**One function a channel.** Whatever a graph does between the sum of products of one layer and the next (biases,
BatchNormalization, scales, quantisers of any rounding) is one function of that sum. The graph's own float operations
are evaluated on every accumulator value that the weights can reach; the values found are integers times a step, and
:func:`sterna.spec.requantiser.fit_channel` finds the multiplier, bias and shift with the same thresholds, or counts
where there are none. No scale is folded, so nothing is lost by folding.

**Sums.** A runtime adds floats in an order of its own. Where weights and activations are short enough multiples of
powers of two, as in most files, every order gives the exact sum; elsewhere the exact sum, rounded once, stands for them
all, and the accumulator values near enough to a threshold for another order to decide are counted (``undecided``).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.interop.graph import Graph
from sterna.interop.levels import common_step, fit_input
from sterna.interop.operators import Array
from sterna.interop.plan import (
    Convolution,
    Elementwise,
    MatrixProduct,
    MaxPool,
    Plan,
    Reshaped,
    Step,
    Transposed,
    plan,
)
from sterna.spec.arithmetic import MAX_MULTIPLIER, Float64, Int64, accumulator_bounds, max_activation
from sterna.spec.errors import ModelError
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane
from sterna.spec.requantiser import Channel, fit_channel

ACT_BITS = 8
MAX_LEVEL = max_activation(ACT_BITS)
MAX_DIGITS = 5
MAX_WEIGHT = (3**MAX_DIGITS - 1) // 2
"""Largest integer of so many balanced-ternary digits: 121."""
MAX_VALUES = 1 << 26
"""Most accumulator values of one layer, over its channels."""
PART_VALUES = 1 << 20
MAX_INPUTS = 1 << 16
BATCH_ELEMENTS = 1 << 20
"""Most elements of a tensor of the images that are compared at a time, but for one image alone."""
FLOAT_BITS = {np.dtype(np.float32): 24, np.dtype(np.float64): 53}


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What the import of one layer found."""

    name: str
    channels: int
    planes: int
    compared: int
    """Reachable accumulator values over all channels; each was compared."""
    differing: int
    """Those that the integer requantiser maps to another value than the graph."""
    undecided: int
    """Those for which the order decides in which a runtime adds floats."""
    lowest: int
    """Bounds of the accumulators over all channels, from the actual weights."""
    highest: int
    weights: int
    zeros: int
    """Of the graph's integer weights."""


@dataclass(frozen=True, kw_only=True)
class OutputReport:
    """How an output's integers go with the graph's real values: ``integer · scale + offset``."""

    name: str
    scale: float
    offset: float
    exact: bool
    """Whether every value of the graph has an integer of its own; else they are rounded to 255 levels."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import found."""

    layers: tuple[LayerReport, ...]
    outputs: tuple[OutputReport, ...]
    images: int
    """Random images on which the integer network was held against the graph, tensor by tensor."""
    compared: int
    """Integers compared on them."""
    differing: int
    """Those that differ; not zero only if there are undecided accumulators."""
    same_class: int
    """Images for which the largest output is the same."""

    @property
    def undecided(self) -> int:
        """Accumulator values that a runtime's order of additions decides."""
        return sum(layer.undecided for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self) | {"undecided": self.undecided}


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What images hold: integers ``low … high``, and the graph takes them divided by ``divide``."""

    low: int = 0
    high: int = 255
    divide: float = 255.0

    def __post_init__(self) -> None:
        if not (-MAX_INPUTS <= self.low < self.high <= MAX_INPUTS and self.high - self.low < MAX_INPUTS):
            raise ModelError(f"input range {self.low}…{self.high}; allowed: up to {MAX_INPUTS} rising integers")
        if not (np.isfinite(self.divide) and self.divide > 0):
            raise ModelError(f"input divisor {self.divide}; allowed: positive")

    def real(self, integers: Array, dtype: npt.DTypeLike) -> Array:
        """What the graph sees of them."""
        real: Array = integers.astype(dtype) / np.asarray(self.divide, dtype)
        return real


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tensor:
    """An integer tensor of the network: level · step (+ offset) is the graph's value."""

    name: str
    step: float
    offset: float
    low: int
    high: int
    shape: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sums:
    """Accumulators: integer weights over a tensor; times ``scale`` they are the graph's sums of products."""

    name: str
    source: _Tensor
    weights: Int64
    """(out, kernel height, kernel width, in / groups)."""
    scale: Float64
    """float64 (out,)."""
    exact: bool
    """Whether float sums are exact in any order."""
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1

    def reachable(self) -> tuple[Int64, Int64]:
        """Bounds of each channel's accumulator."""
        return accumulator_bounds(self.weights, self.source.low, self.source.high, self.padding)


Axes = tuple[str, ...]
"""For each axis after the batch the letters C, H, W that are joined in it, outermost first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stream:
    """An activation of the graph: where its integers come from, and the functions since."""

    value: str
    """Name in the graph."""
    origin: _Sums | None
    """None for the graph's input."""
    steps: tuple[Elementwise | MaxPool, ...]
    axes: Axes
    extent: Mapping[str, int]
    """Of C, H and W."""

    def table_shape(self) -> tuple[int, ...]:
        """Of one channel column a value: the graph's axes, with nothing but channels."""
        return tuple(self.extent["C"] if "C" in axis else 1 for axis in self.axes)

    def image(self, values: Array) -> Array:
        """The graph's (n, …) as (n, height, width, channels)."""
        letters = "".join(self.axes)
        letters += "".join(letter for letter in "CHW" if letter not in letters)  # axes of one
        apart = values.reshape(len(values), *(self.extent[letter] for letter in letters))
        return apart.transpose(0, *(1 + letters.index(letter) for letter in "HWC"))


def import_graph(
    graph: Graph,
    *,
    name: str = "network",
    feed: Feed | None = None,
    images: int = 64,
    seed: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[IntegerNetwork, ImportReport]:
    """The integer network of a graph, and what was found on the way.

    ``feed``: what images hold; bytes that the graph takes divided by 255 if not given. ``images``, ``seed``: random
    images on which network and graph are compared. Raises :class:`ModelError` naming the node that cannot be imported,
    and for a layer of which any reachable accumulator value would be requantised to another integer than the graph's.
    """
    building = _Importing(plan(graph), feed or Feed())
    return building.network(name, images, seed, dict(metadata or {}))


@dataclass
class _Importing:
    plan: Plan
    feed: Feed
    layers: list[Layer] = field(default_factory=list)
    reports: list[LayerReport] = field(default_factory=list)
    streams: dict[str, _Stream] = field(default_factory=dict)
    tensors: dict[str, tuple[_Stream, _Tensor]] = field(default_factory=dict)
    """By the graph's name of the value."""
    input: InputSpec | None = None
    raw: tuple[Axes, dict[str, int]] = ((), {})
    """Axes of the graph's input, and their extent."""

    # The walk

    def network(
        self, name: str, images: int, seed: int, metadata: dict[str, Any]
    ) -> tuple[IntegerNetwork, ImportReport]:
        graph = self.plan.graph
        self.streams[graph.input] = self._raw(graph.shape)
        for step in self.plan.steps:
            try:
                self.streams[step.output] = self._step(step, self.streams[step.source])
            except ModelError as error:
                raise ModelError(f"node {step.node.name!r} ({step.node.op}): {error}") from None
        outputs = [self._output(self.streams[output]) for output in graph.outputs]
        assert self.input is not None  # every layer reads, in the end, the input
        tensors = [tensor for _, tensor in self.tensors.values()]
        largest = max(max(-tensor.low, tensor.high, 1) for tensor in tensors)
        found = IntegerNetwork(
            name=name,
            act_bits=largest.bit_length() + 1,
            input=self.input,
            layers=tuple(self.layers),
            outputs=tuple(tensor.name for tensor, _ in outputs),
            output_scale=tuple(tensor.step for tensor, _ in outputs),
            metadata=metadata | {
                "input_divisor": self.feed.divide,
                "output_offset": [tensor.offset for tensor, _ in outputs],
            },
        )  # fmt: skip
        return found, self._compare(found, outputs, images, seed)

    def _raw(self, shape: tuple[int, ...]) -> _Stream:
        axes: Axes = {2: ("C",), 3: ("C", "W"), 4: ("C", "H", "W")}[len(shape)]
        extent = {"C": 1, "H": 1, "W": 1} | dict(zip(axes, shape[1:], strict=True))
        self.raw = axes, extent
        return _Stream(value=self.plan.graph.input, origin=None, steps=(), axes=axes, extent=extent)

    def _step(self, step: Step, stream: _Stream) -> _Stream:
        match step:
            case Elementwise():
                return dataclasses.replace(stream, value=step.output, steps=(*stream.steps, step))
            case MaxPool():
                return self._pool(step, stream)
            case Reshaped():
                return self._reshape(step, stream)
            case Transposed():
                return self._transpose(step, stream)
            case MatrixProduct() | Convolution():
                return self._sums(step, stream)
        raise AssertionError(step)

    def _rename(self, axes: Axes, extent: dict[str, int]) -> None:
        """Names the axes of the graph's input anew, while nothing has looked at them."""
        self.raw = axes, extent
        name = self.plan.graph.input
        self.streams[name] = dataclasses.replace(self.streams[name], axes=axes, extent=extent)

    def _transpose(self, step: Transposed, stream: _Stream) -> _Stream:
        axes = tuple(stream.axes[k - 1] for k in step.order[1:])
        if self._untouched(stream) and len(axes) == 3:  # channel-last images: what comes first now are channels
            extent = dict(zip(("C", "H", "W"), step.shape[1:], strict=True))
            names = dict(zip(axes, ("C", "H", "W"), strict=True))
            self._rename(tuple(names[axis] for axis in stream.axes), extent)
            return dataclasses.replace(stream, value=step.output, axes=("C", "H", "W"), extent=extent)
        return dataclasses.replace(stream, value=step.output, axes=axes)

    def _untouched(self, stream: _Stream) -> bool:
        """Whether this is the graph's input and nothing else has read it."""
        return stream.value == self.plan.graph.input and len(self.streams) == 1

    def _reshape(self, step: Reshaped, stream: _Stream) -> _Stream:
        shape = step.shape[1:]
        letters = [letter for axis in stream.axes for letter in axis]
        now = [prod(stream.extent[letter] for letter in axis) for axis in stream.axes]
        if list(shape) == now:
            return dataclasses.replace(stream, value=step.output)
        if len(shape) == 1:
            return dataclasses.replace(stream, value=step.output, axes=("".join(letters),))
        flat = stream.extent["H"] == stream.extent["W"] == 1
        if flat and len(shape) == 3 and list(shape[1:]) == [1, 1]:
            return dataclasses.replace(stream, value=step.output, axes=("C", "H", "W"))
        if self._untouched(stream) and len(shape) == 3:
            extent = dict(zip(("C", "H", "W"), shape, strict=True))
            self._rename(("CHW",), extent)
            return dataclasses.replace(stream, value=step.output, axes=("C", "H", "W"), extent=extent)
        raise ModelError(f"it reshapes {now} to {list(shape)}; allowed: flattening, and axes of one")

    def _pool(self, step: MaxPool, stream: _Stream) -> _Stream:
        if stream.axes != ("C", "H", "W"):
            raise ModelError("its activation is not (batch, channels, height, width)")
        if stream.origin is None:
            stream = self._copied(step, stream)
        _, _, height, width = step.shape
        return dataclasses.replace(
            stream, value=step.output, steps=(*stream.steps, step),
            extent={"C": stream.extent["C"], "H": height, "W": width},
        )  # fmt: skip

    def _copied(self, step: Step, stream: _Stream) -> _Stream:
        """The same values as sums of one product each."""
        source = self._tensor(stream)
        channels = source.shape[2]
        sums = _Sums(name=step.node.name, source=source, weights=np.ones((channels, 1, 1, 1), np.int64),
                     scale=np.full(channels, source.step), exact=True, groups=channels)  # fmt: skip
        return dataclasses.replace(stream, origin=sums, steps=())

    # Sums of products

    def _sums(self, step: MatrixProduct | Convolution, stream: _Stream) -> _Stream:
        source = self._tensor(stream)
        height, width, depth = source.shape
        geometry: dict[str, Any] = {}
        if isinstance(step, Convolution):
            if stream.axes != ("C", "H", "W"):
                raise ModelError("its activation is not (batch, channels, height, width)")

            def ordered(weights: Array) -> Array:
                return weights.transpose(0, 2, 3, 1)

            geometry = {"stride": step.strides, "padding": step.pads, "groups": step.group}
            axes: Axes = ("C", "H", "W")
            extent = dict(zip(axes, step.shape[1:], strict=True))
        else:
            letters = stream.axes[0]
            order = [letters.find(letter) for letter in "HWC"]

            def ordered(weights: Array) -> Array:
                apart = weights.reshape(*(stream.extent[letter] for letter in letters), -1)
                outputs = apart.shape[-1]
                rows = np.moveaxis(apart, -1, 0)
                kept = rows.transpose(0, *(1 + k for k in order if k >= 0))
                return kept.reshape(outputs, height, width, depth)

            axes, extent = ("C",), {"C": step.shape[1], "H": 1, "W": 1}
        weights, scale = _integer_weights(ordered(step.weights), None if step.steps is None else ordered(step.steps))
        sums = _Sums(name=step.node.name, source=source, weights=weights, scale=scale * source.step,
                     exact=self._exact(weights, scale, source), **geometry)  # fmt: skip
        return _Stream(value=step.output, origin=sums, steps=(), axes=axes, extent=extent)

    def _exact(self, weights: Int64, scale: Float64, source: _Tensor) -> bool:
        """Whether every product and partial sum is a float: integers this short, times a power of two."""
        largest = np.abs(weights).reshape(len(weights), -1).sum(axis=1) * max(-source.low, source.high)
        bits = [_odd(source.step) * _odd(float(s)) * max(int(n), 1) for s, n in zip(scale, largest, strict=True)]
        return max(bits) < 1 << FLOAT_BITS[np.dtype(self.plan.graph.dtype)]

    # Integer tensors

    def _tensor(self, stream: _Stream) -> _Tensor:
        """The integer tensor of an activation. Raises :class:`ModelError` if it is not quantised."""
        if stream.value not in self.tensors:
            tensor = self._input(stream) if stream.origin is None else self._layer(stream, stream.origin)
            self.tensors[stream.value] = (stream, tensor)
        return self.tensors[stream.value][1]

    def table(self, stream: _Stream, real: Array, steps: tuple[Step, ...]) -> Array:
        """The functions on (values, channels)."""
        table = real.reshape(len(real), *stream.table_shape())
        shape = table.shape
        for step in steps:
            if isinstance(step, Elementwise):
                table = _applied(step, table)
                if table.shape != shape:
                    raise ModelError(
                        f"node {step.node.name!r} ({step.node.op}): its constants vary over pixels; allowed: by channel"
                    )
        return table.reshape(len(real), -1)

    def _input(self, stream: _Stream) -> _Tensor:
        feed, extent = self.feed, stream.extent
        integers = np.arange(feed.low, feed.high + 1)
        real = np.repeat(feed.real(integers, self.plan.graph.dtype)[:, np.newaxis], extent["C"], axis=1)
        table = self.table(stream, real, stream.steps)
        if not np.isfinite(table).all():
            raise ModelError("the input's function gives values that are not finite")
        if (table != table[:, :1]).any():
            raise ModelError("the input is quantised differently by channel; allowed: one function for all")
        last = stream.steps[-1] if stream.steps else None
        step = common_step(table[:, 0], MAX_LEVEL, last.step if isinstance(last, Elementwise) else None)
        if step is None:
            raise ModelError(
                f"the input {feed.low}…{feed.high}, divided by {feed.divide:g}, is not quantised to multiples "
                f"-{MAX_LEVEL}…{MAX_LEVEL} of one step ({len(np.unique(table))} values)"
            )
        levels = np.rint(table[:, 0].astype(np.float64) / step).astype(np.int64)
        if (np.diff(levels) < 0).any():
            raise ModelError("the input's quantiser falls; allowed: rising")
        height, width, channels = extent["H"], extent["W"], extent["C"]
        plain = InputSpec(name="input", shape=(height, width, channels), low=float(feed.low), high=float(feed.high),
                          scale=1.0)  # fmt: skip
        fitted = fit_input(plain, levels, self._slope(stream, real, step))
        if fitted is None:
            raise ModelError(
                "the input's quantiser is not clamp(floor((x - offset) / scale + 1/2)) for any scale and offset"
            )
        if self.input is not None and fitted != self.input:
            raise ModelError("the input is quantised twice, differently; allowed: once")
        self.input = fitted
        return _Tensor(name="input", step=step, offset=0.0, low=int(levels[0]), high=int(levels[-1]),
                       shape=(height, width, channels))  # fmt: skip

    def _slope(self, stream: _Stream, real: Array, step: float) -> tuple[float, float] | None:
        """Scale and offset by what the graph does before its last quantiser, taken for a line."""
        before = self.table(stream, real, stream.steps[:-1])[:, 0].astype(np.float64) / step
        rise = float(before[-1] - before[0]) / (self.feed.high - self.feed.low)
        if not (np.isfinite(rise) and rise > 0):
            return None
        scale = float(np.float32(1 / rise))  # a float's digits: the shortest number of that line
        return scale, float(np.float32(self.feed.low - before[0] / rise))

    def _layer(self, stream: _Stream, sums: _Sums) -> _Tensor:
        values = _Values(self, stream, sums)
        last = stream.steps[-1] if stream.steps else None
        known = last.step if isinstance(last, Elementwise) else None
        step = values.step(known)
        if step is None:
            raise ModelError(
                f"its input {_said(stream.value)!r} is not quantised to multiples -{MAX_LEVEL}…{MAX_LEVEL} of one step"
            )
        return self._fitted(stream, sums, values, step, 0.0)

    def _fitted(self, stream: _Stream, sums: _Sums, values: "_Values", step: float, offset: float) -> _Tensor:
        """A layer that gives ``floor((value - offset) / step + 1/2)``."""
        where = f"layer {sums.name!r}"
        wanted = values.integers(values.table, step, offset)
        columns = [wanted[slice(*values.rows(c)), c].astype(np.int64) for c in range(len(values.lowest))]
        low, high = min(int(c.min()) for c in columns), max(int(c.max()) for c in columns)
        digits = _digits(sums.weights)
        most = MAX_MULTIPLIER // 3 ** (len(digits) - 1)
        signs, channels = [], []
        for c, column in enumerate(columns):
            rises = np.diff(column)
            if (rises < 0).any() and (rises > 0).any():
                raise ModelError(f"{where} channel {c}: its function neither rises nor falls; allowed: one of them")
            falling = bool((rises < 0).any())
            signs.append(-1 if falling else 1)
            lowest = -int(values.highest[c]) if falling else int(values.lowest[c])
            channels.append(fit_channel(column[::-1] if falling else column, lowest, low, high, most=most))
        values.check_pools()
        differing = sum(channel.differing for channel in channels)
        if differing:
            worst = max(range(len(channels)), key=lambda c: channels[c].differing)
            raise ModelError(
                f"{where}: {differing} of {sum(channel.compared for channel in channels)} accumulator values cannot be "
                f"requantised as in the graph (most in channel {worst}: {channels[worst].differing}); thresholds that "
                "are not evenly spaced, such as halves rounded to even, have no multiplier, bias and shift"
            )
        name = self._unique(sums.name)
        self.layers.append(_layer_of(name, sums, digits, np.array(signs), channels, stream, low, high))
        self.reports.append(LayerReport(
            name=name, channels=len(channels), planes=len(digits),
            compared=sum(channel.compared for channel in channels), differing=0,
            undecided=values.undecided(wanted, step, offset),
            lowest=int(values.lowest.min()), highest=int(values.highest.max()),
            weights=sums.weights.size, zeros=int(np.count_nonzero(sums.weights == 0)),
        ))  # fmt: skip
        extent = stream.extent
        return _Tensor(name=name, step=step, offset=offset, low=low, high=high,
                       shape=(extent["H"], extent["W"], extent["C"]))  # fmt: skip

    def _unique(self, name: str) -> str:
        taken = {layer.name for layer in self.layers} | {"input"}
        return next(n for n in _names(name) if n not in taken)

    # Outputs

    def _output(self, stream: _Stream) -> tuple[_Tensor, OutputReport]:
        where = f"output {_said(stream.value)!r}"
        try:
            if stream.origin is None:
                raise ModelError("no layer computes it")
            exact = True
            if stream.value in self.tensors:
                tensor = self.tensors[stream.value][1]
            else:
                values = _Values(self, stream, stream.origin)
                step, offset, exact = values.output_scale(_known(stream))
                tensor = self._fitted(stream, stream.origin, values, step, offset)
                self.tensors[stream.value] = (stream, tensor)
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from None
        return tensor, OutputReport(name=tensor.name, scale=tensor.step, offset=tensor.offset, exact=exact)

    # The comparison

    def _compare(
        self, network: IntegerNetwork, outputs: list[tuple[_Tensor, OutputReport]], images: int, seed: int
    ) -> ImportReport:
        """Holds golden's tensors against the graph's on random images, a part of which have many zeros."""
        from sterna.golden import trace

        rng = np.random.default_rng(seed)
        feed, shape = self.feed, network.input.shape
        compared = differing = same = 0
        largest = max(prod(shape) for shape in self.plan.shapes.values())
        size = max(1, min(64, BATCH_ELEMENTS // largest))
        for at in range(0, images, size):
            batch = rng.integers(feed.low, feed.high + 1, (min(size, images - at), *shape))
            batch[::2] = np.where(rng.random(batch[::2].shape) < 0.8, feed.low, batch[::2])
            found = trace(network, batch)
            wanted = self.plan.evaluate(self.arranged(feed.real(batch, self.plan.graph.dtype)))
            for stream, tensor in self.tensors.values():
                real = stream.image(wanted[stream.value]).astype(np.float64)
                integers = np.clip(np.floor((real - tensor.offset) / tensor.step + 0.5), tensor.low, tensor.high)
                compared += integers.size
                differing += int(np.count_nonzero(integers != found[tensor.name]))
            first = found[network.outputs[0]].reshape(len(batch), -1)
            real = self._of_output(outputs[0][0], wanted).reshape(len(batch), -1)
            same += int(np.count_nonzero(first.argmax(axis=1) == real.argmax(axis=1)))
        report = ImportReport(layers=tuple(self.reports), outputs=tuple(report for _, report in outputs),
                              images=images, compared=compared, differing=differing, same_class=same)  # fmt: skip
        if differing and not report.undecided:
            raise ModelError(f"{differing} of {compared} integers differ from the graph's on {images} random images")
        return report

    def _of_output(self, tensor: _Tensor, wanted: dict[str, Array]) -> Array:
        stream = next(stream for stream, other in self.tensors.values() if other is tensor)
        return stream.image(wanted[stream.value])

    def arranged(self, images: Array) -> Array:
        """(n, height, width, channels) as the graph takes them."""
        letters = "".join(self.raw[0])
        letters += "".join(letter for letter in "CHW" if letter not in letters)
        moved = images.transpose(0, *(1 + "HWC".index(letter) for letter in letters))
        return moved.reshape(len(images), *self.plan.graph.shape[1:])


class _Values:
    """The graph's function of every accumulator value that a layer can reach, channel by channel."""

    def __init__(self, importing: _Importing, stream: _Stream, sums: _Sums) -> None:
        self._importing, self._stream, self._sums = importing, stream, sums
        self.lowest, self.highest = sums.reachable()
        self._first, last = int(self.lowest.min()), int(self.highest.max())
        count = last - self._first + 1
        if count * len(self.lowest) > MAX_VALUES:
            raise ModelError(
                f"accumulators of layer {sums.name!r} reach {self._first}…{last}; at most {MAX_VALUES} values of its "
                f"{len(self.lowest)} channels can be compared"
            )
        self._count = count
        self.table = self._function(0.0, stream.steps)
        for c in range(len(self.lowest)):
            if not np.isfinite(self.table[slice(*self.rows(c)), c]).all():
                raise ModelError(f"layer {sums.name!r} channel {c} gives values that are not finite")

    def rows(self, channel: int) -> tuple[int, int]:
        """Which rows of the table a channel can reach."""
        return int(self.lowest[channel]) - self._first, int(self.highest[channel]) - self._first + 1

    def _function(self, shift: float, steps: tuple[Step, ...]) -> Array:
        """The graph's values; ``shift`` moves every sum, in parts of the channel's largest."""
        largest = np.maximum(np.abs(self.lowest), np.abs(self.highest)) * np.abs(self._sums.scale)
        dtype = self._importing.plan.graph.dtype
        table = np.empty((self._count, len(largest)), dtype)
        for part in self._parts():
            sums = np.arange(self._first + part.start, self._first + part.stop)[:, np.newaxis] * self._sums.scale
            table[part] = self._importing.table(self._stream, (sums + shift * largest).astype(dtype), steps)
        return table

    def _parts(self) -> Iterator[slice]:
        """Rows of the table, so many at a time that temporaries stay small."""
        size = max(1, PART_VALUES // len(self.lowest))
        for at in range(0, self._count, size):
            yield slice(at, min(at + size, self._count))

    def _distinct(self) -> Array:
        found = []
        for c in range(len(self.lowest)):
            column = self.table[slice(*self.rows(c)), c]
            found.append(column[np.flatnonzero(np.diff(column, prepend=np.inf))])
        return np.unique(np.concatenate(found))

    def step(self, known: float | None) -> float | None:
        """The step of which all values are multiples."""
        values = self._distinct()
        return common_step(values, MAX_LEVEL, known) if len(values) <= 2 * MAX_LEVEL + 1 else None

    def integers(self, table: Array, step: float, offset: float) -> npt.NDArray[np.int16]:
        """``floor((value - offset) / step + 1/2)``; rows out of reach are held within the levels."""
        levels = np.empty(table.shape, np.int16)
        for part in self._parts():
            with np.errstate(all="ignore"):
                scaled = np.floor((table[part].astype(np.float64) - offset) / step + 0.5)
            levels[part] = np.clip(np.nan_to_num(scaled), -MAX_LEVEL, MAX_LEVEL)
        return levels

    def undecided(self, wanted: npt.NDArray[np.int16], step: float, offset: float) -> int:
        """Reachable sums whose value another order of additions could change."""
        if self._sums.exact:
            return 0
        error = 4 * 2.0 ** -FLOAT_BITS[np.dtype(self._importing.plan.graph.dtype)]
        other = np.zeros(wanted.shape, np.bool_)
        for shift in (-error, error):
            other |= self.integers(self._function(shift, self._stream.steps), step, offset) != wanted
        return sum(int(np.count_nonzero(other[slice(*self.rows(c)), c])) for c in range(len(self.lowest)))

    def output_scale(self, known: float | None) -> tuple[float, float, bool]:
        """Scale and offset of an output, and whether every value keeps an integer of its own."""
        step = self.step(known)
        if step is not None:
            return step, 0.0, True
        reached = [self.table[slice(*self.rows(c)), c].astype(np.float64) for c in range(len(self.lowest))]
        low, high = min(float(c.min()) for c in reached), max(float(c.max()) for c in reached)
        first, last = int(self.lowest.min()), int(self.highest.max())
        if (self.table == self.table[:, :1]).all() and max(-first, last) <= MAX_LEVEL and first < last:
            column = self.table[:, 0].astype(np.float64)
            step = float(column[-1] - column[0]) / (last - first)
            offset = float(column[0]) - step * first
            line = offset + step * np.arange(first, last + 1)
            if step and (np.abs(column - line) < abs(step) / 8).all():  # the sums themselves, scaled
                return abs(step), offset, True
        return ((high - low) / (2 * MAX_LEVEL) or 1.0), (low + high) / 2, False

    def check_pools(self) -> None:
        """A max-pool before other functions is one after them if they do not fall."""
        at = [k for k, step in enumerate(self._stream.steps) if isinstance(step, MaxPool)]
        if not at or at[0] == len(self._stream.steps) - len(at):
            return
        before = self._function(0.0, self._stream.steps[: at[0]])
        for c in range(len(self.lowest)):
            rows = slice(*self.rows(c))
            order = np.argsort(before[rows, c], kind="stable")
            if (np.diff(self.table[rows, c][order]) < 0).any():
                raise ModelError(
                    f"node {self._stream.steps[at[0]].node.name!r} (MaxPool): what follows it falls in channel {c}; "
                    "allowed: what rises"
                )


def _applied(step: Elementwise, table: Array) -> Array:
    try:
        return step.apply(table)
    except ValueError:  # joined axes: constants by feature do not go with channels
        raise ModelError(
            f"node {step.node.name!r} ({step.node.op}): its constants vary over pixels; allowed: by channel"
        ) from None


def _known(stream: _Stream) -> float | None:
    last = stream.steps[-1] if stream.steps else None
    return last.step if isinstance(last, Elementwise) else None


def _said(value: str) -> str:
    """The graph's name of a value; parts of a node have names of their own behind a line feed."""
    return value.partition("\n")[0]


def _names(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name[:240]}:{number}"
        number += 1


def _odd(value: float) -> int:
    """The odd integer that is left of a float without its powers of two."""
    fraction, _ = np.frexp(abs(value))
    whole = int(fraction * (1 << 53))
    return whole // (whole & -whole) if whole else 1


def _integer_weights(weights: Array, steps: Array | None) -> tuple[Int64, Float64]:
    """Integers and the step of each output: ``weights`` (out, …). Raises :class:`ModelError` if there are none."""
    integers = np.zeros(weights.shape, np.int64)
    scale = np.ones(len(weights))
    for c, row in enumerate(weights.astype(np.float64)):
        known = None
        if steps is not None and (steps[c] == steps[c].flat[0]).all():
            known = float(steps[c].flat[0])
        step = common_step(row, MAX_WEIGHT, known)
        if step is None:
            raise ModelError(
                f"its weights of output {c} are not integers -{MAX_WEIGHT}…{MAX_WEIGHT} times one step "
                f"({MAX_DIGITS} balanced-ternary digits); allowed: quantised weights, scaled by output"
            )
        scale[c] = step
        integers[c] = np.rint(row / step)
    return integers, scale


def _digits(weights: Int64) -> list[npt.NDArray[np.int8]]:
    """Balanced-ternary digits, the lowest first: ``weights = Σ 3^i · digit_i``."""
    digits: list[npt.NDArray[np.int8]] = []
    rest = weights.copy()
    while not digits or rest.any():
        digit = (rest + 1) % 3 - 1
        digits.append(digit.astype(np.int8))
        rest = (rest - digit) // 3
    return digits


def _layer_of(
    name: str,
    sums: _Sums,
    digits: list[npt.NDArray[np.int8]],
    signs: Int64,
    channels: list[Channel],
    stream: _Stream,
    low: int,
    high: int,
) -> Layer:
    """Planes of the digits; a falling channel has its trits turned round."""
    multiplier = np.array([channel.multiplier for channel in channels], np.int64)
    turn = signs.astype(np.int8)[:, np.newaxis, np.newaxis, np.newaxis]
    pools = [step.kernel for step in stream.steps if isinstance(step, MaxPool)]
    return Layer(
        name=name,
        planes=tuple(
            Plane(
                source=sums.source.name,
                trits=np.ascontiguousarray(digit * turn),
                multiplier=multiplier * 3**k,
                stride=sums.stride,
                padding=sums.padding,
                groups=sums.groups,
            )
            for k, digit in enumerate(digits)
        ),
        bias=np.array([channel.bias for channel in channels], np.int64),
        shift=np.array([channel.shift for channel in channels], np.int64),
        minimum=low,
        maximum=high,
        pool=(prod(height for height, _ in pools), prod(width for _, width in pools)),
    )
