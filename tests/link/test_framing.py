import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.link.framing import FrameReader
from sterna.spec.frames import DELIMITER, MAX_CONTENT, encode_frame

contents = st.binary(min_size=2, max_size=MAX_CONTENT)


def feed_in_pieces(reader: FrameReader, stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut % (len(stream) + 1) for cut in cuts)
    found = []
    for start, end in zip([0, *ends], [*ends, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    return found


@given(st.lists(contents, max_size=5), st.lists(st.integers(0, 5000), max_size=6))
def test_frames_are_found_however_the_stream_is_cut(sent: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader()
    stream = b"".join(encode_frame(content) for content in sent)
    assert feed_in_pieces(reader, stream, cuts) == sent
    assert (reader.good, reader.damaged) == (len(sent), 0)


@given(st.binary(max_size=3000), contents)
def test_a_frame_after_noise_and_a_delimiter_is_found(noise: bytes, content: bytes) -> None:
    reader = FrameReader()
    assert reader.feed(noise + DELIMITER + encode_frame(content))[-1:] == [content]


@given(contents, st.data())
def test_one_changed_byte_never_passes(content: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(content))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    reader = FrameReader()
    assert reader.feed(bytes(frame) + DELIMITER) == []
    assert reader.damaged >= 1


def test_an_endless_frame_takes_no_memory_and_counts_once() -> None:
    reader = FrameReader()
    for _ in range(100):
        assert reader.feed(b"\x55" * 10_000) == []
    assert len(reader._partial) < 1000
    assert reader.feed(DELIMITER + encode_frame(b"ab")) == [b"ab"]
    assert (reader.good, reader.damaged) == (1, 1)


def test_empty_frames_are_ignored() -> None:
    reader = FrameReader()
    assert reader.feed(DELIMITER * 10) == []
    assert (reader.good, reader.damaged) == (0, 0)


@pytest.mark.parametrize("size", [2, 253, 254, 255, 507, 508, MAX_CONTENT])
def test_longest_and_awkward_sizes_pass(size: int) -> None:
    for byte in (b"\0", b"\1", b"\xff"):
        assert FrameReader().feed(encode_frame(byte * size)) == [byte * size]
