"""Which of an image's segments are in the device's memories, and what each lies over."""

from sterna.spec.configuration import Configuration
from sterna.spec.image import Image, Section, word_bytes


class Streaming:
    """The driver's account of the sections that it has written for segments of ``image``.

    The device carries requests out in order and begins a run only when the one before has ended. So what is written
    behind the START of a segment meets that segment alone.
    """

    def __init__(self, image: Image, configuration: Configuration) -> None:
        self._segments = image.segments
        self._configuration = configuration
        self._streamed = [index for index, segment in enumerate(image.segments) if segment.sections]
        self._overlaps: dict[tuple[int, int], bool] = {}
        self._present: set[int] = set()
        self._running: int | None = None

    def forget(self) -> None:
        """What was written may not have come, and nothing is running."""
        self._present.clear()
        self._running = None

    def is_missing(self, segment: int) -> bool:
        """Whether its sections have to be written before it may start."""
        return segment in self._streamed and segment not in self._present

    def is_in_use(self, segment: int) -> bool:
        """Whether its words may be written only when the segment that was started last has ended."""
        return self._running is not None and self._lies_over(segment, self._running)

    def wrote(self, segment: int) -> None:
        self._present = {other for other in self._present if not self._lies_over(segment, other)} | {segment}

    def _lies_over(self, one: int, other: int) -> bool:
        pair = min(one, other), max(one, other)
        if pair not in self._overlaps:  # asked for again in every run
            first, second = (self._segments[segment].sections for segment in pair)
            self._overlaps[pair] = one != other and overlap(first, second, self._configuration)
        return self._overlaps[pair]

    def started(self, segment: int) -> None:
        self._running = segment

    def after(self, segment: int) -> int | None:
        """The next segment that is streamed, in this run or else in the next; None if none is."""
        later = (index for index in self._streamed if index > segment)
        return next(later, self._streamed[0] if self._streamed else None)


def overlap(some: tuple[Section, ...], others: tuple[Section, ...], configuration: Configuration) -> bool:
    """Whether two groups of sections have a word in common."""

    def spans(sections: tuple[Section, ...], group: int) -> list[tuple[int, int, int, int]]:
        return [
            (section.region, section.address, section.address + -(-len(section.data) // size), group)
            for section in sections
            if (size := word_bytes(section.region, configuration)) and section.data
        ]

    ends: dict[tuple[int, int], int] = {}  # of what has begun, by region and group
    for region, first, end, group in sorted(spans(some, 0) + spans(others, 1)):
        if first < ends.get((region, 1 - group), 0):
            return True
        ends[region, group] = max(end, ends.get((region, group), 0))
    return False
