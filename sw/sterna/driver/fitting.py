"""Whether an image goes with a configuration (and a network), checked before anything is sent."""

from itertools import product

from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.errors import ImageError
from sterna.spec.image import Image, TensorPlace, region_words, word_bytes
from sterna.spec.network import IntegerNetwork, Shape


def check_image(image: Image, configuration: Configuration, network: IntegerNetwork | None = None) -> None:
    """Raises :class:`ImageError` naming what does not go together."""
    if image.digest != configuration.digest:
        raise ImageError(
            f"the image was made for configuration {image.digest.hex()}, the device has {configuration.digest.hex()} "
            f"({configuration.name}); compile the network for it"
        )
    if image.entry >= configuration.program_depth:
        raise ImageError(
            f"the image starts at program word {image.entry}; the device has {configuration.program_depth}"
        )
    if image.slot_offset % CHUNK:
        raise ImageError(f"the image has slot offset {image.slot_offset}; allowed: multiples of {CHUNK}")
    _check_slots(image)
    for section in image.sections:
        count, rest = divmod(len(section.data), word_bytes(section.region, configuration))
        depth = region_words(section.region, configuration)
        name = section.region.name.lower()
        if rest:
            raise ImageError(f"a section of {name} has {len(section.data)} bytes, which are not whole words")
        if section.address + count > depth:
            raise ImageError(f"a section of {name} reaches word {section.address + count}; the device has {depth}")
    if not image.outputs:
        raise ImageError("the image has no outputs")
    for place in (image.input, *image.outputs):
        _check_place(place, image.slot_offset, configuration)
    for op in image.ops:
        _check_place(op.tensor, 0, configuration)
        if op.entry >= configuration.program_depth:
            raise ImageError(
                f"the image's op {op.tensor.name!r} starts at program word {op.entry}; the device has "
                f"{configuration.program_depth}"
            )
    if image.input.word % CHUNK:
        raise ImageError(f"the image's input begins at word {image.input.word}; allowed: multiples of {CHUNK}")
    if network is not None:
        for place in (image.input, *image.outputs, *(op.tensor for op in image.ops)):
            shape, found = network.shape(place.name), (place.layout.height, place.layout.width, place.layout.channels)
            if found != shape:
                raise ImageError(
                    f"the image's tensor {place.name!r} has {_times(found)} activations; the network's has "
                    f"{_times(shape)}"
                )


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
