"""The host's part of a transformer as a file beside the model file of its linear layers.

Tensors: ``embedding``, ``positions``, ``gains`` (float32) and ``steps`` (float64), flattened in C order; the
description: the sizes of :class:`TransformerShape`, and ``network``, the ``sha256`` of that model file. What both kinds
of files share: :mod:`sterna.spec.tensor_file`.
"""

import dataclasses
import os

import numpy as np

from sterna.host.shape import TransformerShape
from sterna.host.transformer import Transformer, array_shapes
from sterna.spec import tensor_file
from sterna.spec.errors import ConfigurationError, ModelError
from sterna.spec.network import IntegerNetwork

HOST_VERSION = 1

_KIND = "transformer"
_DTYPES: dict[str, type[np.generic]] = {"F32": np.float32, "F64": np.float64}


def save_transformer(model: Transformer, path: str | os.PathLike[str]) -> None:
    """Writes the file; an existing one is replaced in one step. Raises :class:`ModelError`, ``OSError``."""
    tensor_file.save_bytes(transformer_to_bytes(model), path)


def load_transformer(path: str | os.PathLike[str], network: IntegerNetwork) -> Transformer:
    """The host's part of a transformer whose linear layers ``network`` holds.

    Raises :class:`ModelError` for any other file, an unreadable one included, and for another network.
    """
    model = transformer_from_bytes(tensor_file.load_bytes(path))
    model.check(network)
    return model


def transformer_to_bytes(model: Transformer) -> bytes:
    """The file's bytes. Raises :class:`ModelError` if it would be too large."""
    description = {"format": HOST_VERSION, "kind": _KIND, "network": model.network} | dataclasses.asdict(model.shape)
    arrays = {name: getattr(model, name) for name in array_shapes(model.shape)}
    return tensor_file.pack(description, {name: np.ascontiguousarray(a).reshape(-1) for name, a in arrays.items()})


def transformer_from_bytes(data: bytes) -> Transformer:
    """Inverse of :func:`transformer_to_bytes`. Raises :class:`ModelError` for anything else, saying what is wrong."""
    document, tensors = tensor_file.unpack(data, version=HOST_VERSION, dtypes=_DTYPES)
    kind = document.take("kind", str)
    if kind != _KIND:
        raise ModelError(f"model file is of kind {kind[:80]!r}; expected {_KIND!r}")
    sizes = {field.name: document.take(field.name, int) for field in dataclasses.fields(TransformerShape)}
    network = document.take("network", str)
    document.done()
    try:
        shape = TransformerShape(**sizes)
    except ConfigurationError as error:
        raise ModelError(f"model file: {error}") from None
    arrays = {}
    for name, extents in array_shapes(shape).items():
        found = tensor_file.take_tensor(name, (np.float64 if name == "steps" else np.float32,), tensors)
        if found.size != np.prod(extents):
            raise ModelError(f"tensor {name!r} has {found.size} values; expected {' × '.join(map(str, extents))}")
        arrays[name] = found.reshape(extents)
    tensor_file.check_all_taken(tensors)
    return Transformer(shape=shape, network=network, **arrays)
