# amaranth: UnusedElaboratable=no
"""The endpoint on wires of any bytes: good frames are carried out in order, all others leave a count behind."""

import random

import pytest

from sterna.sim.checks import wire
from sterna.sim.checks.endpoint_bench import simulation
from sterna.spec.frames import WINDOW_FRAMES


@pytest.fixture(scope="module")
def simulate():
    return simulation(wire.WIRE)


@pytest.mark.parametrize("stalls", [(0, 0), (0.5, 0), (0, 0.5)])
def test_data_at_every_edge_of_the_stuffing_arrive(simulate, stalls):
    wire.check_edges(stalls, simulate)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_frames_are_dropped_and_counted_and_their_neighbours_arrive(simulate, seed):
    wire.check_damage(random.Random(20 + seed), simulate)


def test_contents_outside_the_allowed_lengths_are_bad_even_with_the_right_crc(simulate):
    wire.check_lengths(simulate)


def test_an_endless_frame_does_not_fill_the_ring(simulate):
    wire.check_endless_frame(simulate)


def test_a_frame_whose_block_is_too_long_by_what_follows_is_bad(simulate):
    wire.check_long_block(simulate)


@pytest.mark.parametrize("count", range(2, WINDOW_FRAMES + 1))
@pytest.mark.parametrize("opcode", wire.WAITING)
def test_a_full_window_is_taken_in_while_its_first_request_waits_and_what_follows_is_not_lost(simulate, opcode, count):
    wire.check_window(opcode, count, simulate)


def test_counters_are_added_up_exactly_whatever_the_requests_and_however_slow_the_taker(simulate):
    wire.check_counters(simulate)


def test_so_are_those_of_several_cores_while_a_run_waits_for_the_one_before():
    wire.check_waiting_counters(simulation(wire.SEVERAL))
