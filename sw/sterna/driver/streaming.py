"""Which of an image's segments are in the device's memories, and what each lies over."""

from itertools import combinations

from sterna.spec.configuration import Configuration
from sterna.spec.image import Image, Section, word_bytes


class Streaming:
    """The driver's account of the sections that it has written for segments of ``image``.

    The device carries requests out in order and begins a run only when the one before has ended. So what is written
    behind the START of a segment meets that segment alone.
    """

    def __init__(self, image: Image, configuration: Configuration) -> None:
        segments = image.segments
        self._streamed = [index for index, segment in enumerate(segments) if segment.sections]
        self._over: list[set[int]] = [set() for _ in segments]
        """Segments whose words each segment lies over."""
        for one, other in combinations(self._streamed, 2):
            if overlap(segments[one].sections, segments[other].sections, configuration):
                self._over[one].add(other)
                self._over[other].add(one)
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
        return self._running is not None and self._running in self._over[segment]

    def wrote(self, segment: int) -> None:
        self._present -= self._over[segment]
        self._present.add(segment)

    def started(self, segment: int) -> None:
        self._running = segment

    def after(self, segment: int) -> int | None:
        """The next segment that is streamed, in this run or else in the next; None if none is."""
        later = (index for index in self._streamed if index > segment)
        return next(later, self._streamed[0] if self._streamed else None)


def overlap(some: tuple[Section, ...], others: tuple[Section, ...], configuration: Configuration) -> bool:
    """Whether two groups of sections have a word in common."""

    def end(section: Section) -> int:
        return section.address + -(-len(section.data) // word_bytes(section.region, configuration))

    return any(
        one.region is other.region and one.address < end(other) and other.address < end(one)
        for one in some
        for other in others
    )
