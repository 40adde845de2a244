"""Reads a float model as a graph of layers, each a sum of terms: what the integer network will be.

``torch.fx`` follows one tensor through the model's ``forward`` symbolically. A value on the way is *finished*, tensors
that later layers read, side by side along the channels, or *open*, a layer that may still take a BatchNorm, another
term, a ReLU or a max-pooling. An open layer is closed, which is where it is quantised, by whatever else reads it, or by
several readers. What an open layer cannot take any more goes into a layer of its own, with an identity as its weights.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from sterna.quant.layers import BatchNorm, FloatLayer, FloatTerm
from sterna.quant.window import Window
from sterna.spec.errors import ModelError
from sterna.spec.network import InputSpec, Shape

SUPPORTED = (
    "Linear", "Conv2d", "BatchNorm1d", "BatchNorm2d", "ReLU", "Hardtanh", "MaxPool2d", "AvgPool2d",
    "AdaptiveAvgPool2d(1)", "Flatten", "Identity", "Sequential", "+", "torch.cat", "torch.flatten", "torch.relu",
    "mean over both image axes",
)  # fmt: skip
"""What a float model may be made of, in modules of any kind whose ``forward`` can be traced."""


@dataclass
class _Open:
    """A layer that is not closed yet."""

    kind: str
    terms: tuple[FloatTerm, ...]
    shape: Shape
    """As its terms give it."""
    flat: bool
    relu: bool = False
    clamp: float = math.inf
    pool: tuple[int, int] = (1, 1)


@dataclass
class _Finished:
    """Tensors side by side along the channels (or, flattened, one after the other)."""

    parts: tuple[tuple[str, Shape], ...]
    flat: bool

    @property
    def shape(self) -> Shape:
        height, width, _ = self.parts[0][1]
        return height, width, sum(shape[2] for _, shape in self.parts)


_Value = _Open | _Finished


def float_layers(model: nn.Module, input: InputSpec) -> tuple[tuple[FloatLayer, ...], tuple[str, ...]]:
    """The model's layers, in an order in which they can be computed, and the names of its outputs.

    ``model``: takes images as torch does, (n, channels, height, width), or, if its first layer is a Linear, flat ones
    in channel-last order; float32. Raises :class:`ModelError` for what is not supported, by path and kind.
    """
    _require_float32(model)
    if type(model).__module__.startswith("torch.nn.") and type(model) is not nn.Sequential:
        model = nn.Sequential(model)
    try:
        graph = fx.Tracer().trace(model)
    except fx.proxy.TraceError as error:
        raise ModelError(f"the model's forward cannot be traced: {' '.join(str(error).split())}") from error
    return _Reader(model, input).read(graph)


class _Reader:
    def __init__(self, model: nn.Module, input: InputSpec) -> None:
        self.modules = dict(model.named_modules())
        self.input = input
        self.layers: list[FloatLayer] = []
        self.values: dict[fx.Node, _Value] = {}
        self.seen: set[nn.Module] = set()

    def read(self, graph: fx.Graph) -> tuple[tuple[FloatLayer, ...], tuple[str, ...]]:
        """Node by node."""
        given = [node for node in graph.nodes if node.op == "placeholder"]
        if len(given) != 1:
            raise ModelError(f"the model takes {len(given)} tensors; supported: one")
        outputs: tuple[str, ...] = ()
        for node in graph.nodes:
            if node.op == "placeholder":
                self.values[node] = _Finished(((self.input.name, self.input.shape),), flat=False)
            elif node.op == "output":
                returned = node.args[0]
                nodes = returned if isinstance(returned, tuple | list) else (returned,)
                outputs = tuple(self._output(each) for each in nodes)
            elif node.users:
                value = self._value(node)
                if isinstance(value, _Open) and len(node.users) > 1:
                    value = self._close(value)
                self.values[node] = value
        if not any(layer.trained for layer in self.layers):
            raise ModelError("the model has no Linear or Conv2d layer")
        return tuple(self.layers), outputs

    def _output(self, node: Any) -> str:
        if not isinstance(node, fx.Node):
            kind = type(node).__name__.removeprefix("immutable_")
            raise ModelError(f"the model returns a {kind}; supported: a tensor, or a tuple or list of them")
        finished = self._close(self.values[node])
        if len(finished.parts) > 1 or finished.parts[0][0] == self.input.name:
            finished = self._close(self._identity(finished, "concat"))
        return finished.parts[0][0]

    def _value(self, node: fx.Node) -> _Value:
        if node.op == "call_module":
            module, path = self.modules[str(node.target)], str(node.target)
            for kind, read in _MODULES.items():
                if type(module) is kind:
                    where = f"{path} ({kind.__name__})"
                    if next(module.parameters(), None) is not None and module in self.seen:
                        raise ModelError(f"{where} is used twice; every use needs weights of its own")
                    self.seen.add(module)
                    value = read(self, self._source(node, where), module, where)
                    return self._named(value, path) if isinstance(value, _Open) else value
            raise _refusal(f"{path} is a {type(module).__name__}")
        if node.op in ("call_function", "call_method"):
            read_function = _FUNCTIONS.get(node.target) or _FUNCTIONS.get(str(node.target))
            if read_function is not None:
                return read_function(self, node)
            raise _refusal(f"{node.name} is a call of {getattr(node.target, '__name__', node.target)}")
        path, _, name = str(node.target).rpartition(".")
        if not path:
            raise _refusal(f"{name} is a tensor of the model itself")
        raise _refusal(f"{path} is a {type(self.modules[path]).__name__} that computes with its own tensor {name!r}")

    @staticmethod
    def _named(value: _Open, path: str) -> _Open:
        """Gives the path to the terms that have none."""
        return replace(value, terms=tuple(replace(t, path=t.path or path) for t in value.terms))

    def _source(self, node: fx.Node, where: str, at: int = 0) -> _Value:
        if len(node.args) <= at or not isinstance(node.args[at], fx.Node):
            raise ModelError(f"{where} must take a tensor of the model first, not {node.args[at : at + 1]}")
        return self.values[node.args[at]]  # type: ignore[index]

    def _close(self, value: _Value) -> _Finished:
        """Gives an open layer its name."""
        if isinstance(value, _Finished):
            return value
        height, width, channels = value.shape
        shape = height // value.pool[0], width // value.pool[1], channels
        name = f"{value.kind}{len(self.layers)}"
        self.layers.append(
            FloatLayer(name=name, terms=value.terms, relu=value.relu, clamp=value.clamp, pool=value.pool)
        )
        return _Finished(((name, shape),), value.flat)

    @staticmethod
    def _fixed(
        value: _Finished, kind: str, scale: float, kernel: tuple[int, int], stride: tuple[int, int],
        padding: tuple[int, int, int, int],
    ) -> _Open:  # fmt: skip
        """Every channel by itself: the sum of each window, times ``scale``."""
        channels = value.shape[2]
        windows, weights = [], []
        first = 0
        for name, shape in value.parts:
            alone = len(value.parts) == 1
            window = Window(
                source=name, shape=shape, out=channels, kernel=kernel, stride=stride, padding=padding,
                groups=channels if alone else 1,
            )  # fmt: skip
            columns = torch.ones(channels, 1) if alone else torch.eye(channels)[:, first : first + shape[2]]
            windows.append(window)
            weights.append(columns.repeat(1, prod(kernel)))
            first += shape[2]
        term = FloatTerm(windows=tuple(windows), weight=torch.cat(weights, 1), scale=scale)
        return _Open(kind, (term,), (*windows[0].extent, channels), value.flat)

    def _identity(self, value: _Finished, kind: str) -> _Open:
        if len({shape[:2] for _, shape in value.parts}) > 1:
            raise ModelError(
                f"{' and '.join(n for n, _ in value.parts)}, flattened side by side, can only be multiplied"
            )
        return self._fixed(value, kind, 1.0, (1, 1), (1, 1), (0, 0, 0, 0))

    def _open(self, value: _Value, kind: str) -> _Open:
        """The open layer if it is one, else one that only reads the value."""
        return value if isinstance(value, _Open) else self._identity(value, kind)

    def linear(self, value: _Value, module: nn.Linear, where: str) -> _Value:
        source = self._close(value)
        if not source.flat and source.parts[0][0] != self.input.name and source.shape[:2] != (1, 1):
            raise ModelError(f"{where} takes features; flatten the {source.shape[0]}×{source.shape[1]} pixels first")
        features = sum(prod(shape) for _, shape in source.parts)
        if features != module.in_features:
            raise ModelError(f"{where} takes {module.in_features} features, but gets {features}")
        windows, weights = [], []
        columns = module.weight.detach().split(  # type: ignore[no-untyped-call]
            [prod(shape) for _, shape in source.parts], dim=1
        )
        for (name, shape), part in zip(source.parts, columns, strict=True):
            height, width, channels = shape
            if source.flat:  # torch flattens channels first
                part = part.reshape(-1, channels, height, width).permute(0, 2, 3, 1).flatten(1)
            windows.append(Window(source=name, shape=shape, out=module.out_features, kernel=(height, width)))
            weights.append(part)
        term = FloatTerm(windows=tuple(windows), weight=torch.cat(weights, 1), bias=module.bias)
        return _Open("dense", (term,), (1, 1, module.out_features), flat=True)

    def conv(self, value: _Value, module: nn.Conv2d, where: str) -> _Value:
        source = self._maps(value, where)
        if module.dilation != (1, 1) or module.padding_mode != "zeros":
            raise ModelError(
                f"{where} has dilation {module.dilation} and {module.padding_mode} padding; supported: (1, 1) and zeros"
            )
        if module.in_channels != source.shape[2]:
            raise ModelError(f"{where} takes {module.in_channels} channels, but gets {source.shape[2]}")
        if module.groups > 1 and len(source.parts) > 1:
            source = self._close(self._identity(source, "concat"))
        kernel = module.kernel_size[0], module.kernel_size[1]
        windows = tuple(
            Window(
                source=name, shape=shape, out=module.out_channels, kernel=kernel,
                stride=(module.stride[0], module.stride[1]), padding=_padding(module), groups=module.groups,
            )
            for name, shape in source.parts
        )  # fmt: skip
        _require_fitting(windows[0], where)
        weight = module.weight.detach().permute(0, 2, 3, 1)  # (out, rows, columns, in / groups)
        parts = weight.split([window.inputs for window in windows], dim=3)  # type: ignore[no-untyped-call]
        term = FloatTerm(
            windows=windows, weight=torch.cat([part.flatten(1) for part in parts], 1), bias=module.bias
        )  # fmt: skip
        return _Open("conv", (term,), (*windows[0].extent, module.out_channels), flat=False)

    def norm(self, value: _Value, module: BatchNorm, where: str) -> _Value:
        if not isinstance(value, _Open) or len(value.terms) > 1 or value.terms[0].norm or _is_ended(value):
            value = self._identity(self._close(value), "norm")
        _require_kind(value, flat=isinstance(module, nn.BatchNorm1d), where=where)
        channels = value.shape[2]
        if value.flat and value.shape[:2] != (1, 1):
            raise ModelError(f"{where} normalises features by themselves; put a BatchNorm2d before the Flatten")
        if not (module.affine and module.track_running_stats and module.num_features == channels):
            raise ModelError(f"{where} must be affine, keep running statistics and have {channels} features")
        return replace(value, terms=(replace(value.terms[0], norm=module),))

    def relu(self, value: _Value, where: str) -> _Value:
        opened = self._open(value, "relu")
        return replace(opened, relu=True)  # commutes with max-pooling and clamping

    def hardtanh(self, value: _Value, module: nn.Hardtanh, where: str) -> _Value:
        if module.min_val != -module.max_val:
            raise ModelError(
                f"{where} reaches from {module.min_val} to {module.max_val}; supported: the same both ways"
            )
        opened = self._open(value, "clamp")
        return replace(opened, clamp=min(opened.clamp, module.max_val))

    def max_pool(self, value: _Value, module: nn.MaxPool2d, where: str) -> _Value:
        kernel, stride = _pair(module.kernel_size), _pair(module.stride or module.kernel_size)
        plain = _pair(module.padding) == (0, 0) and _pair(module.dilation) == (1, 1)
        if kernel != stride or not plain or module.ceil_mode or module.return_indices:
            raise ModelError(f"{where} must have its kernel as stride, no padding, dilation, ceil_mode or indices")
        self._maps(value, where, close=False)
        opened = self._open(value, "pool")
        if opened.pool != (1, 1):
            opened = self._identity(self._close(opened), "pool")
        height, width, _ = opened.shape
        if kernel[0] > height or kernel[1] > width:
            raise ModelError(f"{where} pools {kernel[0]}×{kernel[1]} of {height}×{width} pixels")
        return replace(opened, pool=kernel)

    def average_pool(self, value: _Value, module: nn.AvgPool2d, where: str) -> _Value:
        source = self._maps(value, where)
        rows, columns = _pair(module.padding)
        counted = module.count_include_pad or (rows, columns) == (0, 0)
        if module.ceil_mode or module.divisor_override is not None or not counted:
            raise ModelError(f"{where} must not have ceil_mode or divisor_override, and count its padding")
        kernel, stride = _pair(module.kernel_size), _pair(module.stride or module.kernel_size)
        opened = self._fixed(source, "average", 1 / prod(kernel), kernel, stride, (rows, rows, columns, columns))
        _require_fitting(opened.terms[0].windows[0], where)
        return opened

    def adaptive_average_pool(self, value: _Value, module: nn.AdaptiveAvgPool2d, where: str) -> _Value:
        if module.output_size not in (1, (1, 1), [1, 1]):
            raise ModelError(f"{where} gives {module.output_size} pixels; supported: 1")
        return self.mean(value, where)

    def mean(self, value: _Value, where: str) -> _Open:
        source = self._maps(value, where)
        size = source.shape[:2]
        return self._fixed(source, "average", 1 / prod(size), size, (1, 1), (0, 0, 0, 0))

    def flatten(self, value: _Value, module: nn.Flatten, where: str) -> _Value:
        if (module.start_dim, module.end_dim) != (1, -1):
            raise ModelError(f"{where} must flatten all but the batch")
        return replace(value, flat=True)

    def added(self, node: fx.Node) -> _Value:
        where = f"{node.name} (+)"
        if node.kwargs:
            raise ModelError(f"{where} has the options {', '.join(node.kwargs)}; supported: none")
        terms: tuple[FloatTerm, ...] = ()
        kind, shapes = "add", []
        for at in (0, 1):
            value = self._source(node, where, at)
            if isinstance(value, _Open) and _is_ended(value):
                value = self._close(value)
            opened = self._open(value, "add")
            if opened.kind in ("conv", "dense"):
                kind = opened.kind
            terms += self._named(opened, node.name).terms
            shapes.append((opened.shape, opened.flat))
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"{where} takes tensors of shapes {shapes[0][0]} and {shapes[1][0]}; they must be the same"
            )
        return _Open(kind, terms, *shapes[0])

    def concatenated(self, node: fx.Node) -> _Value:
        where = f"{node.name} (torch.cat)"
        listed = node.args[0] if node.args else node.kwargs.get("tensors")
        axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        if axis != 1 or not isinstance(listed, tuple | list) or not listed:
            raise ModelError(f"{where} must be over the channels, dim=1, of a list of tensors")
        values = [self._close(self.values[each]) for each in listed if isinstance(each, fx.Node)]
        flat = values[0].flat
        if any(value.flat != flat for value in values):
            raise ModelError(f"{where} mixes flattened tensors with feature maps")
        if not flat and len({value.shape[:2] for value in values}) > 1:
            raise ModelError(f"{where} takes tensors of different heights or widths")
        return _Finished(tuple(part for value in values for part in value.parts), flat)

    def mean_function(self, node: fx.Node) -> _Value:
        where = f"{node.name} (mean)"
        axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        keep = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
        if not isinstance(axes, tuple | list) or sorted(a % 4 for a in axes if isinstance(a, int)) != [2, 3]:
            raise ModelError(f"{where} must be over both image axes, (2, 3)")
        return self._named(replace(self.mean(self._source(node, where), where), flat=not keep), node.name)

    def flatten_function(self, node: fx.Node) -> _Value:
        where = f"{node.name} (flatten)"
        start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
        end = node.args[2] if len(node.args) > 2 else node.kwargs.get("end_dim", -1)
        return self.flatten(self._source(node, where), nn.Flatten(start, end), where)  # type: ignore[arg-type]

    def relu_function(self, node: fx.Node) -> _Value:
        value = self.relu(self._source(node, node.name), node.name)
        return self._named(value, node.name) if isinstance(value, _Open) else value

    def _maps(self, value: _Value, where: str, *, close: bool = True) -> _Finished:
        """The value closed, if it is feature maps."""
        _require_kind(value, flat=False, where=where)
        return self._close(value) if close or isinstance(value, _Finished) else _Finished((), flat=False)


def _refusal(what: str) -> ModelError:
    return ModelError(f"{what}, which is not supported; supported: {', '.join(SUPPORTED)}")


def _require_float32(model: nn.Module) -> None:
    """Counters, such as BatchNorm's, may be integers."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        real = tensor.is_floating_point() or tensor.is_complex() or isinstance(tensor, nn.Parameter)
        if real and tensor.dtype != torch.float32:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(f"{name} is {kind}; supported: float32, which `model.float()` makes of it")


def _is_ended(value: _Open) -> bool:
    """Whether something stands between the layer's sum and its tensor."""
    return value.relu or value.clamp < math.inf or value.pool != (1, 1)


def _require_kind(value: _Value, *, flat: bool, where: str) -> None:
    if value.flat != flat:
        found = "flattened features" if value.flat else "feature maps"
        raise ModelError(f"{where} does not take {found}")


def _require_fitting(window: Window, where: str) -> None:
    if min(window.extent) < 1:
        raise ModelError(f"{where} has a window of {window.kernel}, larger than its padded source of {window.shape}")


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return first, second


def _padding(module: nn.Conv2d) -> tuple[int, int, int, int]:
    """Top, bottom, left, right."""
    if module.padding == "valid":
        return 0, 0, 0, 0
    if module.padding == "same":  # what is odd goes to the end, as torch does
        rows, columns = (size - 1 for size in module.kernel_size)
        return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
    rows, columns = _pair(module.padding)
    return rows, rows, columns, columns


_MODULES: dict[type[nn.Module], Callable[[_Reader, _Value, Any, str], _Value]] = {
    nn.Linear: _Reader.linear,
    nn.Conv2d: _Reader.conv,
    nn.BatchNorm1d: _Reader.norm,
    nn.BatchNorm2d: _Reader.norm,
    nn.ReLU: lambda reader, value, _, where: reader.relu(value, where),
    nn.Hardtanh: _Reader.hardtanh,
    nn.MaxPool2d: _Reader.max_pool,
    nn.AvgPool2d: _Reader.average_pool,
    nn.AdaptiveAvgPool2d: _Reader.adaptive_average_pool,
    nn.Flatten: _Reader.flatten,
    nn.Identity: lambda _reader, value, _module, _where: value,
}

_FUNCTIONS: dict[Any, Callable[[_Reader, fx.Node], _Value]] = {
    operator.add: _Reader.added,
    operator.iadd: _Reader.added,
    torch.add: _Reader.added,
    "add": _Reader.added,
    "add_": _Reader.added,
    torch.cat: _Reader.concatenated,
    torch.concat: _Reader.concatenated,
    torch.flatten: _Reader.flatten_function,
    "flatten": _Reader.flatten_function,
    torch.relu: _Reader.relu_function,
    functional.relu: _Reader.relu_function,
    "relu": _Reader.relu_function,
    "relu_": _Reader.relu_function,
    torch.mean: _Reader.mean_function,
    "mean": _Reader.mean_function,
}
