"""Random integer networks and configurations from a seeded generator, for benches that do not shrink."""

from itertools import pairwise

import numpy as np

from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import Configuration
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane


def random_configuration(rng: np.random.Generator) -> Configuration:
    """A small configuration; every combination of simd 1…8, pe 4…16, activation bits 2, 5, 8."""
    simd, pe = int(rng.choice([1, 2, 4, 8])), int(rng.choice([4, 8, 16]))
    requantisers = int(rng.choice([r for r in (1, 2, 4) if r <= simd and 4 * r <= pe]))
    return Configuration(
        name="random", simd=simd, pe=pe, requantisers=requantisers, act_bits=int(rng.choice([2, 5, 8])), acc_bits=18,
        weight_depth=4096, mask_depth=512, activation_depth=512, parameter_depth=256, program_depth=64,
    )  # fmt: skip


def random_dense_network(
    rng: np.random.Generator, act_bits: int, *, widest: int = 70, layers: int = 3
) -> IntegerNetwork:
    """A chain of 1…``layers`` dense layers of 1…``widest`` channels, with pruned blocks and every kind of parameter."""
    limit = max_activation(act_bits)
    widths = [int(width) for width in rng.integers(1, widest + 1, rng.integers(2, layers + 2))]
    density = rng.choice([0, 0.3, 0.7, 1])
    chain: list[Layer] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        trits = rng.integers(-1, 2, (outputs, 1, 1, inputs)).astype(np.int8)
        kept = rng.random((-(-outputs // 4), 1, 1, inputs)) < density
        trits *= np.repeat(kept, 4, axis=0)[:outputs]
        shift = rng.integers(12, 15, outputs) + (2 if act_bits == 8 else 0)
        chain.append(Layer(
            name=f"layer{index}",
            planes=(Plane(source=f"layer{index - 1}" if index else "input", trits=trits,
                          multiplier=rng.integers(0, 1 << 14, outputs)),),
            bias=rng.integers(-1 << 14, 1 << 14, outputs),
            shift=shift,
            minimum=0 if index < len(widths) - 2 and rng.random() < 0.7 else -limit,
            maximum=limit,
        ))  # fmt: skip
    return IntegerNetwork(
        name="random", act_bits=act_bits,
        input=InputSpec(name="input", shape=(1, 1, widths[0]), low=-limit, high=limit, scale=1.0),
        layers=tuple(chain), outputs=(chain[-1].name,), output_scale=(1.0,), metadata={},
    )  # fmt: skip


def random_images(rng: np.random.Generator, network: IntegerNetwork, count: int) -> np.ndarray:
    """int64 (count, inputs) in the network's range, about half of them zero."""
    size = int(np.prod(network.input.shape))
    images = rng.integers(int(network.input.low), int(network.input.high) + 1, (count, size))
    return images * (rng.random(images.shape) < 0.5)
