"""Op descriptors: every field at its limits, and what is cut short."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec.descriptors import (
    OP_FIELDS,
    OP_WORDS,
    PLANE_FIELDS,
    PLANE_WORDS,
    WORD_BITS,
    OpDescriptor,
    PlaneDescriptor,
    decode_program,
    encode_program,
)
from sterna.spec.errors import EncodingError


def _values(fields, **fixed):
    chosen = {
        name: st.booleans() if name in ("slotted", "last") else st.integers(*field.range)
        for name, field in fields.items()
    }
    return st.fixed_dictionaries(chosen | fixed)


planes = _values(PLANE_FIELDS).map(lambda values: PlaneDescriptor(**values))
ops = _values(OP_FIELDS, planes=st.lists(planes, min_size=1, max_size=16).map(tuple)).map(
    lambda values: OpDescriptor(**values)
)
PLANE = PlaneDescriptor(source=0, chunks=1, tail=1)
OP = OpDescriptor(planes=(PLANE,), last=True, tiles=1, tail_groups=1, destination=0, minimum=0, maximum=1)


@given(st.lists(ops, min_size=1, max_size=4))
def test_programs_come_back_from_their_words(program):
    program = [dataclasses.replace(op, last=index == len(program) - 1) for index, op in enumerate(program)]
    words = encode_program(program)
    assert len(words) == sum(OP_WORDS + PLANE_WORDS * len(op.planes) for op in program)
    assert all(0 <= word < 1 << WORD_BITS for word in words)
    assert decode_program(words) == program
    assert decode_program([*words, 0xFFFF]) == program


@pytest.mark.parametrize("fields", [OP_FIELDS, PLANE_FIELDS])
def test_fields_do_not_overlap_and_stay_within_their_words(fields):
    taken = [(field.word, bit) for field in fields.values() for bit in range(field.low, field.low + field.width)]
    assert len(set(taken)) == len(taken)
    assert max(bit for _, bit in taken) < WORD_BITS
    own = 0 if fields is OP_FIELDS else 1  # the sequencer's word at the end of a plane
    assert max(word for word, _ in taken) == (OP_WORDS if fields is OP_FIELDS else PLANE_WORDS) - 1 - own


@pytest.mark.parametrize("name", [name for name in OP_FIELDS if name not in ("planes", "slotted", "last")])
@pytest.mark.parametrize("beyond", [0, 1])
def test_op_fields_out_of_range_are_refused_by_name(name, beyond):
    low, high = OP_FIELDS[name].range
    value = (low - 1, high + 1)[beyond]
    with pytest.raises(EncodingError, match=rf"^{re.escape(f'op.{name} is {value}; allowed: {low}…{high}')}$"):
        dataclasses.replace(OP, **{name: value}).encode()


@pytest.mark.parametrize("name", [name for name in PLANE_FIELDS if name != "slotted"])
@pytest.mark.parametrize("beyond", [0, 1])
def test_plane_fields_out_of_range_are_refused_by_name(name, beyond):
    low, high = PLANE_FIELDS[name].range
    value = (low - 1, high + 1)[beyond]
    with pytest.raises(EncodingError, match=rf"^{re.escape(f'plane.{name} is {value}; allowed: {low}…{high}')}$"):
        dataclasses.replace(PLANE, **{name: value}).encode()


@pytest.mark.parametrize("count", [0, 17])
def test_a_number_of_planes_out_of_range_is_refused(count):
    with pytest.raises(EncodingError, match=rf"^op.planes is {count}; allowed: 1…16$"):
        dataclasses.replace(OP, planes=(PLANE,) * count).encode()


@pytest.mark.parametrize("marks", [[], [False], [True, True], [True, False]])
def test_a_program_needs_exactly_its_last_op_marked(marks):
    with pytest.raises(EncodingError, match=r"^a program needs at least one op, and exactly its last op marked last$"):
        encode_program(dataclasses.replace(OP, last=last) for last in marks)


def test_programs_cut_short_are_refused():
    words = encode_program([dataclasses.replace(OP, last=False), OP])
    for size in range(len(words)):
        with pytest.raises(EncodingError, match=r"^op descriptor cut short: \d+ words of \d+$"):
            decode_program(words[:size])
