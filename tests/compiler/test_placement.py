"""Places of ops: what runs and what comes next never overlap, and what can stay stays."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sterna.compiler.placement import place
from sterna.spec.image import Region

DEPTHS = {Region.WEIGHTS: 64, Region.MASKS: 32}
sizes = st.lists(
    st.builds(
        lambda weights, masks: {Region.WEIGHTS: weights, Region.MASKS: masks}, st.integers(1, 64), st.integers(1, 32)
    ),
    min_size=1,
    max_size=12,
)


def spans(found, of_ops, region):
    return [range(first[region], first[region] + size[region]) for first, size in zip(found.first, of_ops, strict=True)]


@given(sizes)
def test_every_op_lies_within_its_memories_and_over_nothing_that_stays(of_ops):
    costs = [sum(size.values()) for size in of_ops]
    found = place(of_ops, costs, DEPTHS)
    for region, depth in DEPTHS.items():
        each = spans(found, of_ops, region)
        assert max(span.stop for span in each) <= depth
        assert found.used[region] <= depth
        stays = [set(span) for span, moves in zip(each, found.streamed, strict=True) if not moves]
        moving = set().union(*(span for span, moves in zip(each, found.streamed, strict=True) if moves))
        assert sum(map(len, stays)) == len(set().union(*stays))
        assert moving.isdisjoint(set().union(*stays))


@given(sizes)
def test_neighbours_that_are_streamed_lie_apart_wherever_every_pair_has_room(of_ops):
    found = place(of_ops, [1] * len(of_ops), DEPTHS)
    pairs = [*pairwise(of_ops), (of_ops[-1], of_ops[0])]
    if any(one[region] + other[region] > depth for one, other in pairs for region, depth in DEPTHS.items()):
        return
    for region in DEPTHS:
        moving = [set(span) for span, moves in zip(spans(found, of_ops, region), found.streamed, strict=True) if moves]
        assert all(one.isdisjoint(other) for one, other in pairwise(moving))


@given(sizes)
def test_what_fits_is_not_streamed_and_lies_in_order(of_ops):
    found = place(of_ops, [1] * len(of_ops), DEPTHS)
    fits = all(sum(size[region] for size in of_ops) <= depth for region, depth in DEPTHS.items())
    assert any(found.streamed) == (not fits)
    if fits:
        for region in DEPTHS:
            assert [span.start for span in spans(found, of_ops, region)] == [
                sum(size[region] for size in of_ops[:index]) for index in range(len(of_ops))
            ]


def test_the_largest_ops_stay_and_the_others_take_turns():
    of_ops = [dict.fromkeys(DEPTHS, size) for size in (4, 20, 4, 6, 4)]
    found = place(of_ops, [4, 20, 4, 6, 4], dict.fromkeys(DEPTHS, 32))
    assert found.streamed == [True, False, True, True, True]
    assert [first[Region.WEIGHTS] for first in found.first] == [20, 0, 28, 20, 28]


def test_an_op_that_is_too_large_alone_shows_in_the_use():
    found = place([{Region.WEIGHTS: 65, Region.MASKS: 1}], [1], DEPTHS)
    assert found.used == {Region.WEIGHTS: 65, Region.MASKS: 1}
