"""Where each op's blocks, masks and parameters lie, and which ops have theirs streamed.

If everything fits, it lies in the order of the ops. If not, as much as possible stays in place for good, from the
bottom of each memory on: the largest ops first, since they cost the link most. The others are written again in each
run, at the bottom and at the top of what is left, by turns, so that one is written while the one before is running.
Where two neighbours have no room together, the driver waits for the first to end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sterna.spec.image import Region

Words = Mapping[Region, int]
"""A place in some memories, or a size."""


@dataclass(frozen=True)
class Placement:
    """Where ops lie."""

    first: list[Words]
    """Where each begins in each memory."""
    streamed: list[bool]
    """Whether it is."""
    in_pairs: bool
    """Whether neighbours that are streamed have room together."""
    used: Words
    """The most words of each memory that are in use at a time, more than it has if an op alone is too large."""


def place(sizes: Sequence[Words], link_bytes: Sequence[int], depths: Words) -> Placement:
    """Places for ops of these ``sizes``, in the order in which they run, which take ``link_bytes`` to write."""
    streamed = [True] * len(sizes)
    in_pairs = _fits(sizes, streamed, depths, in_pairs=True)
    for index in sorted(range(len(sizes)), key=link_bytes.__getitem__, reverse=True):
        streamed[index] = False
        streamed[index] = not _fits(sizes, streamed, depths, in_pairs=in_pairs)

    first: list[Words] = []
    bottom = dict.fromkeys(depths, 0)
    for size, moves in zip(sizes, streamed, strict=True):
        first.append(dict(bottom))
        if not moves:
            bottom = {region: bottom[region] + size[region] for region in depths}
    at_top = False
    for index, size in enumerate(sizes):
        if streamed[index]:
            top = {region: max(bottom[region], depths[region] - size[region]) for region in depths}
            first[index] = top if at_top else bottom
            at_top = not at_top
    used = {region: bottom[region] + _most(sizes, streamed, region, in_pairs=in_pairs) for region in depths}
    return Placement(first, streamed, in_pairs, used)


def _fits(sizes: Sequence[Words], streamed: Sequence[bool], depths: Words, *, in_pairs: bool) -> bool:
    """Whether what stays leaves room for each op that is streamed, ``in_pairs``: for it and the one before."""
    return all(
        sum(size[region] for size, moves in zip(sizes, streamed, strict=True) if not moves)
        + _most(sizes, streamed, region, in_pairs=in_pairs)
        <= depth
        for region, depth in depths.items()
    )


def _most(sizes: Sequence[Words], streamed: Sequence[bool], region: Region, *, in_pairs: bool) -> int:
    """The most words that the ops which are streamed take at a time."""
    moving = [size[region] for size, moves in zip(sizes, streamed, strict=True) if moves]
    if in_pairs and len(moving) > 1:
        return max(one + other for one, other in zip(moving, moving[1:] + moving[:1], strict=True))  # and round again
    return max(moving, default=0)
