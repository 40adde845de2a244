"""Trit codes: round trips, every byte, every error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec.errors import EncodingError, IllegalTritError
from sterna.spec.trits import (
    TRIPLES,
    TRIT2,
    TRIT2_ILLEGAL,
    TritCode,
    pack_trit2,
    pack_trit5,
    trit5_word,
    unpack_trit2,
    unpack_trit5,
)

CODES = {"trit2": (pack_trit2, unpack_trit2, 4), "trit5": (pack_trit5, unpack_trit5, 5)}
each_code = pytest.mark.parametrize("code", sorted(CODES))
trit_lists = st.lists(st.sampled_from([-1, 0, 1]), max_size=70)


@each_code
@given(trits=trit_lists)
def test_packing_and_unpacking_give_back_the_trits(code, trits):
    pack, unpack, group = CODES[code]
    packed = pack(np.array(trits, np.int8))
    assert packed.dtype == np.uint8
    assert packed.shape == (-(-len(trits) // group),)
    unpacked = unpack(packed, len(trits))
    assert unpacked.dtype == np.int8
    assert unpacked.tolist() == trits


@given(trits=trit_lists)
def test_a_code_by_its_name_packs_and_unpacks_as_its_functions(trits):
    assert {code.value for code in TritCode} == CODES.keys()
    for code in TritCode:
        pack, unpack, group = CODES[code]
        packed = code.pack(np.array(trits, np.int8))
        assert code.trits_per_byte == group
        assert packed.tolist() == pack(np.array(trits, np.int8)).tolist()
        assert code.unpack(packed, len(trits)).tolist() == unpack(packed, len(trits)).tolist() == trits


@given(trits=trit_lists)
def test_trit2_puts_trit_k_at_bits_2k_of_a_little_endian_number(trits):
    number = sum(TRIT2[trit] << 2 * k for k, trit in enumerate(trits))
    assert int.from_bytes(pack_trit2(np.array(trits, np.int8)).tobytes(), "little") == number


@each_code
def test_each_byte_is_a_code_of_its_own_or_illegal(code):
    pack, unpack, group = CODES[code]
    seen = set()
    for byte in range(256):
        try:
            trits = unpack(np.array([byte], np.uint8), group)
        except IllegalTritError as error:
            assert str(error) == f"byte 0 is 0x{byte:02x}, which is not a {code} code"
        else:
            assert pack(trits).tolist() == [byte]
            seen.add(tuple(trits.tolist()))
    assert len(seen) == 3**group


def test_the_words_of_trit5_are_trit2_codes_and_mark_unused_bytes_in_the_third_trit():
    words = [trit5_word(byte) for byte in range(256)]
    third = [word >> 4 & 0b11 for word in words]
    assert third.count(TRIT2_ILLEGAL) == 256 - 3**5
    for byte, word in enumerate(words):
        if third[byte] != TRIT2_ILLEGAL:
            trits = unpack_trit5(np.array([byte], np.uint8), 5).tolist()
            assert word == sum(TRIT2[trit] << 2 * k for k, trit in enumerate(trits))


def test_each_bit_of_a_triple_depends_on_four_of_five_bits():
    for bit in range(6):
        column = [code >> bit & 1 for code in TRIPLES]
        assert any(all(column[at] == column[at ^ 1 << k] for at in range(32)) for k in range(5))


@each_code
def test_zeros_are_zero_bytes(code):
    assert not CODES[code][0](np.zeros(11, np.int8)).any()


@each_code
def test_long_runs_and_other_dtypes_and_shapes_pack_alike(code):
    pack, unpack, _ = CODES[code]
    trits = np.random.default_rng(0).integers(-1, 2, (3, 7, 40_003))
    packed = pack(trits)
    assert (packed == pack(trits.astype(np.int8))).all()
    assert (unpack(packed, trits.size) == trits.reshape(-1)).all()
    assert (pack(trits.transpose(2, 0, 1)) == pack(np.ascontiguousarray(trits.transpose(2, 0, 1)))).all()


@each_code
@pytest.mark.parametrize(
    ("value", "dtype"),
    [(2, np.int8), (-2, np.int8), (-128, np.int8), (256, np.int64), (-257, np.int16), (2**63, np.uint64)],
)
def test_values_that_are_no_trits_are_refused_by_name(code, value, dtype):
    with pytest.raises(IllegalTritError, match=rf"^trit is {value}; allowed: -1, 0, 1$"):
        CODES[code][0](np.array([0, 1, value], dtype))


@each_code
def test_trits_that_are_no_integers_are_refused(code):
    with pytest.raises(EncodingError, match=r"^trits have dtype float64; allowed: integers$"):
        CODES[code][0](np.zeros(3))


@each_code
def test_a_length_that_does_not_go_with_the_count_is_refused(code):
    _, unpack, group = CODES[code]
    with pytest.raises(IllegalTritError, match=rf"^2 {code} bytes for {2 * group + 1} trits; expected 3$"):
        unpack(np.zeros(2, np.uint8), 2 * group + 1)
    with pytest.raises(IllegalTritError, match=rf"^0 {code} bytes for -1 trits; expected 0$"):
        unpack(np.zeros(0, np.uint8), -1)


@each_code
def test_bytes_of_another_dtype_or_shape_are_refused(code):
    with pytest.raises(IllegalTritError, match=rf"^{code} bytes have dtype int8 and 1 axes; allowed: uint8, 1 axis$"):
        CODES[code][1](np.zeros(2, np.int8), 8)
    with pytest.raises(IllegalTritError, match=r"2 axes"):
        CODES[code][1](np.zeros((1, 1), np.uint8), 4)


@each_code
def test_a_last_byte_that_is_not_filled_with_zeros_is_refused(code):
    pack, unpack, group = CODES[code]
    packed = pack(np.array([0] * (group - 1) + [1], np.int8))
    with pytest.raises(IllegalTritError, match=rf"^the last {code} byte is not filled with zeros: 0x{packed[0]:02x}$"):
        unpack(packed, group - 1)
