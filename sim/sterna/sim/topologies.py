"""Integer networks of known shape with random weights: what benchmarks run when nothing is trained."""

import numpy as np

from sterna.spec.arithmetic import max_activation
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane, Shape


class _Builder:
    """Adds layers one by one; every value is in reach of the requantiser, and outputs spread over their range."""

    def __init__(self, seed: int, shape: Shape, *, block: int, density: float, act_bits: int = 8) -> None:
        self._rng = np.random.default_rng(seed)
        self._block = block
        self._density = density
        self._act_bits = act_bits
        self._limit = max_activation(act_bits)
        self._spec = InputSpec(name="input", shape=shape, low=-self._limit, high=self._limit, scale=1.0)
        self._channels = {"input": shape[2]}
        self._layers: list[Layer] = []

    def trits(self, outputs: int, kernel: tuple[int, int], inputs: int) -> np.ndarray:
        """int8 (outputs, *kernel, inputs): a share ``density`` of the blocks of ``block`` outputs is not all zero."""
        shape = (-(-outputs // self._block), *kernel, inputs)
        kept = np.zeros(int(np.prod(shape)), np.int8)
        kept[: round(self._density * len(kept))] = 1  # the share is exact; where they lie is random
        blocks = np.repeat(self._rng.permutation(kept).reshape(shape), self._block, axis=0)[:outputs]
        # A third of the trits of a block are zero, its first one never: no block vanishes by chance.
        values = self._rng.choice(np.array([-1, 0, 1], np.int8), (outputs, *shape[1:]))
        values[:: self._block] = self._rng.choice(np.array([-1, 1], np.int8), values[:: self._block].shape)
        return np.asarray(values * blocks, np.int8)

    def plane(
        self, source: str, outputs: int, kernel: int = 1, stride: int = 1, padding: tuple[int, int, int, int] = (0,) * 4
    ) -> Plane:
        trits = self.trits(outputs, (kernel, kernel), self._channels[source])
        return Plane(source=source, trits=trits, multiplier=np.zeros(outputs, np.int64), stride=(stride, stride),
                     padding=padding)  # fmt: skip

    def identity(self, source: str) -> Plane:
        trits = np.eye(self._channels[source], dtype=np.int8)[:, np.newaxis, np.newaxis]
        return Plane(source=source, trits=trits, multiplier=np.zeros(len(trits), np.int64))

    def mean(self, source: str, height: int, width: int) -> Plane:
        """Of ``height`` × ``width`` pixels of each channel."""
        channels = self._channels[source]
        trits = np.ones((channels, height, width, 1), np.int8)
        return Plane(source=source, trits=trits, multiplier=np.zeros(channels, np.int64), stride=(height, width),
                     groups=channels)  # fmt: skip

    def add(self, name: str, *planes: Plane, signed: bool = False) -> str:
        """A layer whose planes count the same; multipliers are set here. ReLU unless ``signed``."""
        outputs, shift = len(planes[0].trits), 20
        scaled = []
        for plane in planes:
            used = np.maximum(1, np.abs(plane.trits).sum(axis=(1, 2, 3)))
            multiplier = np.round((1 << shift) * self._rng.uniform(0.7, 1.4, outputs) / np.sqrt(used) / len(planes))
            scaled.append(
                Plane(
                    source=plane.source, trits=plane.trits, multiplier=multiplier.astype(np.int64) >> 5,
                    stride=plane.stride, padding=plane.padding, groups=plane.groups,
                )
            )  # fmt: skip
        shift -= 5
        self._layers.append(Layer(
            name=name, planes=tuple(scaled), bias=np.full(outputs, 1 << (shift - 1)), shift=np.full(outputs, shift),
            minimum=-self._limit if signed else 0, maximum=self._limit,
        ))  # fmt: skip
        self._channels[name] = outputs
        return name

    def network(self, name: str) -> IntegerNetwork:
        return IntegerNetwork(
            name=name, act_bits=self._act_bits, input=self._spec, layers=tuple(self._layers),
            outputs=(self._layers[-1].name,), output_scale=(1.0,), metadata={},
        )  # fmt: skip


SAME = (1, 1, 1, 1)
"""Padding of a 3×3 window at stride 1."""
SAME_STRIDED = (0, 1, 0, 1)
"""At stride 2, as TensorFlow pads images of even size."""


def resnet8(
    seed: int = 0,
    *,
    block: int = 16,
    density: float = 1.0,
    act_bits: int = 8,
    mean_steps: int = 1,
    classes_first: bool = False,
) -> IntegerNetwork:
    """ResNet-8 of MLPerf Tiny (Banbury 2021): 32×32×3, stacks of 16, 32, 64 channels, 10 outputs; 12.5 M products.

    ``mean_steps``: 1, or 2 for the mean of each column first and then of those, which takes a quarter of the blocks.
    ``classes_first``: outputs of each pixel and then their mean, in place of the outputs of the channels' means; it
    takes a sixth of the blocks again."""
    b = _Builder(seed, (32, 32, 3), block=block, density=density, act_bits=act_bits)
    source = b.add("stem", b.plane("input", 16, 3, 1, SAME))
    for index, channels in enumerate((16, 32, 64)):
        stride, padding = (1, SAME) if index == 0 else (2, SAME_STRIDED)
        inner = b.add(f"stack{index}a", b.plane(source, channels, 3, stride, padding))
        skip = b.identity(source) if index == 0 else b.plane(source, channels, 1, stride)
        source = b.add(f"stack{index}b", b.plane(inner, channels, 3, 1, SAME), skip)
    if classes_first:
        source = b.add("classes", b.plane(source, 10), signed=True)
    if mean_steps == 2:
        source = b.add("columns", b.mean(source, 8, 1), signed=classes_first)
    source = b.add("mean", b.mean(source, 8 if mean_steps == 1 else 1, 8), signed=classes_first)
    if not classes_first:
        b.add("classes", b.plane(source, 10), signed=True)
    return b.network("resnet8")


def dense_layer(seed: int, inputs: int, outputs: int, *, block: int, density: float) -> IntegerNetwork:
    """One fully connected layer."""
    b = _Builder(seed, (1, 1, inputs), block=block, density=density)
    b.add("dense", b.plane("input", outputs))
    return b.network("dense-layer")


def conv_layer(seed: int, shape: Shape, outputs: int, *, block: int, density: float) -> IntegerNetwork:
    """A 3×3 convolution at stride 1 that keeps the image's size, and means of 8×8 pixels: outputs, like the input, need
    a place in both slots, so that a whole feature map as output would take twice its room."""
    b = _Builder(seed, shape, block=block, density=density)
    b.add("means", b.mean(b.add("conv", b.plane("input", outputs, 3, 1, SAME)), 8, 8))
    return b.network("conv-layer")
