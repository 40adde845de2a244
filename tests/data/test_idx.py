"""The IDX reader takes exactly what the header announces."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.data.idx import parse_idx, read_idx
from sterna.spec.errors import DataError


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.tobytes()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_parsing_gives_back_what_was_written(shape, random):
    array = np.array([random.randrange(256) for _ in range(int(np.prod(shape)))], np.uint8).reshape(shape)
    parsed = parse_idx(idx(array), len(shape))
    assert parsed.dtype == np.uint8
    assert np.array_equal(parsed, array)


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_raise_a_data_error(content):
    try:
        parsed = parse_idx(content, 1)
    except DataError:
        return
    assert idx(parsed) == content


@pytest.mark.parametrize(
    ("content", "axes", "text"),
    [
        (b"\0\0\x08\x01", 1, "IDX header needs 8 bytes, the file has 4"),
        (struct.pack(">2I", 0x0D01, 0), 1, "IDX magic is 0x00000d01; expected 0x00000801: unsigned bytes on 1 axes"),
        (struct.pack(">2I", 0x0801, 3) + b"ab", 1, "IDX header announces 3 bytes, the file holds 2"),
        (struct.pack(">3I", 0x0802, 2, 2) + b"abcde", 2, "IDX header announces 2×2 bytes, the file holds 5"),
    ],
)
def test_another_header_is_refused(content, axes, text):
    with pytest.raises(DataError, match=re.escape(text)):
        parse_idx(content, axes)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"abc" * 99, mtime=0)[:-9], b""])
def test_a_damaged_archive_is_refused_by_name(tmp_path: Path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.gz: "):
        read_idx(path, 3)


def test_a_missing_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(DataError, match=r"nothing\.gz: "):
        read_idx(tmp_path / "nothing.gz", 3)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sterna.data.idx.MAX_BYTES", 1000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(5000)))
    with pytest.raises(DataError, match=r"bomb\.gz: holds more than 1000 bytes"):
        read_idx(path, 1)
