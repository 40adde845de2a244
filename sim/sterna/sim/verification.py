"""Random networks on the Verilated accelerator, through the driver, held against golden and the emulator.

A case is made from one number: configuration, network, images, stalls of the link, contents of memories at power-up and
the skips all come from its seed, so that a seed is all that is needed to see a failure again.

    case ─▶ driver ─▶ Verilated accelerator ─▶ outputs = golden's · tensors = golden's · counters = emulator's
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sterna.driver import Counters, Device
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.sim.configurations import VERIFIED, simulated
from sterna.sim.device import open_simulation
from sterna.sim.networks import random_images, random_network
from sterna.spec.configuration import Configuration
from sterna.spec.errors import SternaError
from sterna.spec.network import IntegerNetwork

IMAGES = 3
"""Of each network: both slots, and one of them again."""
STALLS = (0, 0, 30, 60, 90)
"""Percent of the cycles in which the link is held back; one of them for each network."""
ANSWER_TIMEOUT = 60.0
"""Seconds that the simulation may take to answer: a bound, on however busy a machine."""
LINGER = 50_000
"""Cycles at full speed after the last byte: the core needs few of them, and several simulations share the machine."""
_CLASSES = ("issue_cycles", "empty_cycles", "idle_cycles", "requantiser_stalls", "memory_stalls")


@dataclass(frozen=True)
class Case:
    """One network and the circumstances in which it is run."""

    seed: int
    configuration: Configuration
    network: IntegerNetwork
    images: npt.NDArray[np.int64]
    """(n, inputs)."""
    stalls: int
    """Percent of the cycles."""
    power_up: int
    """Seed of what memories and registers hold before reset."""
    activation_skip: bool
    block_skip: bool


@dataclass(frozen=True)
class Verdict:
    """How a case ended."""

    seed: int
    configuration: str
    layers: int
    tensors: int
    """That were compared."""
    cycles: int
    """Of the accelerator's runs."""
    failure: str | None = None
    """What was different first, None if nothing was."""


class DifferenceError(SternaError):
    """The accelerator did not do what golden and the emulator say."""


def make_case(seed: int, configurations: Sequence[str] = tuple(VERIFIED)) -> Case:
    """The case of a seed. With one configuration given it is that one, else it comes from the seed too."""
    configuration = simulated(configurations[seed % len(configurations)])
    rng = np.random.default_rng(seed)
    network = random_network(rng, configuration)
    return Case(
        seed=seed, configuration=configuration, network=network, images=random_images(rng, network, IMAGES),
        stalls=int(rng.choice(STALLS)), power_up=int(rng.integers(1, 1 << 31)),
        activation_skip=bool(rng.random() < 0.7), block_skip=bool(rng.random() < 0.7),
    )  # fmt: skip


def run_case(case: Case, *, waves: Path | None = None, coverage: Path | None = None) -> Verdict:
    """Runs one case on a simulation of its own. A difference, a refusal or a lost device is in the verdict."""
    tensors, cycles, failure = 0, 0, None
    try:
        simulation = open_simulation(
            case.configuration.name, stalls=case.stalls, seed=case.seed % (1 << 63), power_up=case.power_up,
            waves=waves, coverage=coverage, linger=LINGER,
        )  # fmt: skip
        with Device(simulation, timeout=ANSWER_TIMEOUT, configuration=case.configuration) as device:
            check_device(device, case)
            tensors, cycles = len(case.network.layers) + 1, device.counters().cycles
    except SternaError as error:
        failure = f"{type(error).__name__}: {error}"
    return Verdict(case.seed, case.configuration.name, len(case.network.layers), tensors, cycles, failure)


def check_device(device: Device, case: Case) -> None:
    """Loads and infers; raises :class:`DifferenceError` naming the first tensor, element or counter that differs."""
    golden = trace(case.network, case.images)
    image = device.load(case.network)
    skips = {"activation_skip": case.activation_skip, "block_skip": case.block_skip}
    before = device.counters()
    outputs = device.infer(case.images, **skips)
    counted = device.counters() - before
    flat = [each.reshape(IMAGES, -1) for each in (outputs if isinstance(outputs, tuple) else (outputs,))]
    wrong = [
        (case.network.outputs[k], n)
        for k, name in enumerate(case.network.outputs)
        for n in range(IMAGES)
        if (flat[k][n] != golden[name][n].reshape(-1)).any()
    ]
    # An output may be wrong because of any layer before it: look at all, of the image that went wrong if one did.
    shown = wrong[0][1] if wrong else case.seed % IMAGES
    for name, found in device.trace(case.images[shown].reshape(case.network.input.shape)).items():
        _compare(f"image {shown}, layer {name}", found, golden[name][shown])
    if wrong:
        raise DifferenceError(f"image {wrong[0][1]}, output {wrong[0][0]} differs in a batch, but not when run alone")
    emulated = Device(Emulator(case.configuration), configuration=case.configuration)
    emulated.load(image)
    emulated.infer(golden[case.network.input.name], **skips)
    _compare_counters(counted, emulated.counters(), case)


def _compare(where: str, found: npt.NDArray[np.int8], expected: npt.NDArray[np.int8]) -> None:
    different = np.argwhere(found != expected)
    if len(different):
        first = tuple(map(int, different[0]))
        raise DifferenceError(
            f"{where}: {len(different)} of {expected.size} elements differ, first {first} (row, column, channel): "
            f"{found[first]}, golden {expected[first]}"
        )


def _compare_counters(found: Counters, emulated: Counters, case: Case) -> None:
    total = sum(getattr(found, name) for name in _CLASSES)
    if found.cycles != total:
        raise DifferenceError(f"{found.cycles} cycles were counted, but {total} in their classes")
    if found.bad_frames:
        raise DifferenceError(f"{found.bad_frames} bad frames were counted on a link without errors")
    names = ["stored", "positions"]
    # Words that nothing has written hold no zeros for the emulator and no set mask for the core, or the other way
    # round; without block skips they are issued, as zero blocks.
    if case.block_skip or not case.activation_skip:
        names.append("issued")
    for name in names:
        ours, theirs = getattr(found, name), getattr(emulated, name)
        if ours != theirs:
            raise DifferenceError(f"counter {name} is {ours}, the emulator's {theirs}")


def verify(
    seeds: Sequence[int],
    configurations: Sequence[str] = tuple(VERIFIED),
    *,
    jobs: int = 2,
    waves: Path | None = None,
    coverage: Path | None = None,
) -> Iterator[Verdict]:
    """Runs the cases of all seeds, ``jobs`` at a time, and yields their verdicts as they come.

    ``waves``: VCD file of the case; only with one seed. ``coverage``: folder for one file of each case.
    """

    def one(seed: int) -> Verdict:
        file = None if coverage is None else coverage / f"{seed}.dat"
        return run_case(make_case(seed, configurations), waves=waves, coverage=file)

    waiting: set[Future[Verdict]] = set()
    with ThreadPoolExecutor(jobs) as pool:  # the simulations are processes of their own
        try:
            for seed in seeds:
                if len(waiting) >= 2 * jobs:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                waiting.add(pool.submit(one, seed))
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)


assert all(name in {field.name for field in fields(Counters)} for name in _CLASSES)
