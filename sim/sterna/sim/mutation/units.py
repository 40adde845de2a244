"""What is mutated: each unit with the checks that have to notice."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from amaranth.lib import wiring

from sterna.gateware.compute.lanes import Lanes
from sterna.gateware.compute.requantiser import Requantiser
from sterna.sim.checks import feeder, wire
from sterna.sim.checks.endpoint_bench import endpoint
from sterna.sim.checks.lanes import check_sums
from sterna.sim.checks.requantiser import check_groups
from sterna.sim.checks.requests import check_registers, check_requests
from sterna.sim.checks.testbench import Simulate
from sterna.spec.configuration import Configuration
from sterna.spec.frames import WINDOW_FRAMES

Check = Callable[[Simulate], None]
"""Fails with an ``AssertionError`` if the simulated component is wrong."""


@dataclass(frozen=True)
class Unit:
    """A component of which mutants are made."""

    name: str
    make: Callable[[], wiring.Component]
    modules: Sequence[str]
    """Those of its modules that are mutated: the design's own logic, without what a bench needs."""
    checks: Sequence[Check]
    """Quick ones first."""
    cycles: int = 40_000
    """A mutant that takes longer than any check on the component is taken for hung."""


LANES = Configuration(
    name="lanes", simd=4, pe=4, act_bits=8, acc_bits=16, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=16,
)  # fmt: skip
REQUANTISER = Configuration(
    name="requantiser", simd=4, pe=8, act_bits=8, acc_bits=15, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=256,
)  # fmt: skip


def _feeder_issues(seed: int, simulate: Simulate) -> None:
    feeder.check_issues(random.Random(seed), simulate)


def _sums(seed: int, simulate: Simulate) -> None:
    check_sums(random.Random(seed), LANES, simulate)


def _groups(seed: int, simulate: Simulate) -> None:
    check_groups(random.Random(seed), REQUANTISER, simulate)


def _requests(seed: int, simulate: Simulate) -> None:
    check_requests(wire.WIRE, seed, 25, simulate)


def _damage(seed: int, simulate: Simulate) -> None:
    wire.check_damage(random.Random(20 + seed), simulate)


UNITS = (
    Unit(
        "scanner-feeder",
        feeder.GatedFeeder,
        ("top.scanner", "top.feeder"),
        [feeder.check_pace, *(partial(_feeder_issues, seed) for seed in range(24)), feeder.check_longest_walks],
    ),
    Unit("lanes", lambda: Lanes(configuration=LANES), ("top",), [partial(_sums, seed) for seed in range(12)]),
    Unit(
        "requantiser",
        lambda: Requantiser(configuration=REQUANTISER),
        ("top",),
        [partial(_groups, seed) for seed in range(16)],
    ),
    Unit(
        "link-processor",
        lambda: endpoint(wire.WIRE),
        ("top", "top.crc"),
        [
            wire.check_long_block,
            *(partial(check_registers, wire.WIRE, seed) for seed in range(6)),
            *(partial(_requests, seed) for seed in range(8)),
            *(partial(_damage, seed) for seed in range(3)),
            wire.check_lengths,
            wire.check_endless_frame,
            *(partial(wire.check_window, opcode, WINDOW_FRAMES) for opcode in wire.WAITING),
            partial(wire.check_edges, (0, 0.5)),
        ],
        cycles=1_000_000,
    ),
)
