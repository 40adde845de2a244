"""How fast the software around the accelerator is: simulation, golden model, packing, compiler.

Every number is the best of a few runs. Golden and PyTorch compute the same network, ResNet-8, on one thread each, and
seconds are those of the processor, so that what else the machine does counts little.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from sterna.compiler import compile_network
from sterna.driver import Device
from sterna.sim.configurations import CONVOLUTIONAL, simulated
from sterna.sim.device import open_simulation
from sterna.sim.networks import random_dense, random_images
from sterna.sim.topologies import resnet8
from sterna.spec.network import IntegerNetwork
from sterna.spec.trits import pack_trit2

REPEATS = 3
IMAGES = 64
PACKED_TRITS = 1 << 24
TIMEOUT = 60.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Speed:
    """What ``sterna bench speed --json`` prints."""

    device_cycles_per_s: float
    golden_images_per_s: float
    torch_images_per_s: float | None
    """None without torch."""
    golden_over_torch: float | None
    pack_trits_per_s: float
    compile_s: float

    def row(self) -> dict[str, float | None]:
        return asdict(self)


def best(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Processor seconds of the quickest of some runs."""
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def device_cycles_per_s(configuration: str = "icebreaker") -> float:
    """Clock cycles that the Verilated accelerator simulates in a second of its process while it infers."""
    network = random_dense(1, (256, 256, 64, 10))
    images = random_images(np.random.default_rng(2), network, 400)
    simulation = open_simulation(configuration)
    with Device(simulation, timeout=TIMEOUT, configuration=simulated(configuration)) as device:
        device.load(network)
        device.infer(images)
    assert simulation.statistics is not None  # it has ended
    return simulation.statistics.cycles_per_second


def golden_images_per_s(network: IntegerNetwork, images: np.ndarray) -> float:
    return len(images) / best(lambda: network.predict(images))


def torch_images_per_s(network: IntegerNetwork, images: np.ndarray) -> float | None:
    """The same layers as float32 convolutions of PyTorch with the planes' weights, ReLU and clamp; None without it."""
    try:
        import torch
        from torch.nn import functional
    except ImportError:
        return None
    torch.set_num_threads(1)
    prepared = [
        (
            layer,
            [
                (
                    plane,
                    torch.from_numpy(
                        plane.trits.astype(np.float32)
                        * np.ldexp(plane.multiplier.astype(np.float32), -layer.shift)[:, None, None, None]
                    ).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last),
                )
                for plane in layer.planes
            ],
            torch.from_numpy(np.ldexp(layer.bias.astype(np.float32), -layer.shift)),
        )
        for layer in network.layers
    ]  # fmt: skip

    def run() -> None:
        with torch.inference_mode():
            source = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
            tensors = {network.input.name: source.contiguous(memory_format=torch.channels_last)}
            for layer, planes, bias in prepared:
                total = None
                for plane, weights in planes:
                    top, bottom, left, right = plane.padding
                    x, padding = tensors[plane.source], (top, left)
                    if (top, left) != (bottom, right):
                        x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
                    product = functional.conv2d(
                        x, weights, bias if total is None else None, plane.stride, padding, groups=plane.groups
                    )
                    total = product if total is None else total.add_(product)
                assert total is not None
                tensors[layer.name] = total.clamp_(layer.minimum, layer.maximum)
            # What golden returns: integers on this side.
            tensors[network.outputs[0]].numpy()

    run()
    return len(images) / best(run)


def pack_trits_per_s() -> float:
    trits = np.random.default_rng(3).integers(-1, 2, PACKED_TRITS, np.int8)
    return PACKED_TRITS / best(lambda: pack_trit2(trits))


def compile_s() -> float:
    network = resnet8()
    return best(lambda: compile_network(network, CONVOLUTIONAL))


def _inference() -> dict[str, float | None]:
    network = resnet8()
    images = np.random.default_rng(1).integers(-127, 128, (IMAGES, *network.input.shape))
    return {"golden": golden_images_per_s(network, images), "torch": torch_images_per_s(network, images)}


def _inference_on_one_thread() -> dict[str, float | None]:
    """In a process of its own: libraries choose their number of threads when they are loaded."""
    command = [sys.executable, "-c", "import json; from sterna.sim import speed; print(json.dumps(speed._inference()))"]
    environment = os.environ | dict.fromkeys(_THREADS, "1") | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    found: dict[str, float | None] = json.loads(done.stdout)
    return found


def measure(progress: Callable[[int, int], None] = lambda done, of: None) -> Speed:
    """All of it. ``progress`` counts the benchmarks. Raises :class:`ToolError` if the simulation lacks its tools."""
    progress(0, 4)
    cycles = device_cycles_per_s()
    progress(1, 4)
    inference = _inference_on_one_thread()
    golden, torch = inference["golden"], inference["torch"]
    assert golden is not None
    progress(2, 4)
    packed = pack_trits_per_s()
    progress(3, 4)
    compiled = compile_s()
    progress(4, 4)
    return Speed(cycles, golden, torch, golden / torch if torch else None, packed, compiled)
