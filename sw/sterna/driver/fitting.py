"""Whether an image goes with a configuration (and a network), checked before anything is sent."""

import struct
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, product

from sterna.driver.streaming import overlap
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.descriptors import OpDescriptor
from sterna.spec.errors import EncodingError, ImageError
from sterna.spec.image import Image, Region, TensorPlace, region_words, word_bytes
from sterna.spec.limits import op_limits, plane_limits
from sterna.spec.network import IntegerNetwork, Shape
from sterna.spec.strict_json import brief


def check_image(image: Image, configuration: Configuration, network: IntegerNetwork | None = None) -> None:
    """Raises :class:`ImageError` naming what does not go together."""
    if image.digest != configuration.digest:
        raise ImageError(
            f"the image was made for configuration {image.digest.hex()}, the device has {configuration.digest.hex()} "
            f"({configuration.name}); compile the network for it"
        )
    if image.slot_offset % CHUNK:
        raise ImageError(f"the image has slot offset {image.slot_offset}; allowed: multiples of {CHUNK}")
    _check_slots(image)
    _check_sections(image, configuration)
    if not image.outputs:
        raise ImageError("the image has no outputs")
    for place in (image.input, *image.outputs):
        _check_place(place, image.slot_offset, configuration)
    for op in image.ops:
        _check_place(op.tensor, 0, configuration)
    of_segments = sum(segment.ops for segment in image.segments)
    if of_segments != len(image.ops) or not image.ops:
        raise ImageError(f"the image has segments of {of_segments} ops in all, where there are {len(image.ops)}")
    _check_program(image, configuration)
    if image.input.word % CHUNK:
        raise ImageError(f"the image's input begins at word {image.input.word}; allowed: multiples of {CHUNK}")
    if network is not None:
        for places in ([image.input], image.outputs, [op.tensor for op in image.ops]):
            _check_shapes(places, network)
    _check_parts(image)


def _check_parts(image: Image) -> None:
    """Outputs are tensors that ops write, each once; parts of a tensor agree on its pixels."""
    names = [name for name, _ in groupby(place.name for place in image.outputs)]
    if len(set(names)) < len(names):
        raise ImageError("the image's outputs of one name do not follow each other")
    written: dict[str, tuple[int, int, int]] = {}
    for found, places in ((written, [op.tensor for op in image.ops]), ({}, image.outputs)):
        for place in places:
            height, width = place.layout.height, place.layout.width
            *pixels, channels = found.get(place.name, (height, width, 0))
            if pixels != [height, width]:
                raise ImageError(f"the parts of the image's tensor {place.name!r} differ in their pixels")
            found[place.name] = height, width, channels + place.layout.channels
    for name, shape in found.items():
        if written.get(name) != shape:
            raise ImageError(f"the image's output {name!r} has {_times(shape)} activations, which no ops write")


def _check_shapes(places: Sequence[TensorPlace], network: IntegerNetwork) -> None:
    """Tensors, or all their parts, are as large as the network's."""
    channels: Counter[str] = Counter()
    for place in places:
        channels[place.name] += place.layout.channels
    for place in places:
        shape, found = network.shape(place.name), (place.layout.height, place.layout.width, channels[place.name])
        if found != shape:
            raise ImageError(
                f"the image's tensor {place.name!r} has {_times(found)} activations; the network's has {_times(shape)}"
            )


def _check_sections(image: Image, configuration: Configuration) -> None:
    streamed = [section for segment in image.segments for section in segment.sections]
    for section in (*image.sections, *streamed):
        count, rest = divmod(len(section.data), word_bytes(section.region, configuration))
        depth = region_words(section.region, configuration)
        name = section.region.name.lower()
        if rest:
            raise ImageError(f"a section of {name} has {len(section.data)} bytes, which are not whole words")
        if section.address + count > depth:
            raise ImageError(f"a section of {name} reaches word {section.address + count}; the device has {depth}")
    if any(section.region is Region.PROGRAM for section in streamed):
        raise ImageError("the image streams a part of its program, which has to stay in place")
    if overlap(image.sections, tuple(streamed), configuration):
        raise ImageError("the image streams words over those that have to stay in place")


def _check_program(image: Image, configuration: Configuration) -> None:
    """The program ends, stays within the memories and takes no longer than the image says."""
    c = configuration
    program = bytearray(2 * c.program_depth)
    for section in image.sections:
        if section.region is Region.PROGRAM:
            program[2 * section.address : 2 * section.address + len(section.data)] = section.data
    words = list(struct.unpack(f"<{c.program_depth}H", program))
    at, scans, last = image.ops[0].entry, 0, False
    entries = []
    while not last:
        entries.append(at)
        try:
            op, size = OpDescriptor.decode(words[at:])
        except EncodingError as error:
            raise ImageError(f"the image's program has no end: {error}") from None
        chunks = sum(plane.rows * plane.chunks for plane in op.planes)
        ends = {
            "parameter word": (op.parameters + op.tiles * len(op.planes) * c.pe // c.requantisers, c.parameter_depth),
            "mask word": (op.masks + min(op.phases, op.width) * op.tiles * chunks, c.mask_depth),
        }
        for name, (end, depth) in ends.items():
            if end > depth:
                raise ImageError(f"the image's op at program word {at} reaches {name} {end}; the device has {depth}")
        beyond = [
            f"{name} {getattr(described, name)}; the device has at most {limit}"
            for described, limits in ((op, op_limits(c)), *((plane, plane_limits(c)) for plane in op.planes))
            for name, limit in limits.items()
            if getattr(described, name) > limit
        ]
        if beyond:
            raise ImageError(f"the image's op at program word {at} has {beyond[0]}")
        if op.height % op.pool_height or op.width % op.pool_width:  # the op's end would never be written
            raise ImageError(
                f"the image's op at program word {at} has pool windows of {op.pool_height} x {op.pool_width}, which do "
                f"not divide its {op.height} x {op.width} pixels"
            )
        scans += op.height * op.width * op.tiles * chunks
        if scans > image.estimated_cycles:
            raise ImageError(f"the image's program takes more than the {image.estimated_cycles} cycles that it says")
        at, last = at + size, op.last
    if entries != [op.entry for op in image.ops]:
        raise ImageError(f"the image's program has ops at {brief(entries)}, not where the image says")


def _times(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _check_place(place: TensorPlace, slot_offset: int, configuration: Configuration) -> None:
    layout = place.layout
    if min(layout.height, layout.width, layout.channels) < 1:
        raise ImageError(f"the image's tensor {place.name!r} is empty")
    if layout.simd != configuration.simd:
        raise ImageError(
            f"the image's tensor {place.name!r} lies over {layout.simd} banks; the device has {configuration.simd}"
        )
    end = place.word + slot_offset + layout.words
    if end > configuration.activation_depth:
        raise ImageError(
            f"the image's tensor {place.name!r} reaches activation word {end}; "
            f"the device has {configuration.activation_depth}"
        )


def _check_slots(image: Image) -> None:
    """Slot 1 must not lie over slot 0. Without an offset there is only slot 0."""
    if not image.slot_offset:
        return
    places = (image.input, *image.outputs)
    for one, other in product(places, places):
        start = other.word + image.slot_offset
        ends = one.word + one.layout.words, start + other.layout.words
        if start < ends[0] and one.word < ends[1]:
            raise ImageError(
                f"slot offset {image.slot_offset} lays {other.name!r} of slot 1 over {one.name!r} of slot 0; "
                "compile the network again"
            )
