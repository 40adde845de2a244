"""Random networks for benches: no training, every value in reach of the requantiser, nothing that shrinks."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.compiler.compile import fit_report
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OP_WORDS, PLANE_WORDS
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane, Shape


def random_widths(rng: np.random.Generator, *, widest: int = 70, layers: int = 3) -> tuple[int, ...]:
    """Widths of a chain of 1…``layers`` dense layers, 1…``widest`` each."""
    return tuple(int(width) for width in rng.integers(1, widest + 1, rng.integers(2, layers + 2)))


def random_dense(
    seed: int | np.random.Generator,
    widths: tuple[int, ...],
    *,
    act_bits: int = 8,
    block: int = 8,
    density: float = 0.5,
) -> IntegerNetwork:
    """A network of dense layers, ``widths[0]`` inputs to ``widths[-1]`` outputs.

    Blocks of ``block`` outputs by one input are left all zero except for a share ``density``. Slopes are such that
    outputs spread over the range of the activations and some saturate; hidden layers clamp at zero like a ReLU.
    """
    rng = np.random.default_rng(seed)
    limit = max_activation(act_bits)
    layers = []
    source, spread = "input", limit / 2
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        trits = rng.integers(-1, 2, (outputs, inputs)).astype(np.int8)
        kept = rng.random((-(-outputs // block), inputs)) < density
        trits *= np.repeat(kept, block, axis=0)[:outputs]
        deviation = spread * np.sqrt(max(1.0, inputs * density * 2 / 3))
        shift = rng.integers(12, 20, outputs)
        slope = limit / 2 / deviation * rng.uniform(0.5, 2.0, outputs)
        multiplier = np.clip(np.round(slope * 2.0**shift), 1, 65535).astype(np.int64)
        bias = (rng.integers(-limit // 4, limit // 4 + 1, outputs) << shift) + (1 << (shift - 1))
        last = index == len(widths) - 2
        layers.append(Layer(
            name=f"layer{index}",
            planes=(Plane(source=source, trits=trits.reshape(outputs, 1, 1, inputs), multiplier=multiplier),),
            bias=bias.astype(np.int64), shift=shift.astype(np.int64),
            minimum=-limit if last else 0, maximum=limit,
        ))  # fmt: skip
        source, spread = f"layer{index}", limit / 3
    return IntegerNetwork(
        name="random", act_bits=act_bits,
        input=InputSpec(name="input", shape=(1, 1, widths[0]), low=-limit, high=limit, scale=1.0),
        layers=tuple(layers), outputs=(source,), output_scale=(1.0,), metadata={},
    )  # fmt: skip


def random_images(rng: np.random.Generator, network: IntegerNetwork, count: int) -> npt.NDArray[np.int64]:
    """int64 (count, inputs) in the network's range, about half of them zero."""
    size = int(np.prod(network.input.shape))
    images = rng.integers(int(network.input.low), int(network.input.high) + 1, (count, size))
    return images * (rng.random(images.shape) < 0.5)


KINDS = ("conv", "grouped", "depthwise", "digits", "residual", "sources", "average", "dense")
"""Kinds of layers: one plane; groups; as many groups as channels; planes of one source; a convolution and what it
skips; planes of several sources; average pooling; a fully connected layer. Any but the last may be max-pooled."""
OVERLAID = ("max-pooled",)
"""What a layer of any kind but dense may be besides."""
DIGITS = 5
TIGHT = 100
"""A configuration with fewer blocks a bank has networks that it cannot hold at once."""


def random_network(
    rng: np.random.Generator, configuration: Configuration, *, layers: int = 5, kinds: tuple[str, ...] = KINDS
) -> IntegerNetwork:
    """A small network of 1…``layers`` layers of these kinds that fits the configuration, all sums included. If that has
    little memory for weights, some have to be streamed, and layers may be too large to fit alone.

    Kernels of 1…7, strides of 1…4, any padding, inputs of 1…3 channels now and then, ReLU, clamped and ternary
    activations, one or two outputs.
    """
    limit = max_activation(configuration.act_bits)
    tight = configuration.weight_depth < TIGHT
    room = _Room(configuration, parts=2 if tight else 1)
    while True:
        shape = (int(rng.integers(1, 10)), int(rng.integers(1, 10)), int(rng.choice([1, 2, 3, 4, 8])))
        if room.takes_tensor(shape):
            break
    spec = InputSpec(name="input", shape=shape, low=-limit * int(rng.integers(2)), high=limit, scale=1.0)
    shapes = {spec.name: shape}
    chain: list[Layer] = []
    for _ in range(int(rng.integers(1, layers + 1))):
        for _ in range(50):
            kind = str(rng.choice(kinds))
            if kind == "dense" and len(kinds) > 1 and rng.random() < 0.7:
                continue  # what follows has but one pixel
            name = f"{kind}{len(chain)}"
            planes = _random_planes(rng, kind, shapes, configuration)
            height, width = _extent(shapes[planes[0].source], planes[0])
            if min(height, width) < 1:
                continue
            pool = (1, 1)
            if kind != "dense" and rng.random() < 0.3:
                pool = min(height, int(rng.integers(1, 4))), min(width, int(rng.integers(1, 4)))
            shape = height // pool[0], width // pool[1], len(planes[0].trits)
            if room.takes(planes, shapes, (height, width), shape, pool):
                chain.append(_random_layer(rng, name, planes, limit, pool))
                shapes[name] = shape
                break
    if not chain:
        return random_network(rng, configuration, layers=layers, kinds=kinds)
    outputs = [chain[-1].name]
    if len(chain) > 1 and rng.random() < 0.3:
        outputs.append(chain[int(rng.integers(len(chain) - 1))].name)
    network = IntegerNetwork(
        name="random", act_bits=configuration.act_bits, input=spec, layers=tuple(chain), outputs=tuple(outputs),
        output_scale=(1.0,) * len(outputs), metadata={},
    )  # fmt: skip
    if tight and not fit_report(network, configuration).fits:  # parts take program words
        return random_network(rng, configuration, layers=layers, kinds=kinds)
    return network


@dataclass
class _Room:
    """What a layer may take of a configuration's memories, and what is left of the program's; counts high."""

    configuration: Configuration
    parts: int
    """How many times a memory a layer may take."""
    program: int = 0

    def takes_tensor(self, shape: Shape, border: int = 0) -> bool:
        """Whether a dozen tensors of its size would fit: both slots' input and outputs, and what lives between."""
        height, width, channels = shape
        pixel = -(-channels // self.configuration.simd)
        words = (height + 2 * border) * (width + 2 * border) * pixel + CHUNK
        return 12 * words <= self.configuration.activation_depth

    def takes(
        self,
        planes: list[Plane],
        shapes: dict[str, Shape],
        extent: tuple[int, int],
        shape: Shape,
        pool: tuple[int, int],
    ) -> bool:
        """Takes a layer, if it fits."""
        c = self.configuration
        stored = -(-shape[2] // c.simd) * c.simd  # channels with those that fill a word
        tiles = -(-stored // c.pe)
        parameters = tiles * len(planes) * c.pe // c.requantisers
        program = self.program + OP_WORDS + PLANE_WORDS * len(planes)
        weights = masks = largest = 0
        for plane in planes:
            _, rows, columns, inputs = plane.trits.shape
            depth = shapes[plane.source][2]
            phases = 1 if depth % c.simd == 0 else c.simd
            positions = -(-depth // c.simd) * (columns + max(plane.padding)) + 1
            weights += tiles * phases * rows * positions
            masks += tiles * phases * rows * -(-positions // CHUNK)
            largest = max(largest, rows * columns * inputs)
            border = max(*plane.padding, rows, columns) if any(plane.padding) else 0
            if not self.takes_tensor(shapes[plane.source], border):
                return False
        fits = (
            weights <= self.parts * c.weight_depth
            and masks <= self.parts * c.mask_depth
            and parameters <= self.parts * c.parameter_depth
            and program <= c.program_depth
            and extent[1] // pool[1] * stored // c.requantisers <= c.pool_depth
            and largest * max_activation(c.act_bits) < 1 << (c.acc_bits - 1)
            and self.takes_tensor(shape)
            and self.takes_tensor((*extent, 1))
        )
        if fits:
            self.program = program
        return fits


def _random_planes(
    rng: np.random.Generator, kind: str, shapes: dict[str, Shape], configuration: Configuration
) -> list[Plane]:
    """Planes of one kind of layer over some of the tensors, the last one most of the time. They may not fit."""
    names = list(shapes)
    source = names[-1] if rng.random() < 0.7 else str(rng.choice(names))
    height, width, depth = shapes[source]
    top = (1 << 14) // DIGITS
    channels = int(rng.integers(1, min(20, 2 * configuration.pe) + 1))

    def plane(source: str, kernel: tuple[int, int], channels: int, groups: int = 1, **geometry: Any) -> Plane:
        trits = rng.integers(-1, 2, (channels, *kernel, shapes[source][2] // groups)).astype(np.int8)
        kept = rng.random((-(-channels // 4), *trits.shape[1:])) < rng.choice([0.1, 0.5, 1])
        trits *= np.repeat(kept, 4, axis=0)[:channels]
        multiplier = rng.integers(top // 2, top, channels)
        return Plane(source=source, trits=trits, multiplier=multiplier, groups=groups, **geometry)

    if kind == "dense":
        return [plane(source, (height, width), channels)]
    if kind == "average":
        kernel = min(height, int(rng.integers(1, 4))), min(width, int(rng.integers(1, 4)))
        # Every mean has the same multiplier; the shift is chosen as for any other layer.
        mean = np.full(depth, round(top / (kernel[0] * kernel[1])), np.int64)
        return [
            Plane(
                source=source, trits=np.ones((depth, *kernel, 1), np.int8), multiplier=mean, stride=kernel, groups=depth
            )
        ]

    kernel = int(rng.integers(1, 8)), int(rng.integers(1, 8))
    if rng.random() < 0.5:
        kernel = min(kernel[0], 3), min(kernel[1], 3)
    same = kind == "residual"
    stride = (1, 1) if same or rng.random() < 0.5 else (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    if same:
        pads = (kernel[0] - 1) // 2, kernel[0] // 2, (kernel[1] - 1) // 2, kernel[1] // 2
    else:
        top_left = int(rng.integers(0, kernel[0] + 1)), int(rng.integers(0, kernel[1] + 1))
        bottom_right = int(rng.integers(0, kernel[0] + 1)), int(rng.integers(0, kernel[1] + 1))
        pads = top_left[0], bottom_right[0], top_left[1], bottom_right[1]
        if rng.random() < 0.3:
            pads = 0, 0, 0, 0
    geometry: dict[str, Any] = {"stride": stride, "padding": pads}
    if kind == "depthwise":
        return [plane(source, kernel, depth * int(rng.integers(1, 3)), depth, **geometry)]
    if kind == "grouped":
        groups = int(rng.choice([g for g in range(1, depth + 1) if depth % g == 0][-2:]))
        return [plane(source, kernel, groups * int(rng.integers(1, 5)), groups, **geometry)]
    if kind == "digits":
        digits = [plane(source, kernel, channels, **geometry) for _ in range(int(rng.integers(2, DIGITS + 1)))]
        return [
            Plane(source=source, trits=each.trits, multiplier=3**k * (each.multiplier // 121), **geometry)
            for k, each in enumerate(digits)
        ]
    first = plane(source, kernel, depth if same else channels, **geometry)
    if same:
        identity = np.eye(depth, dtype=np.int8)[:, np.newaxis, np.newaxis]
        skips = [name for name, shape in shapes.items() if shape == (height, width, depth)]
        skip = Plane(source=str(rng.choice(skips)), trits=identity, multiplier=rng.integers(1, top, depth))
        return [first, skip] if rng.random() < 0.5 else [skip, first]
    if kind == "sources":
        # A window over another tensor that gives the same pixels.
        others = [first]
        extent = _extent(shapes[source], first)
        for name, (rows, columns, _) in shapes.items():
            if len(others) < DIGITS and min(extent) >= 1 and rows >= extent[0] and columns >= extent[1]:
                window = rows - extent[0] + 1, columns - extent[1] + 1
                if max(window) <= 7:
                    others.append(plane(name, window, channels))
        return others
    return [first]


def _random_layer(rng: np.random.Generator, name: str, planes: list[Plane], limit: int, pool: tuple[int, int]) -> Layer:
    """Bias and shift are such that the results neither vanish nor all saturate."""
    spread = sum(p.multiplier * (1 + np.sqrt(np.abs(p.trits).sum(axis=(1, 2, 3)))) for p in planes) * limit
    shift = np.floor(np.log2(np.maximum(spread / limit, 1))).astype(np.int64)
    clamps = [(-limit, limit), (0, limit), (-1, 1), (-limit // 2, limit // 2)]
    minimum, maximum = clamps[int(rng.choice(len(clamps), p=[0.3, 0.5, 0.1, 0.1]))]
    bias = np.rint(rng.uniform(-0.5, 0.5, len(shift)) * spread).astype(np.int64)
    return Layer(
        name=name,
        planes=tuple(planes),
        bias=bias,
        shift=shift,
        minimum=max(minimum, -limit),
        maximum=maximum,
        pool=pool,
    )


def _extent(shape: Shape, plane: Plane) -> tuple[int, int]:
    """Height and width that a plane gives, before pooling."""
    top, bottom, left, right = plane.padding
    _, kernel_height, kernel_width, _ = plane.trits.shape
    return (
        (shape[0] + top + bottom - kernel_height) // plane.stride[0] + 1,
        (shape[1] + left + right - kernel_width) // plane.stride[1] + 1,
    )
