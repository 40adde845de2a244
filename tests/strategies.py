"""Hypothesis strategies that several packages' tests share: random integer networks and images for them.

The arrays come from a seeded generator, so that drawing stays fast; what shrinks is the structure.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from sterna.spec.arithmetic import MULTIPLIER_BITS, max_activation
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane, Shape

GEOMETRIES = [
    ((height, width), (step_y, step_x), (top, bottom, left, right))
    for height, width in [(1, 1), (3, 3), (2, 2), (1, 3), (3, 2)]
    for step_y, step_x in [(1, 1), (2, 2), (1, 2)]
    for top, bottom, left, right in [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0)]
]
"""Kernel, stride and padding of random convolutions."""


@st.composite
def dense_networks(
    draw: st.DrawFn,
    *,
    act_bits: int | None = None,
    max_layers: int = 4,
    max_features: int = 40,
    max_planes: int = 1,
) -> IntegerNetwork:
    """Chains of fully connected layers over a flat input, (1, 1, features); one output."""
    bits = draw(st.integers(2, 8)) if act_bits is None else act_bits
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, max_features), min_size=2, max_size=max_layers + 1))
    spec = draw(_inputs(bits, (1, 1, sizes[0])))
    layers: list[Layer] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        source = layers[-1].name if layers else spec.name
        planes = [
            Plane(
                source=source,
                trits=_trits(draw, rng, (outputs, 1, 1, inputs)),
                multiplier=_multiplier(draw, rng, outputs),
            )
            for _ in range(draw(st.integers(1, max_planes)))
        ]
        layers.append(_layer(draw, rng, f"dense{index}", planes, bits))
    return _network(draw, bits, spec, layers, [layers[-1].name])


@st.composite
def conv_networks(
    draw: st.DrawFn,
    *,
    act_bits: int | None = None,
    max_layers: int = 4,
    max_extent: int = 7,
    max_channels: int = 9,
    max_planes: int = 3,
) -> IntegerNetwork:
    """Graphs of convolutions of any kernel, stride, padding and grouping, pooled or not; several outputs.

    Planes read any earlier tensor; some of them only add it (residual).
    """
    bits = draw(st.integers(2, 8)) if act_bits is None else act_bits
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spec = draw(
        _inputs(bits, (draw(st.integers(1, max_extent)), draw(st.integers(1, max_extent)), draw(st.integers(1, 4))))
    )
    shapes = {spec.name: spec.shape}
    layers: list[Layer] = []
    for index in range(draw(st.integers(1, max_layers))):
        source = draw(st.sampled_from(sorted(shapes)))
        # The whole source as the window is the way to one pixel: a fully connected layer.
        whole = (shapes[source][:2], (1, 1), (0, 0, 0, 0))
        geometry = draw(st.sampled_from([g for g in [*GEOMETRIES, whole] if _extent(shapes[source], g)]))
        extent = _extent(shapes[source], geometry)
        fitting = [(name, g) for name, shape in shapes.items() for g in GEOMETRIES if _extent(shape, g) == extent]
        chosen = [(source, geometry)] + [
            draw(st.sampled_from([*fitting, (source, geometry)])) for _ in range(draw(st.integers(0, max_planes - 1)))
        ]
        # As many outputs as inputs now and then: what depthwise and residual planes need.
        channels = draw(st.integers(1, max_channels) | st.just(shapes[source][2]))
        planes = []
        for name, (kernel, stride, padding) in chosen:
            groups = draw(st.sampled_from(_groups(shapes[name][2], channels)))
            planes.append(Plane(
                source=name,
                trits=_trits(draw, rng, (channels, *kernel, shapes[name][2] // groups)),
                multiplier=_multiplier(draw, rng, channels),
                stride=stride,
                padding=padding,
                groups=groups,
            ))  # fmt: skip
        addable = [name for name, shape in shapes.items() if shape == (*(extent or ()), channels)]
        if addable and draw(st.booleans()):
            planes.append(identity_plane(draw(st.sampled_from(addable)), _multiplier(draw, rng, channels)))
        assert extent is not None
        pool = draw(st.sampled_from([(1, 1), (2, 2), (1, 3)]))
        pool = min(pool[0], extent[0]), min(pool[1], extent[1])
        layers.append(_layer(draw, rng, f"conv{index}", planes, bits, pool))
        shapes[layers[-1].name] = (extent[0] // pool[0], extent[1] // pool[1], channels)
    others = draw(st.lists(st.sampled_from([layer.name for layer in layers]), unique=True, max_size=2))
    return _network(draw, bits, spec, layers, list(dict.fromkeys([layers[-1].name, *others])))


def identity_plane(source: str, multiplier: npt.NDArray[np.int64]) -> Plane:
    """The plane that adds ``multiplier · source``: a residual connection."""
    trits = np.eye(len(multiplier), dtype=np.int8)[:, np.newaxis, np.newaxis]
    return Plane(source=source, trits=trits, multiplier=multiplier)


def networks() -> st.SearchStrategy[IntegerNetwork]:
    """Either kind."""
    return dense_networks(max_planes=3) | conv_networks()


def random_images(network: IntegerNetwork, count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Images in the network's range, about half of their values zero where zero is in it."""
    rng = np.random.default_rng(seed)
    spec = network.input
    images = rng.uniform(spec.low, spec.high, (count, *spec.shape))
    if spec.low <= 0 <= spec.high:
        images[rng.random(images.shape) < 0.5] = 0
    return images


@st.composite
def _inputs(draw: st.DrawFn, bits: int, shape: Shape) -> InputSpec:
    limit = max_activation(bits)
    scale = draw(st.sampled_from([1.0, 1 / 16, 0.37, 255.0]))
    low = draw(st.sampled_from([-limit, 0])) * scale
    return InputSpec(name="image", shape=shape, low=low, high=limit * scale, scale=scale)


def _trits(draw: st.DrawFn, rng: np.random.Generator, shape: Sequence[int]) -> npt.NDArray[np.int8]:
    density = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    return (rng.integers(0, 2, shape) * 2 - 1).astype(np.int8) * (rng.random(shape) < density).astype(np.int8)


def _multiplier(draw: st.DrawFn, rng: np.random.Generator, channels: int) -> npt.NDArray[np.int64]:
    top = 1 << draw(st.sampled_from([0, 4, MULTIPLIER_BITS]))
    return rng.integers(top // 2, top, channels, endpoint=top == 1)


def _groups(inputs: int, outputs: int) -> list[int]:
    """Every number of groups that both can have; one comes first."""
    return [groups for groups in range(1, inputs + 1) if inputs % groups == 0 and outputs % groups == 0]


def _layer(
    draw: st.DrawFn, rng: np.random.Generator, name: str, planes: list[Plane], bits: int, pool: tuple[int, int] = (1, 1)
) -> Layer:
    """Shifts are such that the results neither vanish nor all saturate."""
    limit = max_activation(bits)
    spread = sum(p.multiplier * (1 + np.sqrt(np.abs(p.trits).sum(axis=(1, 2, 3)))) for p in planes) * limit
    steps = np.maximum(spread / limit, 1)
    shift = np.floor(np.log2(steps)).astype(np.int64)
    bias = np.rint(rng.uniform(-1, 1, len(shift)) * spread).astype(np.int64)
    minimum = draw(st.sampled_from([-limit, 0, -1]))
    return Layer(name=name, planes=tuple(planes), bias=bias, shift=shift, minimum=minimum, maximum=limit, pool=pool)


def _extent(
    shape: Shape, geometry: tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]
) -> tuple[int, int] | None:
    """Height and width that a geometry gives, None if the window does not fit."""
    (height, width), (step_y, step_x), (top, bottom, left, right) = geometry
    rows, columns = shape[0] + top + bottom - height, shape[1] + left + right - width
    return (rows // step_y + 1, columns // step_x + 1) if rows >= 0 and columns >= 0 else None


def _network(draw: st.DrawFn, bits: int, spec: InputSpec, layers: list[Layer], outputs: list[str]) -> IntegerNetwork:
    return IntegerNetwork(
        name="random",
        act_bits=bits,
        input=spec,
        layers=tuple(layers),
        outputs=tuple(outputs),
        output_scale=tuple(draw(st.sampled_from([1.0, 0.125, 0.3])) for _ in outputs),
        metadata={"seeded": True, "of": [1, 2.5, None]},
    )
