"""How many cores are busy, cycle by cycle, while a batch goes through.

    python docs/decisions/0009-several-cores.py CORES [dense | resnet8]

``dense``: a network of 24-192-128-10 on cores of 1 × 4 lanes. ``resnet8``: ResNet-8 of random weights on those of
``ecp5-85x4``, whose simulation takes long to build.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sterna.accelerator import Accelerator
from sterna.sim.bench import run_bench
from sterna.spec.configuration import STANDARD, Configuration

DENSE = Configuration(
    name="cores", simd=1, pe=4, weight_depth=4096, mask_depth=2048, activation_depth=1024, parameter_depth=512,
    program_depth=64,
)  # fmt: skip
BATCHES: dict[str, tuple[Configuration, dict[str, Any]]] = {
    "dense": (DENSE, {"widths": [24, 192, 128, 10], "images": 32, "seed": 5}),
    "resnet8": (
        STANDARD["ecp5-85x4"],
        {"resnet8": {"block": 32, "density": 0.5, "act_bits": 4, "mean_steps": 2}, "images": 48},
    ),
}

cores, (one, batch) = int(sys.argv[1]), BATCHES[[*sys.argv, "dense"][2]]
configuration = replace(one, cores=cores)
with TemporaryDirectory() as folder:
    report = Path(folder) / "report.json"
    given = {"configuration": asdict(configuration), "behind": cores, "stalls": 0, "report": str(report)}
    run_bench(
        Accelerator(configuration=configuration), "sterna.sim.benches.accelerator_bench", name="accelerator",
        testcase="a_batch_is_timed", parameters=given | batch,
    )  # fmt: skip
    found = json.loads(report.read_text())
print(
    f"{found['images']} images on {cores} cores: {found['cycles']} cycles, "
    f"{found['core_cycles'] / found['cycles']:.2f} cores busy"
)
