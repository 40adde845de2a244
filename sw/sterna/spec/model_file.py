"""The model file: an integer network as one safetensors file, 1.6 bits a weight plus its parameters.

Tensors, for layer i and plane j (numbers from 0):

    i.j.trits        uint8    trit5 codes of the plane's trits in C order of (out, kernel height, kernel width,
                              in / groups)
    i.j.multiplier   uint16   (out,), or (1,) if all are equal
    i.bias           int8, int16, int32 or int64 (out,), the narrowest that holds it, or (1,) if all are equal
    i.shift          uint8    (out,), or (1,) if all are equal

Everything else is one canonical JSON string (sorted keys, no spaces, ASCII) under the only metadata key, ``sterna``.
Its ``sha256`` is over that string without ``sha256``, and the tensors' bytes in order of their names: damage does not
go unseen, and it is the model's identity. The same network gives the same bytes.

What reads it trusts nothing: sizes are checked before anything is allocated, the header is JSON and the tensors are
numbers, so nothing in a file is ever executed.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from sterna.spec import strict_json
from sterna.spec.errors import EncodingError, IllegalTritError, ModelError
from sterna.spec.network import MAX_EXTENT, MAX_LAYERS, MAX_PLANES, InputSpec, IntegerNetwork, Layer, Plane
from sterna.spec.strict_json import brief
from sterna.spec.trits import TRITS_PER_BYTE5, pack_trit5, unpack_trit5

MODEL_VERSION = 1
MAX_MODEL_BYTES = 64 << 20
MAX_HEADER_BYTES = 4 << 20
METADATA_KEY = "sterna"

Tensors = dict[str, npt.NDArray[Any]]
T = TypeVar("T")

_BIAS_TYPES = (np.int8, np.int16, np.int32, np.int64)
_DTYPES = {"U8": np.uint8, "U16": np.uint16, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64}


def save_network(network: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Writes the model file; an existing one is replaced in one step. Raises :class:`ModelError`, ``OSError``."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    data = network_to_bytes(network)
    try:
        draft.write_bytes(data)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def load_network(path: str | os.PathLike[str]) -> IntegerNetwork:
    """The network in a model file. Raises :class:`ModelError` for anything else, an unreadable file included."""
    source = Path(path)
    try:
        with source.open("rb") as file:
            data = file.read(MAX_MODEL_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(f"cannot read model file {str(source)!r}: {reason}") from None
    return network_from_bytes(data)


def network_to_bytes(network: IntegerNetwork) -> bytes:
    """The model file's bytes. Raises :class:`ModelError` if the metadata is not JSON or the file would be too large."""
    tensors = _tensors(network)
    description = _description(network)
    try:
        text = _canonical(description | {"sha256": _digest(description, tensors)})
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"metadata is not JSON: {error}") from None
    _parse_json(text, "metadata")  # what would not load is not written
    data = safetensors.numpy.save(tensors, metadata={METADATA_KEY: text})
    _check_size(data)
    return data


def network_from_bytes(data: bytes) -> IntegerNetwork:
    """Inverse of :func:`network_to_bytes`. Raises :class:`ModelError` for anything else, saying what is wrong."""
    _check_size(data)
    header = _header(data)
    tensors = _read_tensors(data)
    document = _Reader(_parse_json(_metadata(header), "metadata"), "model")
    version = document.take("format", int)
    if version != MODEL_VERSION:
        raise ModelError(f"model file has format {version}; this release reads {MODEL_VERSION}")
    recorded = document.take("sha256", str)
    try:
        actual = _digest(document.rest(), tensors)
    except RecursionError:
        raise ModelError("model file has bad metadata: nested too deeply") from None
    if recorded != actual:
        raise ModelError("model file is damaged: its SHA-256 differs")
    network = _network(document, tensors)
    if tensors:
        raise ModelError(f"model file has an unknown tensor {min(tensors)!r}")
    return network


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


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(description: dict[str, Any], tensors: Tensors) -> str:
    digest = hashlib.sha256(_canonical(description).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype.name} {tensor.size}\n".encode())
        digest.update(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


# Reading


def _check_size(data: bytes) -> None:
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(f"model file has more than {MAX_MODEL_BYTES} bytes")


def _header(data: bytes) -> dict[str, Any]:
    """The safetensors header, read strictly: the library lets duplicate keys pass."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ModelError("not a model file, or cut short: its header ends after the file")
    if size > MAX_HEADER_BYTES:
        raise ModelError(f"model file has {size} bytes of header; at most {MAX_HEADER_BYTES}")
    header = _parse_json(data[8 : 8 + size], "header")
    if not isinstance(header, dict):
        raise ModelError("model file has a header that is not an object")
    return header


def _metadata(header: dict[str, Any]) -> str:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or set(metadata) != {METADATA_KEY}:
        raise ModelError(f"model file needs exactly one metadata key, {METADATA_KEY!r}")
    text = metadata[METADATA_KEY]
    assert isinstance(text, str)  # safetensors allows only strings
    return text


def _read_tensors(data: bytes) -> Tensors:
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ModelError(f"not a safetensors file: {' '.join(str(error).split())}") from None
    tensors: Tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES or len(entry["shape"]) != 1 or entry["shape"][0] < 1:
            raise ModelError(
                f"tensor {name!r} is {entry['dtype']} {entry['shape']}; allowed: {', '.join(_DTYPES)} of one axis"
            )
        stored = np.dtype(_DTYPES[entry["dtype"]]).newbyteorder("<")
        tensors[name] = np.frombuffer(entry["data"], stored).astype(stored.newbyteorder("="), copy=False)
    return tensors


def _parse_json(text: str | bytes, what: str) -> Any:
    try:
        return strict_json.parse(text)
    except EncodingError as error:
        raise ModelError(f"model file has bad {what}: {error}") from None


class _Reader:
    """A JSON object whose keys are taken one by one; what is missing, left over or of another type is an error."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ModelError(f"{where} is not a JSON object")
        self._values = dict(value)
        self._all = value
        self._where = where

    def take(self, key: str, kind: type[T]) -> T:
        if key not in self._values:
            raise ModelError(f"{self._where} lacks {key!r}")
        value = self._values.pop(key)
        if kind is float and type(value) is int and abs(value) < 1 << 53:
            value = float(value)
        if type(value) is not kind:
            raise ModelError(f"{self._where}: {key} is {brief(value)}; expected {kind.__name__}")
        return value

    def items(self, key: str, kind: type[T], lengths: range) -> list[T]:
        """A list of ``kind`` whose length is one of ``lengths``."""
        values = self.take(key, list)
        if len(values) not in lengths:
            raise ModelError(f"{self._where}: {key} has {len(values)} entries; allowed: {lengths[0]}…{lengths[-1]}")
        return [_Reader({key: value}, self._where).take(key, kind) for value in values]

    def whole(self, key: str, length: int, minimum: int) -> tuple[int, ...]:
        """``length`` integers, ``minimum`` … ``MAX_EXTENT``."""
        values = self.items(key, int, range(length, length + 1))
        if not all(minimum <= value <= MAX_EXTENT for value in values):
            raise ModelError(f"{self._where}: {key} is {brief(values)}; allowed: {minimum}…{MAX_EXTENT}")
        return tuple(values)

    def rest(self) -> dict[str, Any]:
        """Everything but the digest."""
        return {key: value for key, value in self._all.items() if key != "sha256"}

    def done(self) -> None:
        if self._values:
            raise ModelError(f"{self._where} has an unknown key {brief(min(self._values))}")


def _network(document: _Reader, tensors: Tensors) -> IntegerNetwork:
    spec = _Reader(document.take("input", dict), "input")
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
        layers=tuple(_layer(i, _Reader(layer, f"layer {i}"), tensors) for i, layer in enumerate(layers)),
        outputs=outputs,
        output_scale=tuple(scales),
        metadata=metadata,
    )


def _layer(i: int, entry: _Reader, tensors: Tensors) -> Layer:
    planes = entry.items("planes", dict, range(1, MAX_PLANES + 1))
    name, minimum, maximum = entry.take("name", str), entry.take("minimum", int), entry.take("maximum", int)
    pool = entry.whole("pool", 2, 1)
    entry.done()
    read = tuple(_plane(f"{i}.{j}", _Reader(plane, f"layer {i} plane {j}"), tensors) for j, plane in enumerate(planes))
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


def _plane(prefix: str, entry: _Reader, tensors: Tensors) -> Plane:
    source, shape = entry.take("source", str), entry.whole("shape", 4, 1)
    stride, padding, groups = entry.whole("stride", 2, 1), entry.whole("padding", 4, 0), entry.take("groups", int)
    entry.done()
    count, packed = math.prod(shape), _tensor(f"{prefix}.trits", (np.uint8,), tensors)
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


def _tensor(name: str, allowed: Iterable[type[Any]], tensors: Tensors) -> npt.NDArray[Any]:
    if name not in tensors:
        raise ModelError(f"model file lacks the tensor {name!r}")
    tensor = tensors.pop(name)
    if tensor.dtype.type not in allowed:
        names = " or ".join(np.dtype(kind).name for kind in allowed)
        raise ModelError(f"tensor {name!r} is {tensor.dtype}; expected {names}")
    return tensor


def _parameter(name: str, channels: int, allowed: Iterable[type[Any]], tensors: Tensors) -> npt.NDArray[np.int64]:
    values = _tensor(name, allowed, tensors)
    if values.size not in (1, channels):
        raise ModelError(f"tensor {name!r} has {values.size} values; expected {channels}, or 1 for all")
    return np.broadcast_to(values, channels).astype(np.int64)
