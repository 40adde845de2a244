"""The top under cocotb: random networks, random stalls, outputs equal golden's, cycle by cycle rules kept."""

import json
from dataclasses import asdict
from pathlib import Path

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
CORES = Configuration(
    name="cores", simd=1, pe=4, weight_depth=32768, mask_depth=4096, activation_depth=1024, parameter_depth=512,
    program_depth=64, cores=2,
)  # fmt: skip
TESTS = [
    "a_batch_is_timed",
    "counters_add_up",
    "identity_is_that_of_the_configuration",
    "outputs_equal_golden",
    "refuses_what_it_must",
]


@pytest.mark.parametrize(("seed", "stalls"), [(1, 0.0), (2, 0.5), (3, 0.9)])
def test_outputs_equal_golden_under_random_stalls(seed: int, stalls: float) -> None:
    given = {"configuration": asdict(SMALL), "seed": seed, "stalls": stalls, "widths": [37, 21, 10], "images": 3}
    passed = run_bench(Accelerator(configuration=SMALL), BENCH, name="accelerator", seed=seed, parameters=given)
    assert sorted(passed) == TESTS


@pytest.mark.parametrize(("seed", "stalls"), [(1, 0.5), (2, 0.9), (3, 0.0)])
def test_networks_of_every_kind_of_layer_equal_golden_under_random_stalls(seed: int, stalls: float) -> None:
    given = {"configuration": asdict(KINDS), "seed": seed, "stalls": stalls, "layers": 3, "images": 2}
    component = Accelerator(configuration=KINDS)
    passed = run_bench(component, BENCH, name="accelerator", seed=seed, parameters=given,
                       testcase="outputs_equal_golden")  # fmt: skip
    assert passed == ["outputs_equal_golden"]


def test_two_cores_take_half_the_cycles_of_one_where_the_link_is_fast_enough(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    given = {"configuration": asdict(CORES), "seed": 5, "stalls": 0.0, "widths": [24, 256, 224, 10], "density": 0.25,
             "images": 16, "skips": False, "behind": CORES.cores, "report": str(report)}  # fmt: skip
    run_bench(Accelerator(configuration=CORES), BENCH, name="accelerator", seed=5, parameters=given,
              testcase="a_batch_is_timed")  # fmt: skip
    found = json.loads(report.read_text())
    assert found["core_cycles"] > 0.9 * CORES.cores * found["cycles"], found
