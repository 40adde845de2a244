"""Requantiser against the formula of ``sterna.spec.arithmetic``: parameters in order and rewound, planes summed."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Fragment

from sterna.sim.checks.requantiser import check_groups
from sterna.sim.checks.testbench import simulate
from sterna.spec.configuration import Configuration


class _On(Elaboratable):
    """A component as it is built for a part."""

    def __init__(self, component: Any, device: str):
        self._component, self._platform = component, SimpleNamespace(device=device)

    def elaborate(self, platform: object) -> Any:
        return Fragment.get(self._component, self._platform)


@pytest.mark.parametrize("device", [None, "iCE40HX8K", "iCE40UP5K", "LFE5U-25F"])
@pytest.mark.parametrize("seed", range(16))
def test_groups_are_requantised_in_order_with_their_own_parameters(seed: int, device: str | None) -> None:
    rng = random.Random(seed)
    c = Configuration(
        name="t", simd=4, pe=8, requantisers=rng.choice([1, 2]), act_bits=rng.choice([2, 5, 8]), acc_bits=15,
        weight_depth=16, mask_depth=16, activation_depth=16, parameter_depth=256, read_latency=1 + seed % 2,
    )  # fmt: skip

    def built(component: Any, *benches: Any, **background: Any) -> None:
        simulate(component if device is None else _On(component, device), *benches, **background)

    check_groups(rng, c, built)
