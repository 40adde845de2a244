"""Random networks for benches: no training, every value in reach of the requantiser."""

import itertools

import numpy as np

from sterna.spec.arithmetic import max_activation
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane


def random_dense(
    seed: int, widths: tuple[int, ...], *, act_bits: int = 8, block: int = 8, density: float = 0.5
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
        name=f"random-{seed}", act_bits=act_bits,
        input=InputSpec(name="input", shape=(1, 1, widths[0]), low=-limit, high=limit, scale=1.0),
        layers=tuple(layers), outputs=(source,), output_scale=(1.0,), metadata={},
    )  # fmt: skip
