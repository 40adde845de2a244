"""Strict JSON: what the standard library would let pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec.errors import EncodingError
from sterna.spec.strict_json import brief, parse


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)  # fmt: skip
def test_json_comes_back(value):
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":1,"b":{"c":1,"c":2}}', "duplicate key 'c'"),
        ("[NaN]", "NaN is not allowed"),
        ("Infinity", "Infinity is not allowed"),
        ("1e400", "number 1e400 is out of range"),
        ("9" * 21, f"number {'9' * 21} is out of range"),
        ("1" * 5000, f"number {'1' * 80} is out of range"),
        ("[" * 100_000, "nested too deeply"),
        (b'"\xff"', "not UTF-8: invalid start byte"),
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("{} {}", "Extra data: line 1 column 4 (char 3)"),
    ],
)
def test_anything_else_is_refused_on_one_line(text, message):
    with pytest.raises(EncodingError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_brief_texts_are_cut():
    assert brief("a" * 200) == "'" + "a" * 76 + "…"
    assert brief("a") == "'a'"
