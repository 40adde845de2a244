"""What the files of a model share: numbers in one safetensors file, everything else in one string of its metadata.

That string is canonical JSON (sorted keys, no spaces, ASCII) under the only metadata key, ``sterna``. Its ``sha256`` is
over the string without ``sha256``, and the tensors' bytes in order of their names: damage does not go unseen, and the
same content gives the same bytes. Tensors have one axis.

What reads it trusts nothing: sizes are checked before anything is allocated, the header is JSON and the tensors are
numbers, so nothing in a file is ever executed.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from sterna.spec import strict_json
from sterna.spec.errors import EncodingError, ModelError
from sterna.spec.network import MAX_EXTENT
from sterna.spec.strict_json import brief

MAX_FILE_BYTES = 64 << 20
MAX_HEADER_BYTES = 4 << 20
METADATA_KEY = "sterna"

Tensors = dict[str, npt.NDArray[Any]]
T = TypeVar("T")


def save_bytes(data: bytes, path: str | os.PathLike[str]) -> None:
    """Writes the file; an existing one is replaced in one step. Raises ``OSError``."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(data)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def load_bytes(path: str | os.PathLike[str]) -> bytes:
    """The file's bytes, or a few more than are allowed. Raises :class:`ModelError` if it cannot be read."""
    source = Path(path)
    try:
        with source.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(f"cannot read model file {str(source)!r}: {reason}") from None


def pack(description: Mapping[str, Any], tensors: Tensors) -> bytes:
    """The bytes of a file. Raises :class:`ModelError` if the description is not JSON or the file would be too large."""
    try:
        text = _canonical({**description, "sha256": digest(description, tensors)})
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"metadata is not JSON: {error}") from None
    _parse_json(text, "metadata")  # what would not load is not written
    data = safetensors.numpy.save(tensors, metadata={METADATA_KEY: text})
    _check_size(data)
    return data


def unpack(data: bytes, *, version: int, dtypes: Mapping[str, type[np.generic]]) -> tuple["Reader", Tensors]:
    """Inverse of :func:`pack`: the description, its ``format`` and ``sha256`` taken and checked, and the tensors.

    ``dtypes``: those allowed, by safetensors' names. Raises :class:`ModelError` saying what is wrong.
    """
    _check_size(data)
    header = _header(data)
    tensors = _read_tensors(data, dtypes)
    document = Reader(_parse_json(_metadata(header), "metadata"), "model")
    found = document.take("format", int)
    if found != version:
        raise ModelError(f"model file has format {found}; this release reads {version}")
    recorded = document.take("sha256", str)
    try:
        actual = digest(document.rest(), tensors)
    except RecursionError:
        raise ModelError("model file has bad metadata: nested too deeply") from None
    if recorded != actual:
        raise ModelError("model file is damaged: its SHA-256 differs")
    return document, tensors


def digest(description: Mapping[str, Any], tensors: Tensors) -> str:
    """SHA-256 over the description, without a digest in it, and the tensors."""
    found = hashlib.sha256(_canonical(description).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"\n{name} {tensor.dtype.name} {tensor.size}\n".encode())
        found.update(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def take_tensor(name: str, allowed: Iterable[type[Any]], tensors: Tensors) -> npt.NDArray[Any]:
    """Removes the tensor and returns it. Raises :class:`ModelError` if it is missing or of another dtype."""
    if name not in tensors:
        raise ModelError(f"model file lacks the tensor {name!r}")
    tensor = tensors.pop(name)
    if tensor.dtype.type not in allowed:
        names = " or ".join(np.dtype(kind).name for kind in allowed)
        raise ModelError(f"tensor {name!r} is {tensor.dtype}; expected {names}")
    return tensor


def check_all_taken(tensors: Tensors) -> None:
    """Raises :class:`ModelError` if a tensor is left."""
    if tensors:
        raise ModelError(f"model file has an unknown tensor {min(tensors)!r}")


class Reader:
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
        return [Reader({key: value}, self._where).take(key, kind) for value in values]

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


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_size(data: bytes) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise ModelError(f"model file has more than {MAX_FILE_BYTES} bytes")


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


def _read_tensors(data: bytes, dtypes: Mapping[str, type[np.generic]]) -> Tensors:
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ModelError(f"not a safetensors file: {' '.join(str(error).split())}") from None
    tensors: Tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in dtypes or len(entry["shape"]) != 1 or entry["shape"][0] < 1:
            raise ModelError(
                f"tensor {name!r} is {entry['dtype']} {entry['shape']}; allowed: {', '.join(dtypes)} of one axis"
            )
        stored = np.dtype(dtypes[entry["dtype"]]).newbyteorder("<")
        tensors[name] = np.frombuffer(entry["data"], stored).astype(stored.newbyteorder("="), copy=False)
    return tensors


def _parse_json(text: str | bytes, what: str) -> Any:
    try:
        return strict_json.parse(text)
    except EncodingError as error:
        raise ModelError(f"model file has bad {what}: {error}") from None
