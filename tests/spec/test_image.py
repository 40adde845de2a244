"""Program images: round trips, and typed errors for everything else."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.spec import image as image_module
from sterna.spec.configuration import FORMAT_VERSION, configuration_named
from sterna.spec.errors import ImageError
from sterna.spec.frames import crc32c
from sterna.spec.image import (
    MAGIC,
    Image,
    OpPlace,
    Region,
    Section,
    Segment,
    TensorPlace,
    pack_parameter,
    region_words,
    word_bytes,
)
from sterna.spec.layout import TensorLayout

few = st.integers(1, 300)
layouts = st.builds(
    TensorLayout, height=few, width=few, channels=few, simd=few, pixel=st.integers(300, 400), top=few, bottom=few,
    side=few,
)  # fmt: skip
places = st.builds(TensorPlace, st.text(max_size=8), st.integers(0, 65535), layouts)
sections = st.lists(
    st.builds(Section, st.sampled_from(Region), st.integers(0, 1 << 20), st.binary(max_size=40)), max_size=4
).map(tuple)
ops = st.builds(OpPlace, places, st.integers(0, 65535), st.lists(st.text(max_size=3), max_size=2).map(tuple))
segmented = st.lists(st.tuples(st.lists(ops, min_size=1, max_size=3), sections), min_size=1, max_size=3)


@st.composite
def images(draw):
    parts = draw(segmented)
    return Image(
        digest=draw(st.binary(min_size=8, max_size=8)),
        slot_offset=draw(st.integers(0, 65535)),
        input=draw(places),
        outputs=draw(st.lists(places, max_size=3).map(tuple)),
        ops=tuple(op for of_segment, _ in parts for op in of_segment),
        segments=tuple(Segment(len(of_segment), streamed) for of_segment, streamed in parts),
        estimated_cycles=draw(st.integers(0, 2**40)),
        sections=draw(sections),
    )


PLACE = TensorPlace("image", 0, TensorLayout(height=1, width=1, channels=4, simd=4, pixel=4))
SMALL = Image(
    digest=bytes(range(8)), slot_offset=8, input=PLACE, outputs=(PLACE,),
    ops=(OpPlace(PLACE, 3, ("image",)), OpPlace(PLACE, 24, ("image",))), estimated_cycles=99,
    segments=(Segment(1), Segment(1, (Section(Region.MASKS, 1, b"gh"),))),
    sections=(Section(Region.WEIGHTS, 0, b"ab"), Section(Region.PROGRAM, 2, b"cdef")),
)  # fmt: skip


def sealed(header, payload=b"abcdefgh", version=FORMAT_VERSION):
    """An image's bytes around this header, the CRC right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = MAGIC + struct.pack("<I", version) + bytes(8) + struct.pack("<I", len(text)) + text + payload
    return body + struct.pack("<I", crc32c(body))


def header_of(image):
    data = image.to_bytes()
    (size,) = struct.unpack_from("<I", data, 20)
    return json.loads(data[24 : 24 + size])


@given(images())
def test_images_come_back_from_their_bytes(image):
    data = image.to_bytes()
    streamed = [section for segment in image.segments for section in segment.sections]
    assert image.streamed_bytes == sum(len(section.data) for section in streamed)
    for number, segment in enumerate(image.segments):
        first = image.first_op(number)
        assert {image.segment_of(op) for op in range(first, first + segment.ops)} == {number}
    assert Image.from_bytes(data) == image
    assert Image.from_bytes(data).to_bytes() == data
    assert image.payload_crc() == crc32c(b"".join(section.data for section in image.sections))


@settings(max_examples=200)
@given(st.integers(0, 8 * len(SMALL.to_bytes()) - 1))
def test_every_flipped_bit_is_found(bit):
    data = bytearray(SMALL.to_bytes())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ImageError):
        Image.from_bytes(bytes(data))


def test_every_truncation_is_found():
    data = SMALL.to_bytes()
    for size in range(len(data)):
        with pytest.raises(ImageError):
            Image.from_bytes(data[:size])


@given(st.binary(max_size=100))
def test_random_bytes_give_only_typed_errors(data):
    for damaged in (data, MAGIC + data, sealed(data)):
        with pytest.raises(ImageError):
            Image.from_bytes(damaged)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(header_of(SMALL))), _json)
def test_any_json_in_any_place_of_the_header_gives_only_typed_errors(key, value):
    try:
        image = Image.from_bytes(sealed(header_of(SMALL) | {key: value}))
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert Image.from_bytes(image.to_bytes()) == image


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a program image: it does not begin with STRNIMG"),
        (MAGIC + bytes(4), "program image cut short: 12 bytes"),
        (sealed({}, version=2), f"program image has format 2; this release reads {FORMAT_VERSION}"),
        (SMALL.to_bytes()[:-1], "program image is damaged or cut short: its CRC-32C differs"),
        (sealed({}), "program image has a bad header: lacks 'estimated_cycles'"),
        (sealed([]), "program image has a bad header: not an object"),
        (sealed(header_of(SMALL), b"abc"), "program image has 3 bytes of sections; its header says 8"),
        (sealed(header_of(SMALL) | {"sections": [[0, -1, 6]]}), "program image has a bad header: section [0, -1, 6]"),
        (sealed(header_of(SMALL) | {"sections": [[9, 0, 6]]}), "program image has a bad header: section [9, 0, 6]"),
        (
            sealed(header_of(SMALL) | {"sections": [[0, True, 6]]}),
            "program image has a bad header: section [0, True, 6]",
        ),
        (sealed(header_of(SMALL) | {"sections": [[0]]}), "program image has a bad header: section [0]"),
        (sealed(header_of(SMALL) | {"slot_offset": -1}), "program image has a bad header: slot_offset -1"),
        (
            sealed(header_of(SMALL) | {"slot_offset": 1 << 48}),
            "program image has a bad header: slot_offset 281474976710656",
        ),
        (sealed(header_of(SMALL) | {"sections": None}), "program image has a bad header: sections None"),
        (sealed(header_of(SMALL) | {"segments": [[0, []]]}), "program image has a bad header: segment [0, []]"),
        (sealed(header_of(SMALL) | {"segments": [[256, []]]}), "program image has a bad header: segment [256, []]"),
        (sealed(header_of(SMALL) | {"segments": [[1, 2]]}), "program image has a bad header: sections 2"),
        (
            sealed(header_of(SMALL) | {"segments": [[3, []]]}),
            "program image has a bad header: segments of 3 ops in all, where there are 2",
        ),
        (sealed(header_of(SMALL) | {"slot_offset": None}), "program image has a bad header: slot_offset None"),
        (sealed(header_of(SMALL) | {"estimated_cycles": 1.5}), "program image has a bad header: estimated_cycles 1.5"),
        (
            sealed(header_of(SMALL) | {"input": {"name": "a", "word": 0}}),
            "program image has a bad header: tensor {'name': 'a', 'word': 0}",
        ),
        (sealed(header_of(SMALL) | {"outputs": 3}), "program image has a bad header: outputs 3"),
        (sealed(header_of(SMALL) | {"more": 3}), "program image has a bad header: unknown key 'more'"),
        (sealed(b"[" * 100_000), "program image has a bad header: nested too deeply"),
        (sealed(b"{"), "program image has a bad header: Expecting property name"),
    ],
)
def test_errors_name_what_is_wrong(data, message):
    with pytest.raises(ImageError) as caught:
        Image.from_bytes(data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_images_over_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(image_module, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(ImageError, match=r"^program image has 11 bytes; at most 10$"):
        Image.from_bytes(bytes(11))


@given(st.integers(0, 65535), st.integers(0, 33), st.integers(-(2**33), 2**33 - 1))
def test_parameter_words_hold_multiplier_shift_and_bias(multiplier, shift, bias):
    word = int.from_bytes(pack_parameter(multiplier, shift, bias), "little")
    assert word & 0xFFFF == multiplier
    assert word >> 16 & 0x3F == shift
    assert ((word >> 22) ^ 1 << 33) - (1 << 33) == bias


@pytest.mark.parametrize(("name", "trits"), [("icebreaker", 524_288), ("icebreaker-trit5", 655_360)])
def test_regions_state_their_words(name, trits):
    c = configuration_named(name)
    assert region_words(Region.WEIGHTS, c) * c.pe == trits
    assert {region: (word_bytes(region, c), region_words(region, c)) for region in Region} == {
        Region.WEIGHTS: (2, c.simd * c.weight_depth),
        Region.MASKS: (1, c.simd * c.mask_depth),
        Region.PARAMETERS: (7, c.requantisers * c.parameter_depth),
        Region.PROGRAM: (2, c.program_depth),
    }
