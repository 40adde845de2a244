"""The file of the host's part: round trips, and a typed error for everything else."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from host.models import SHAPE, random_linears, random_transformer
from sterna.host import load_transformer, save_transformer
from sterna.host.host_file import transformer_from_bytes, transformer_to_bytes
from sterna.spec import tensor_file
from sterna.spec.errors import ModelError
from sterna.spec.model_file import network_to_bytes

NETWORK = random_linears(SHAPE)
MODEL = random_transformer(NETWORK)
DATA = transformer_to_bytes(MODEL)


def test_a_file_gives_the_same_transformer_and_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "text.host.safetensors"
    save_transformer(MODEL, path)
    found = load_transformer(path, NETWORK)
    assert (found.shape, found.network) == (MODEL.shape, MODEL.network)
    for name in ("embedding", "positions", "gains", "steps"):
        assert np.array_equal(getattr(found, name), getattr(MODEL, name))
    assert transformer_to_bytes(found) == DATA == path.read_bytes()


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.host.safetensors"
    save_transformer(MODEL, path)
    with pytest.raises(ModelError, match=r"^network 'random' is [0-9a-f]{16}…, but the transformer goes with"):
        load_transformer(path, random_linears(SHAPE, seed=1))
    with pytest.raises(ModelError, match=r"^cannot read model file '.*none': No such file or directory$"):
        load_transformer(tmp_path / "none", NETWORK)


def changed(tensors: dict[str, object] | None = None, **description: object) -> bytes:
    """The file with other parts, its digest right."""
    size = int.from_bytes(DATA[:8], "little")
    document = json.loads(json.loads(DATA[8 : 8 + size])["__metadata__"]["sterna"])
    del document["sha256"]
    merged = {**safetensors.numpy.load(DATA), **(tensors or {})}
    document = {key: value for key, value in {**document, **description}.items() if value is not None}
    return tensor_file.pack(document, {key: value for key, value in merged.items() if value is not None})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(format=2), "model file has format 2; this release reads 1"),
        (changed(kind="other"), "model file is of kind 'other'; expected 'transformer'"),
        (changed(kind=None), "model lacks 'kind'"),
        (changed(width=1.5), "model: width is 1.5; expected int"),
        (changed(heads=3), "model file: heads is 3; allowed: a divisor of the width 8"),
        (changed(width=16), "tensor 'embedding' has 2048 values; expected 256 × 16"),
        (changed(extra=1), "model has an unknown key 'extra'"),
        (changed({"gains": None}), "model file lacks the tensor 'gains'"),
        (changed({"gains": np.zeros(40)}), "tensor 'gains' is float64; expected float32"),
        (changed({"gains": np.zeros(40, np.uint8)}), "tensor 'gains' is U8 [40]; allowed: F32, F64 of one axis"),
        (changed({"gains": np.full(40, np.nan, np.float32)}), "gains of the transformer must be finite"),
        (changed({"more": np.zeros(1)}), "model file has an unknown tensor 'more'"),
        (network_to_bytes(NETWORK), "tensor '"),
        (DATA[:-1] + bytes([DATA[-1] ^ 1]), "model file is damaged: its SHA-256 differs"),
        (b"", "not a model file, or cut short"),
    ],
)
def test_anything_else_is_refused_and_named(data: bytes, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        transformer_from_bytes(data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_cut_files_are_refused_at_every_length() -> None:
    for end in range(0, len(DATA), 997):
        with pytest.raises(ModelError):
            transformer_from_bytes(DATA[:end])
