"""The receiver against ``decode_frame``: good frames come out whole and in order, all others leave a count behind."""

import random

import pytest

from sterna.sim.checks import receiver
from sterna.sim.checks.testbench import simulate
from sterna.spec.frames import WINDOW_FRAMES


@pytest.mark.parametrize("stalls", [(0, 0), (0.5, 0), (0, 0.5)])
def test_contents_at_every_edge_of_the_stuffing_arrive(stalls):
    receiver.check_edges(stalls, simulate)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_frames_are_dropped_and_counted_and_their_neighbours_arrive(seed):
    receiver.check_damage(random.Random(20 + seed), simulate)


def test_contents_outside_the_allowed_lengths_are_bad_even_with_the_right_crc():
    receiver.check_lengths(simulate)


def test_an_endless_frame_does_not_fill_the_ring():
    receiver.check_endless_frame(simulate)


def test_a_frame_whose_block_is_too_long_by_what_follows_is_bad():
    receiver.check_long_block(simulate)


@pytest.mark.parametrize("count", [2, WINDOW_FRAMES])
def test_a_full_window_is_taken_in_while_its_first_request_waits(count):
    receiver.check_window(count, simulate)


def test_frames_end_while_the_ring_is_full():
    receiver.check_slow_taker(simulate)


def test_a_full_ring_stalls_the_host_and_loses_nothing():
    receiver.check_full_ring(simulate)
