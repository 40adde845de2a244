"""Configurations that are simulated and never built for a board, and the random ones of tests."""

import numpy as np

from sterna.spec.configuration import STANDARD, Configuration, Primitive
from sterna.spec.errors import ConfigurationError
from sterna.spec.trits import TritCode


def _verified(
    simd: int,
    pe: int,
    requantisers: int,
    act_bits: int,
    *,
    streaming: bool,
    cores: int = 1,
    weight_code: TritCode = TritCode.TRIT2,
    read_latency: int = 1,
    activation_skip: bool = True,
) -> Configuration:
    """``streaming``: weights, masks and parameters of all layers often do not fit, some layers not even alone; weights
    that are written while others are read lie in memory with a single port. So do activations, if none are skipped."""
    tile = 1 << (pe // requantisers - 1).bit_length()  # parameter words, rounded up
    depths = (64, 32, max(16, tile)) if streaming else (4096, 2048, 512)
    return Configuration(
        name=f"verify-{simd}x{pe}" + f"x{cores}" * (cores > 1),
        simd=simd, pe=pe, requantisers=requantisers, act_bits=act_bits, acc_bits=18, cores=cores,
        weight_code=weight_code, read_latency=read_latency, weight_depth=depths[0], mask_depth=depths[1],
        parameter_depth=depths[2], activation_depth=2048, pool_depth=256, program_depth=256,
        weights_in=Primitive.SPRAM if streaming else Primitive.BLOCK,
        activation_skip=activation_skip,
        activations_in=Primitive.BLOCK if activation_skip else Primitive.SPRAM,
        output_queue=4 if activation_skip else 2,
    )  # fmt: skip


VERIFIED = {
    configuration.name: configuration
    for configuration in (
        _verified(1, 4, 1, 8, streaming=True),
        _verified(2, 8, 2, 2, streaming=False),
        _verified(4, 16, 4, 8, streaming=False),
        _verified(8, 8, 2, 2, streaming=True, read_latency=2),
        _verified(2, 4, 1, 8, streaming=True, cores=2),
        _verified(4, 10, 2, 8, streaming=True, weight_code=TritCode.TRIT5, read_latency=2),
        _verified(4, 8, 1, 8, streaming=False, activation_skip=False),
    )
}
"""What ``sterna verify`` runs on: every number of feeders and lanes that the benches go through, 2 and 8 bits, 1, 2 and
4 requantisers, one core and two, weights in both codes, both latencies of reading, activations that are skipped and
not, both queues of outputs; memories just large enough for :func:`sterna.sim.networks.random_network`, or for its
layers."""

CONVOLUTIONAL = Configuration(
    name="bench-4x16", simd=4, pe=16, requantisers=2, act_bits=8, acc_bits=18, weight_depth=4096, mask_depth=2048,
    activation_depth=16384, parameter_depth=2048, pool_depth=512, program_depth=512,
)  # fmt: skip
"""Holds three feature maps of 32×32×16, so that ResNet-8 runs on it."""

SIMULATED = STANDARD | VERIFIED | {CONVOLUTIONAL.name: CONVOLUTIONAL}


def simulated(name: str) -> Configuration:
    """The configuration of that name. Raises :class:`ConfigurationError` with the known names."""
    if name not in SIMULATED:
        raise ConfigurationError(f"no configuration {name!r}; known: {', '.join(sorted(SIMULATED))}")
    return SIMULATED[name]


def random_configuration(rng: np.random.Generator, *, streaming: bool | None = None) -> Configuration:
    """A small configuration; every combination of simd 1…8, pe 4…20, activation bits 2, 5, 8; ``streaming`` or not;
    weights in either code, of as many bytes a block; with and without skipped activations; either latency."""
    simd, pe = int(rng.choice([1, 2, 4, 8])), int(rng.choice([4, 8, 16]))
    requantisers = int(rng.choice([r for r in (1, 2, 4) if r <= simd and 4 * r <= pe]))
    if streaming is None:
        streaming = bool(rng.integers(2))
    act_bits, code = int(rng.choice([2, 5, 8])), TritCode(str(rng.choice(list(TritCode))))
    pe = pe // TritCode.TRIT2.trits_per_byte * code.trits_per_byte
    return _verified(
        simd, pe, requantisers, act_bits, streaming=streaming, weight_code=code, activation_skip=bool(rng.integers(2)),
        read_latency=int(rng.integers(1, 3)),
    )  # fmt: skip
