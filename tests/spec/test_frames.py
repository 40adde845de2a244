"""Frames: round trips, damage, argument layouts."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec import frames
from sterna.spec.errors import EncodingError
from sterna.spec.frames import DELIMITER, MAX_CONTENT, Opcode, crc32c, decode_frame, encode_frame

contents = st.binary(min_size=2, max_size=MAX_CONTENT)


@given(contents)
def test_frames_come_back_and_hold_no_delimiter_but_the_last_byte(content):
    frame = encode_frame(content)
    assert frame.endswith(DELIMITER)
    assert DELIMITER not in frame[:-1]
    assert decode_frame(frame[:-1]) == content
    assert len(frame) <= len(content) + frames.CRC_BYTES + 2 + (len(content) + frames.CRC_BYTES) // 254


@given(contents, st.data())
def test_up_to_three_flipped_bits_are_found(content, data):
    stuffed = bytearray(encode_frame(content)[:-1])
    bits = st.integers(0, 8 * len(stuffed) - 1)
    for bit in data.draw(st.lists(bits, min_size=1, max_size=3, unique=True)):
        stuffed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EncodingError, match=r"^damaged frame: "):
        decode_frame(bytes(stuffed))


@given(st.binary(max_size=800))
def test_any_bytes_are_decoded_or_refused_with_a_typed_error(stuffed):
    try:
        content = decode_frame(stuffed)
    except EncodingError as error:
        assert "\n" not in str(error)
    else:
        assert encode_frame(content)[:-1] == stuffed


@pytest.mark.parametrize("size", [0, 1, MAX_CONTENT + 1])
def test_contents_of_another_length_are_refused(size):
    with pytest.raises(EncodingError, match=rf"^frame content has {size} bytes; allowed: 2…{MAX_CONTENT}$"):
        encode_frame(bytes(size))


def test_damage_is_told_apart():
    from cobs import cobs

    def stuffed(content, crc=None):
        return cobs.encode(content + struct.pack("<I", crc32c(content) if crc is None else crc))

    with pytest.raises(EncodingError, match=r"^damaged frame: CRC-32C differs$"):
        decode_frame(stuffed(b"ab", crc=0))
    for size in (0, 1, MAX_CONTENT + 1):
        with pytest.raises(EncodingError, match=rf"^damaged frame: {size} bytes of content; allowed: 2…{MAX_CONTENT}$"):
            decode_frame(stuffed(bytes(size)))
    with pytest.raises(EncodingError, match=r"^damaged frame: not enough input bytes"):
        decode_frame(b"\x09ab")


def test_crc_is_castagnoli_and_goes_on():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283
    assert crc32c(b"") == 0


def test_arguments_are_little_endian():
    assert frames.request(0x1FE, Opcode.READ, frames.read_arguments(9, 2)) == bytes([0xFE, 0x02, 9, 2])
    assert frames.sync_arguments(0x01020304) == bytes([4, 3, 2, 1])
    assert frames.write_header(2, 0x010203) == bytes([2, 3, 2, 1])
    assert frames.commit_arguments(0x01020304) == bytes([4, 3, 2, 1])
    assert frames.input_header(0x0102) == bytes([2, 1])
    assert frames.start_arguments(0x0102, 0x0304, 5, 6) == bytes([2, 1, 4, 3, 5, 6])
    assert frames.result_arguments(1, 0x0203, 0x0405) == bytes([1, 3, 2, 5, 4])
