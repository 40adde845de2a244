"""The model file: an integer network as one safetensors file, 1.6 bits a weight plus its parameters.

Tensors, for layer i and plane j (numbers from 0):

    i.j.trits        uint8    trit5 codes of the plane's trits in C order of (out, kernel height, kernel width,
                              in / groups)
    i.j.multiplier   uint16   (out,), or (1,) if all are equal
    i.bias           int8, int16, int32 or int64 (out,), the narrowest that holds it, or (1,) if all are equal
    i.shift          uint8    (out,), or (1,) if all are equal

The rest of the network is the description, whose ``sha256`` is the model's identity: see
:mod:`sterna.spec.tensor_file`.
"""

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from sterna.spec import tensor_file
from sterna.spec.errors import IllegalTritError, ModelError
from sterna.spec.network import MAX_LAYERS, MAX_PLANES, InputSpec, IntegerNetwork, Layer, Plane
from sterna.spec.tensor_file import Reader, Tensors, take_tensor
from sterna.spec.trits import TRITS_PER_BYTE5, pack_trit5, unpack_trit5

MODEL_VERSION = 1

_BIAS_TYPES = (np.int8, np.int16, np.int32, np.int64)
_DTYPES: dict[str, type[np.generic]] = {
    "U8": np.uint8, "U16": np.uint16, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
}  # fmt: skip


def save_network(network: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Writes the model file; an existing one is replaced in one step. Raises :class:`ModelError`, ``OSError``."""
    tensor_file.save_bytes(network_to_bytes(network), path)


def load_network(path: str | os.PathLike[str]) -> IntegerNetwork:
    """The network in a model file. Raises :class:`ModelError` for anything else, an unreadable file included."""
    return network_from_bytes(tensor_file.load_bytes(path))


def network_to_bytes(network: IntegerNetwork) -> bytes:
    """The model file's bytes. Raises :class:`ModelError` if the metadata is not JSON or the file would be too large."""
    return tensor_file.pack(_description(network), _tensors(network))


def network_from_bytes(data: bytes) -> IntegerNetwork:
    """Inverse of :func:`network_to_bytes`. Raises :class:`ModelError` for anything else, saying what is wrong."""
    document, tensors = tensor_file.unpack(data, version=MODEL_VERSION, dtypes=_DTYPES)
    network = _network(document, tensors)
    tensor_file.check_all_taken(tensors)
    return network


def network_digest(network: IntegerNetwork) -> str:
    """The ``sha256`` of the network's model file."""
    return tensor_file.digest(_description(network), _tensors(network))


def packed_bits(network: IntegerNetwork) -> int:
    """Bits of all tensors of the model file: packed trits, multipliers, biases, shifts."""
    return 8 * sum(tensor.nbytes for tensor in _tensors(network).values())


def bits_per_weight(network: IntegerNetwork) -> float:
    """:func:`packed_bits` for each weight (trit of a plane)."""
    return packed_bits(network) / network.weights


# Writing


def _tensors(network: IntegerNetwork) -> Tensors:
    tensors: Tensors = {}
    for i, layer in enumerate(network.layers):
        for j, plane in enumerate(layer.planes):
            tensors[f"{i}.{j}.trits"] = pack_trit5(plane.trits)
            tensors[f"{i}.{j}.multiplier"] = _once(plane.multiplier).astype(np.uint16)
        tensors[f"{i}.bias"] = _once(layer.bias).astype(_bias_type(layer.bias))
        tensors[f"{i}.shift"] = _once(layer.shift).astype(np.uint8)
    return tensors


def _once(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One value if all are equal, else all."""
    return values[:1] if (values == values[0]).all() else values


def _bias_type(bias: npt.NDArray[Any]) -> type[np.signedinteger[Any]]:
    return next(t for t in _BIAS_TYPES if np.iinfo(t).min <= bias.min() and bias.max() <= np.iinfo(t).max)


def _description(network: IntegerNetwork) -> dict[str, Any]:
    spec = network.input
    return {
        "format": MODEL_VERSION,
        "name": network.name,
        "act_bits": network.act_bits,
        "input": {
            "name": spec.name,
            "shape": list(spec.shape),
            "low": float(spec.low),
            "high": float(spec.high),
            "scale": float(spec.scale),
            "offset": float(spec.offset),
            "minimum": int(spec.minimum),
            "maximum": int(spec.maximum),
        },
        "layers": [
            {
                "name": layer.name,
                "minimum": int(layer.minimum),
                "maximum": int(layer.maximum),
                "pool": [int(n) for n in layer.pool],
                "planes": [
                    {
                        "source": plane.source,
                        "shape": list(plane.trits.shape),
                        "stride": [int(n) for n in plane.stride],
                        "padding": [int(n) for n in plane.padding],
                        "groups": int(plane.groups),
                    }
                    for plane in layer.planes
                ],
            }
            for layer in network.layers
        ],
        "outputs": list(network.outputs),
        "output_scale": [float(scale) for scale in network.output_scale],
        "metadata": dict(network.metadata),
    }


# Reading


def _network(document: Reader, tensors: Tensors) -> IntegerNetwork:
    spec = Reader(document.take("input", dict), "input")
    layers = document.items("layers", dict, range(1, MAX_LAYERS + 1))
    scales = document.items("output_scale", float, range(1, MAX_LAYERS + 1))
    name, act_bits = document.take("name", str), document.take("act_bits", int)
    outputs = tuple(document.items("outputs", str, range(1, MAX_LAYERS + 1)))
    metadata = document.take("metadata", dict)
    document.done()
    height, width, channels = spec.whole("shape", 3, 1)
    source = InputSpec(
        name=spec.take("name", str),
        shape=(height, width, channels),
        low=spec.take("low", float),
        high=spec.take("high", float),
        scale=spec.take("scale", float),
        offset=spec.take("offset", float),
        minimum=spec.take("minimum", int),
        maximum=spec.take("maximum", int),
    )
    spec.done()
    return IntegerNetwork(
        name=name,
        act_bits=act_bits,
        input=source,
        layers=tuple(_layer(i, Reader(layer, f"layer {i}"), tensors) for i, layer in enumerate(layers)),
        outputs=outputs,
        output_scale=tuple(scales),
        metadata=metadata,
    )


def _layer(i: int, entry: Reader, tensors: Tensors) -> Layer:
    planes = entry.items("planes", dict, range(1, MAX_PLANES + 1))
    name, minimum, maximum = entry.take("name", str), entry.take("minimum", int), entry.take("maximum", int)
    pool = entry.whole("pool", 2, 1)
    entry.done()
    read = tuple(_plane(f"{i}.{j}", Reader(plane, f"layer {i} plane {j}"), tensors) for j, plane in enumerate(planes))
    channels = len(read[0].trits)
    return Layer(
        name=name,
        planes=read,
        bias=_parameter(f"{i}.bias", channels, _BIAS_TYPES, tensors),
        shift=_parameter(f"{i}.shift", channels, (np.uint8,), tensors),
        minimum=minimum,
        maximum=maximum,
        pool=(pool[0], pool[1]),
    )


def _plane(prefix: str, entry: Reader, tensors: Tensors) -> Plane:
    source, shape = entry.take("source", str), entry.whole("shape", 4, 1)
    stride, padding, groups = entry.whole("stride", 2, 1), entry.whole("padding", 4, 0), entry.take("groups", int)
    entry.done()
    count, packed = math.prod(shape), take_tensor(f"{prefix}.trits", (np.uint8,), tensors)
    if packed.size != -(-count // TRITS_PER_BYTE5):  # before anything of the stated size is made
        raise ModelError(f"tensor '{prefix}.trits' has {packed.size} bytes, which do not go with the shape {shape}")
    try:
        trits = unpack_trit5(packed, count).reshape(shape)
    except IllegalTritError as error:
        raise ModelError(f"tensor '{prefix}.trits': {error}") from None
    return Plane(
        source=source,
        trits=trits,
        multiplier=_parameter(f"{prefix}.multiplier", shape[0], (np.uint16,), tensors),
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1], padding[2], padding[3]),
        groups=groups,
    )


def _parameter(name: str, channels: int, allowed: tuple[type[Any], ...], tensors: Tensors) -> npt.NDArray[np.int64]:
    values = take_tensor(name, allowed, tensors)
    if values.size not in (1, channels):
        raise ModelError(f"tensor {name!r} has {values.size} values; expected {channels}, or 1 for all")
    return np.broadcast_to(values, channels).astype(np.int64)
