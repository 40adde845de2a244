"""How fast the software around the accelerator is: simulation, golden model, packing, compiler.

Every number is the best of a few runs, in seconds of the processor, so that what else the machine does counts little.
Golden and PyTorch compute the same network, ResNet-8, on one thread and by turns, for ``IMAGES`` images handed over in
one call, as a test set is. How the two compare depends on that number: golden works on a few images at a time whatever
it is given, while tensors of all images outgrow the caches; for a few dozen PyTorch is quicker by more. It depends on
NumPy's BLAS as well: OpenBLAS takes AVX2 kernels for a processor model that it does not know, even if that has AVX-512,
which PyTorch then uses. ``OPENBLAS_CORETYPE=SkylakeX`` in the environment makes it take the wider ones.
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
from sterna.sim.device import Statistics, open_simulation
from sterna.sim.networks import random_dense, random_images
from sterna.sim.topologies import resnet8
from sterna.spec.network import IntegerNetwork
from sterna.spec.trits import pack_trit2

REPEATS = 5
IMAGES = 1024
DEVICE_IMAGES = 400
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
    golden_over_device: float
    """Images per second over those of the Verilated accelerator, of a network of dense layers."""
    pack_trits_per_s: float
    compile_s: float

    def row(self) -> dict[str, float | None]:
        return asdict(self)


def best(*works: Callable[[], object]) -> list[float]:
    """Processor seconds of the quickest of some runs of each, taken by turns after one that does not count."""
    seconds: list[list[float]] = [[] for _ in works]
    for repeat in range(1 + REPEATS):
        for work, found in zip(works, seconds, strict=True):
            begin = time.process_time()
            work()
            if repeat:
                found.append(time.process_time() - begin)
    return [min(found) for found in seconds]


def _dense() -> tuple[IntegerNetwork, np.ndarray]:
    network = random_dense(1, (256, 256, 64, 10))
    return network, random_images(np.random.default_rng(2), network, DEVICE_IMAGES)


def simulate(configuration: str = "icebreaker") -> Statistics:
    """What the Verilated accelerator runs, and in how much time, while it infers."""
    network, images = _dense()
    simulation = open_simulation(configuration)
    with Device(simulation, timeout=TIMEOUT, configuration=simulated(configuration)) as device:
        device.load(network)
        device.infer(images)
    assert simulation.statistics is not None  # it has ended
    return simulation.statistics


def torch_inference(network: IntegerNetwork, images: np.ndarray) -> Callable[[], np.ndarray] | None:
    """The same layers as float32 convolutions of PyTorch with the planes' weights, ReLU and clamp, nothing rounded and
    so without the half for rounding; calling it gives the first output, (n, channels, height, width). None without
    PyTorch."""
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
            torch.from_numpy(np.ldexp(layer.bias.astype(np.float32), -layer.shift) - np.float32(0.5)),
        )
        for layer in network.layers
    ]  # fmt: skip

    def run() -> np.ndarray:
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
            return np.asarray(tensors[network.outputs[0]].numpy())

    return run


def pack_trits_per_s() -> float:
    trits = np.random.default_rng(3).integers(-1, 2, PACKED_TRITS, np.int8)
    (seconds,) = best(lambda: pack_trit2(trits))
    return PACKED_TRITS / seconds


def compile_s() -> float:
    network = resnet8()
    (seconds,) = best(lambda: compile_network(network, CONVOLUTIONAL))
    return seconds


def _inference() -> dict[str, float]:
    """Images per second: of golden with the dense network; of golden and, where it is, PyTorch with ResNet-8."""
    dense, few = _dense()
    (seconds,) = best(lambda: dense.predict(few))
    network = resnet8()
    images = np.random.default_rng(1).integers(-127, 128, (IMAGES, *network.input.shape))
    works: dict[str, Callable[[], object]] = {"golden": lambda: network.predict(images)}
    if inference := torch_inference(network, images):
        works["torch"] = inference
    found = {name: len(images) / each for name, each in zip(works, best(*works.values()), strict=True)}
    return {"dense": len(few) / seconds} | found


def _inference_on_one_thread() -> dict[str, float]:
    """In a process of its own: libraries choose their number of threads when they are loaded."""
    command = [sys.executable, "-c", "import json; from sterna.sim import speed; print(json.dumps(speed._inference()))"]
    environment = os.environ | dict.fromkeys(_THREADS, "1") | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(progress: Callable[[int, int], None] = lambda done, of: None) -> Speed:
    """All of it. ``progress`` counts the benchmarks. Raises :class:`ToolError` if the simulation lacks its tools."""
    progress(0, 4)
    device = simulate()
    progress(1, 4)
    inference = _inference_on_one_thread()
    golden, torch = inference["golden"], inference.get("torch")
    progress(2, 4)
    packed = pack_trits_per_s()
    progress(3, 4)
    compiled = compile_s()
    progress(4, 4)
    return Speed(
        device_cycles_per_s=device.cycles_per_second,
        golden_images_per_s=golden,
        torch_images_per_s=torch,
        golden_over_torch=golden / torch if torch else None,
        golden_over_device=inference["dense"] * device.busy_seconds / DEVICE_IMAGES,
        pack_trits_per_s=packed,
        compile_s=compiled,
    )
