"""ResNet-8 of random weights on cores of ``ecp5-85x4``, cycle by cycle: how many of them are busy.

python docs/decisions/0009-several-cores.py CORES [IMAGES]
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sterna.accelerator import Accelerator
from sterna.sim.bench import run_bench
from sterna.spec.configuration import STANDARD

cores, images = (int(text) for text in [*sys.argv[1:], "16"][:2])
configuration = replace(STANDARD["ecp5-85x4"], cores=cores)
with TemporaryDirectory() as folder:
    report = Path(folder) / "report.json"
    run_bench(
        Accelerator(configuration=configuration), "sterna.sim.benches.accelerator_bench", name="accelerator",
        testcase="a_batch_is_timed", progress=print,
        parameters={
            "configuration": asdict(configuration), "images": images, "behind": cores, "stalls": 0,
            "resnet8": {"block": 32, "density": 0.5, "act_bits": 4, "mean_steps": 2}, "report": str(report),
        },
    )  # fmt: skip
    found = json.loads(report.read_text())
print(
    f"{images} images on {cores} cores: {found['cycles'] / images:.0f} cycles an image, "
    f"{found['core_cycles'] / images:.0f} of a core's, {found['core_cycles'] / found['cycles']:.2f} cores busy"
)
