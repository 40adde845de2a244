"""The top under cocotb: random networks, random stalls, outputs equal golden's, cycle by cycle rules kept."""

from dataclasses import asdict

import pytest

from sterna.accelerator import Accelerator
from sterna.sim.bench import run_bench
from sterna.sim.configurations import VERIFIED
from sterna.spec.configuration import Configuration

SMALL = Configuration(
    name="small", simd=4, pe=8, weight_depth=512, mask_depth=64, activation_depth=256, parameter_depth=128,
    program_depth=64,
)  # fmt: skip
KINDS = VERIFIED["verify-4x16"]
BENCH = "sterna.sim.benches.accelerator_bench"
TESTS = [
    "counters_add_up",
    "identity_is_that_of_the_configuration",
    "outputs_equal_golden",
    "refuses_what_it_must",
]


@pytest.mark.parametrize(("seed", "stalls"), [(1, 0.0), (2, 0.5), (3, 0.9)])
def test_outputs_equal_golden_under_random_stalls(seed: int, stalls: float) -> None:
    given = {"configuration": asdict(SMALL), "seed": seed, "stalls": stalls, "widths": [37, 21, 10]}
    passed = run_bench(Accelerator(configuration=SMALL), BENCH, name="accelerator", seed=seed, parameters=given)
    assert sorted(passed) == TESTS


@pytest.mark.parametrize(("seed", "stalls"), [(1, 0.5), (2, 0.9), (3, 0.0), (4, 0.5)])
def test_networks_of_every_kind_of_layer_equal_golden_under_random_stalls(seed: int, stalls: float) -> None:
    given = {"configuration": asdict(KINDS), "seed": seed, "stalls": stalls, "layers": 3, "images": 3}
    component = Accelerator(configuration=KINDS)
    passed = run_bench(component, BENCH, name="accelerator", seed=seed, parameters=given,
                       testcase="outputs_equal_golden")  # fmt: skip
    assert passed == ["outputs_equal_golden"]
