"""Random networks on the Verilated accelerator, through the driver, held against golden and the emulator.

A case is made from one number: configuration, network, images, stalls of the link and contents of memories at power-up
all come from its seed, so that a seed is all that is needed to see a failure again. Each is run with every combination
of the two skips.

    case ─▶ driver ─▶ Verilated accelerator ─▶ outputs = golden's · tensors = golden's · counters = emulator's
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import numpy as np
import numpy.typing as npt

from sterna.compiler.compile import fit_report
from sterna.compiler.lowering import lower
from sterna.driver import Counters, Device
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.sim.configurations import VERIFIED, simulated
from sterna.sim.coverage import CodeCoverage, read_points
from sterna.sim.device import open_simulation
from sterna.sim.networks import random_images, random_network
from sterna.spec.configuration import Configuration
from sterna.spec.errors import FitError, SternaError
from sterna.spec.image import Image
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, SKIPS, Skips

IMAGES = 3
"""Of each network: both slots, and one of them again; for each further core its two slots."""
STALLS = (0, 0, 30, 60, 90)
"""Percent of the cycles in which the link is held back; one of them for each network."""
ANSWER_TIMEOUT = 60.0
"""Seconds that the simulation may take to answer: a bound, on however busy a machine."""
LINGER = 50_000
"""Cycles at full speed after the last byte: the core needs few of them, and several simulations share the machine."""
_CLASSES = ("issue_cycles", "empty_cycles", "idle_cycles", "requantiser_stalls", "memory_stalls")


def skips_of(case: "Case") -> tuple[Skips, ...]:
    """Those with which its network fits: all-zero blocks take memory."""

    def fits(skips: Skips) -> bool:
        try:
            return fit_report(case.network, case.configuration, skips).fits
        except FitError:
            return False

    return tuple(skips for skips in SKIPS if skips == ALL_SKIPS or fits(skips))


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
    memory_stalls: int
    """Those of them in which feeders gave way to the link."""
    streamed: bool
    """Whether its weights were written while it ran."""
    failure: str | None = None
    """What was different first, None if nothing was."""


class DifferenceError(SternaError):
    """The accelerator did not do what golden and the emulator say."""


def make_case(seed: int, configurations: Sequence[str] = tuple(VERIFIED)) -> Case:
    """The case of a seed. With one configuration given it is that one, else it comes from the seed too."""
    configuration = simulated(configurations[seed % len(configurations)])
    rng = np.random.default_rng(seed)
    network = random_network(rng, configuration)
    images = IMAGES + 2 * (configuration.cores - 1)
    return Case(
        seed=seed, configuration=configuration, network=network, images=random_images(rng, network, images),
        stalls=int(rng.choice(STALLS)), power_up=int(rng.integers(1, 1 << 31)),
    )  # fmt: skip


def run_case(case: Case, *, waves: Path | None = None, coverage: Path | None = None) -> Verdict:
    """Runs one case on a simulation of its own. A difference, a refusal or a lost device is in the verdict."""
    tensors, counters, streamed, failure = 0, Counters(), False, None
    try:
        simulation = open_simulation(
            case.configuration.name, stalls=case.stalls, seed=case.seed % (1 << 63), power_up=case.power_up,
            waves=waves, coverage=coverage, linger=LINGER,
        )  # fmt: skip
        with Device(simulation, timeout=ANSWER_TIMEOUT, configuration=case.configuration) as device:
            streamed = check_device(device, case).streamed_bytes > 0
            tensors, counters = len(case.network.layers) + 1, device.counters()
    except SternaError as error:
        failure = f"{type(error).__name__}: {error}"
    return Verdict(
        case.seed, case.configuration.name, len(case.network.layers), tensors, counters.cycles, counters.memory_stalls,
        streamed, failure,
    )  # fmt: skip


def check_device(device: Device, case: Case) -> Image:
    """Loads and infers; raises :class:`DifferenceError` naming the first tensor, element or counter that differs."""
    golden = trace(case.network, case.images)
    emulated = Device(Emulator(case.configuration), configuration=case.configuration)
    shown = case.seed % len(case.images)  # the image of which every tensor is read
    for skips in reversed(skips_of(case)):  # the last with both, for what follows
        image = device.load(case.network, skips=skips)
        emulated.load(image)
        before, emulated_before = device.counters(), emulated.counters()
        outputs = device.infer(case.images)
        for name, batch in zip(
            case.network.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True
        ):
            for n in range(len(case.images)):
                if (batch[n].reshape(-1) != golden[name][n].reshape(-1)).any():
                    _check_tensors(device, case, golden, n, skips)  # any layer before it may be the one
                    raise DifferenceError(f"{skips}, image {n}: output {name} differs in a batch, but not by itself")
        emulated.infer(golden[case.network.input.name])
        _compare_counters(device.counters() - before, emulated.counters() - emulated_before, case, skips)
    _check_tensors(device, case, golden, shown, ALL_SKIPS)
    _check_profile(device, case, shown)
    _check_layer(device, case, golden)
    return image


def _check_tensors(device: Device, case: Case, golden: dict[str, npt.NDArray[np.int8]], n: int, skips: Skips) -> None:
    """Every tensor of image ``n``, in the order in which they are computed."""
    one = case.images[n].reshape(case.network.input.shape)
    found = device.trace(one)
    for name, tensor in found.items():
        _compare(f"{skips}, image {n}, layer {name}", tensor, golden[name][n])


def _check_profile(device: Device, case: Case, n: int) -> None:
    """Of each layer, cycles are in their classes, and nothing is less than nothing."""
    for row in device.profile(case.images[n].reshape(case.network.input.shape)):
        counted = asdict(row.counters)
        if min(counted.values()) < 0 or row.counters.cycles != sum(counted[name] for name in _CLASSES):
            raise DifferenceError(f"profile of layer {row.op} does not add up: {row.counters}")


def _check_layer(device: Device, case: Case, golden: dict[str, npt.NDArray[np.int8]]) -> None:
    """One layer alone, on what it reads for all images."""
    alone = [layer for layer in case.network.layers if len({plane.source for plane in layer.planes}) == 1]
    if alone:
        layer = alone[case.seed % len(alone)]
        found = device.linear(layer.name, golden[layer.planes[0].source])
        for n in range(len(case.images)):
            _compare(f"image {n}, layer {layer.name} alone", found[n].reshape(golden[layer.name][n].shape),
                     golden[layer.name][n])  # fmt: skip


def _compare(where: str, found: npt.NDArray[np.int8], expected: npt.NDArray[np.int8]) -> None:
    different = np.argwhere(found != expected)
    if len(different):
        first = tuple(map(int, different[0]))
        raise DifferenceError(
            f"{where}: {len(different)} of {expected.size} elements differ, first {first} (row, column, channel): "
            f"{found[first]}, golden {expected[first]}"
        )


def contradictions(found: Counters, emulated: Counters, names: Sequence[str]) -> Iterator[str]:
    """What is wrong with a device's counters on a link without errors; those of ``names`` are the emulator's too."""
    total = sum(getattr(found, name) for name in _CLASSES)
    if found.cycles != total:
        yield f"{found.cycles} cycles were counted, but {total} in their classes"
    if found.bad_frames:
        yield f"{found.bad_frames} bad frames were counted on a link without errors"
    for name in names:
        ours, theirs = getattr(found, name), getattr(emulated, name)
        if ours != theirs:
            yield f"counter {name} is {ours}, the emulator's {theirs}"


def _compare_counters(found: Counters, emulated: Counters, case: Case, skips: Skips) -> None:
    names = ["stored", "positions"]
    # What is issued depends on words that no result depends on: windows beyond the last column of an op with phases,
    # and activations that only meet zero blocks. Nothing has written some of them.
    defined = all(op.phases == 1 for op in lower(case.network, case.configuration)[0])
    if (skips.blocks and defined) or not case.configuration.activation_skip:
        names.append("issued")
    for wrong in contradictions(found, emulated, names):
        raise DifferenceError(f"{skips}: {wrong}")


def verify(
    seeds: Sequence[int],
    configurations: Sequence[str] = tuple(VERIFIED),
    *,
    jobs: int = 2,
    waves: Path | None = None,
    coverage: CodeCoverage | None = None,
) -> Iterator[Verdict]:
    """Runs the cases of all seeds, ``jobs`` at a time, and yields their verdicts as they come.

    ``waves``: VCD file of the case; only with one seed. ``coverage``: gets what the cases met.
    """
    adding = Lock()

    def one(seed: int) -> Verdict:
        case = make_case(seed, configurations)
        if coverage is None:
            return run_case(case, waves=waves)
        with TemporaryDirectory(prefix="sterna-coverage-") as folder:
            file = Path(folder) / "coverage.dat"
            verdict = run_case(case, waves=waves, coverage=file)
            if file.exists():  # else the simulation died, which the verdict says
                with adding:
                    coverage.add(case.configuration.name, read_points(file))
        return verdict

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
