"""Requantiser against the formula of ``sterna.spec.arithmetic``: parameters in order and rewound, planes summed."""

import random

import pytest

from sterna.sim.checks.requantiser import check_groups
from sterna.sim.checks.testbench import simulate
from sterna.spec.configuration import Configuration


@pytest.mark.parametrize("seed", range(16))
def test_groups_are_requantised_in_order_with_their_own_parameters(seed: int) -> None:
    rng = random.Random(seed)
    c = Configuration(
        name="t", simd=4, pe=8, requantisers=rng.choice([1, 2]), act_bits=rng.choice([2, 5, 8]), acc_bits=15,
        weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=256,
    )  # fmt: skip
    check_groups(rng, c, simulate)
