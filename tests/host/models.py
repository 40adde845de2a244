"""Transformers that nobody has trained."""

import numpy as np

from sterna.host import Transformer, TransformerShape
from sterna.spec.model_file import network_digest
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane

SHAPE = TransformerShape(width=8, heads=2, blocks=2, context=12, expansion=3)


def random_linears(shape: TransformerShape, seed: int = 0) -> IntegerNetwork:
    """Its linear layers, with random trits."""
    rng = np.random.default_rng(seed)
    layers = []
    for linear in shape.linears:
        trits = rng.integers(-1, 2, (linear.outputs, 1, 1, linear.inputs)).astype(np.int8)
        multiplier = np.full(linear.outputs, round(2**12 / np.sqrt(linear.inputs)))
        layers.append(
            Layer(
                name=linear.name, planes=(Plane(source=linear.source, trits=trits, multiplier=multiplier),),
                bias=np.full(linear.outputs, 2**11), shift=np.full(linear.outputs, 12),
                minimum=0 if linear.relu else -127, maximum=127,
            )
        )  # fmt: skip
    spec = InputSpec(name="input", shape=(1, 1, shape.width), low=-127, high=127, scale=1)
    return IntegerNetwork(
        name="random", act_bits=8, input=spec, layers=tuple(layers), outputs=("head",), output_scale=(1.0,), metadata={}
    )  # fmt: skip


def random_transformer(network: IntegerNetwork, shape: TransformerShape = SHAPE, seed: int = 0) -> Transformer:
    """The host's part for such layers."""
    rng = np.random.default_rng(seed)
    return Transformer(
        shape=shape,
        embedding=rng.standard_normal((256, shape.width)).astype(np.float32),
        positions=rng.standard_normal((shape.context, shape.width)).astype(np.float32),
        gains=rng.uniform(0.5, 1.5, (2 * shape.blocks + 1, shape.width)).astype(np.float32),
        steps=rng.uniform(0.5, 1.5, len(shape.results)),
        network=network_digest(network),
    )
