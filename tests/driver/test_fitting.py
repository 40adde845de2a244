import dataclasses
from typing import Any

import numpy as np
import pytest

from sterna.compiler import compile_network
from sterna.driver.fitting import check_image
from sterna.spec.configuration import Configuration
from sterna.spec.descriptors import OpDescriptor
from sterna.spec.errors import ImageError
from sterna.spec.image import OpPlace, Region, Section, Segment, TensorPlace
from sterna.spec.layout import TensorLayout
from sterna.spec.network import IntegerNetwork


def place(name: str, word: int, channels: int, simd: int = 4) -> TensorPlace:
    return TensorPlace(name, word, TensorLayout(height=1, width=1, channels=channels, simd=simd, pixel=channels))


REPLACE: list[tuple[str, Any, str]] = [
    ("slot_offset", 12, "the image has slot offset 12; allowed: multiples of 8"),
    ("outputs", (), "the image has no outputs"),
    ("input", place("input", 4, 37), "the image's input begins at word 4; allowed: multiples of 8"),
    (
        "ops",
        (OpPlace(place("a", 1023, 5), 0, ()),),
        "the image's tensor 'a' reaches activation word 1025; the device has 1024",
    ),
    (
        "ops",
        (OpPlace(place("a", 0, 5), 64, ()), OpPlace(place("a", 0, 5), 0, ())),
        r"the image's program has no end: op descriptor cut short",
    ),
    (
        "ops",
        (OpPlace(place("a", 0, 5), 0, ()), OpPlace(place("a", 0, 5), 20, ())),
        r"the image's program has ops at \[0, 21\], not where the image says",
    ),
]


@pytest.mark.parametrize(("field", "value", "message"), REPLACE)
def test_an_image_out_of_bounds_is_refused(
    network: IntegerNetwork, configuration: Configuration, field: str, value: Any, message: str
) -> None:
    image = compile_network(network, configuration)
    check_image(image, configuration, network)
    with pytest.raises(ImageError, match=message):
        check_image(dataclasses.replace(image, **{field: value}), configuration)


def test_segments_have_to_cover_the_program(network: IntegerNetwork, configuration: Configuration) -> None:
    image = compile_network(network, configuration)
    for changes in ({"segments": (Segment(1),)}, {"ops": (), "segments": ()}):
        with pytest.raises(ImageError, match=r"the image has segments of \d ops in all, where there are \d"):
            check_image(dataclasses.replace(image, **changes), configuration)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["layer2", "layer2"], "the image's output 'layer2' has 1×1×20 activations, which no ops write"),
        (["layer1", "layer2", "layer1"], "the image's outputs of one name do not follow each other"),
    ],
)
def test_outputs_are_what_ops_write_each_once(
    network: IntegerNetwork, configuration: Configuration, names: list[str], message: str
) -> None:
    image = dataclasses.replace(compile_network(network, configuration), slot_offset=0)
    outputs = tuple(place for name in names for place in image.parts(name))
    with pytest.raises(ImageError, match=message):
        check_image(dataclasses.replace(image, outputs=outputs), configuration)


def test_parts_of_one_tensor_have_the_same_pixels(network: IntegerNetwork, configuration: Configuration) -> None:
    image = compile_network(network, configuration)
    first, last = image.ops
    layout = dataclasses.replace(first.tensor.layout, height=2)
    other = dataclasses.replace(last, tensor=TensorPlace("layer1", 0, layout))
    with pytest.raises(ImageError, match="the parts of the image's tensor 'layer1' differ in their pixels"):
        check_image(dataclasses.replace(image, ops=(first, other)), configuration)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (Section(Region.WEIGHTS, 0, bytes(3)), "a section of weights has 3 bytes, which are not whole words"),
        (Section(Region.WEIGHTS, 8191, bytes(4)), "a section of weights reaches word 8193; the device has 8192"),
        (Section(Region.MASKS, 1024, bytes(1)), "a section of masks reaches word 1025; the device has 1024"),
        (Section(Region.PARAMETERS, 0, bytes(8)), "a section of parameters has 8 bytes, which are not whole words"),
        (Section(Region.PROGRAM, 60, bytes(10)), "a section of program reaches word 65; the device has 64"),
    ],
)
def test_a_section_out_of_bounds_is_refused(
    network: IntegerNetwork, configuration: Configuration, section: Section, message: str
) -> None:
    image = dataclasses.replace(compile_network(network, configuration), sections=(section,))
    with pytest.raises(ImageError, match=message):
        check_image(image, configuration)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last": False}, "the image's program has no end: op descriptor cut short"),
        ({"parameters": 1020}, r"the image's op at program word 0 reaches parameter word 10\d\d; the device has 1024"),
        ({"masks": 255}, r"the image's op at program word 0 reaches mask word 2\d\d; the device has 256"),
        ({"height": 4097}, r"the image's op at program word 0 has height 4097; the device has at most 4096$"),
        (
            {"pool_height": 2},
            "the image's op at program word 0 has pool windows of 2 x 1, which do not divide its 1 x 1 pixels$",
        ),
        (
            {"pool_width": 3},
            "the image's op at program word 0 has pool windows of 1 x 3, which do not divide its 1 x 1 pixels$",
        ),
        ({"tail_groups": 9}, r"the image's op at program word 0 has tail_groups 9; the device has at most 8$"),
        ({"height": 4096}, r"the image's program takes more than the \d+ cycles that it says"),
    ],
)
def test_a_program_that_does_not_end_in_time_or_leaves_its_memories_is_refused(
    network: IntegerNetwork, configuration: Configuration, changes: dict[str, Any], message: str
) -> None:
    image = compile_network(network, configuration)
    (section,) = (s for s in image.sections if s.region is Region.PROGRAM)
    op, _ = OpDescriptor.decode(list(np.frombuffer(section.data, "<u2").tolist()))
    words = dataclasses.replace(op, **({"last": True} | changes)).encode()
    others = tuple(s for s in image.sections if s is not section)
    data = np.array(words, "<u2").tobytes()
    hostile = dataclasses.replace(image, sections=(*others, Section(Region.PROGRAM, 0, data)))
    with pytest.raises(ImageError, match=f"^{message}"):
        check_image(hostile, configuration)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (place("layer2", 1020, 10), "'layer2' reaches activation word 1047; the device has 1024"),
        (place("layer2", 16, 0), "'layer2' is empty"),
        (place("layer2", 16, 10, simd=8), "'layer2' lies over 8 banks; the device has 4"),
        (place("layer2", 32, 10), "slot offset 24 lays 'input' of slot 1 over 'layer2' of slot 0; compile"),
    ],
)
def test_an_output_out_of_place_is_refused(
    network: IntegerNetwork, configuration: Configuration, output: TensorPlace, message: str
) -> None:
    image = compile_network(network, configuration)
    assert image.slot_offset == 24
    with pytest.raises(ImageError, match=message):
        check_image(dataclasses.replace(image, outputs=(output,)), configuration)


def test_an_image_of_another_network_is_refused(network: IntegerNetwork, configuration: Configuration) -> None:
    image = compile_network(network, configuration)
    other = dataclasses.replace(image, outputs=(place("layer2", 16, 9),))
    with pytest.raises(ImageError, match="tensor 'layer2' has 1×1×9 activations; the network's has 1×1×10"):
        check_image(other, configuration, network)
