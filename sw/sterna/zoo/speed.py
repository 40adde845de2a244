"""How fast the zoo's models are on a board: cycles at its clock, and beside them bytes at its link's rate."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from sterna.compiler import compile_network
from sterna.compiler.compile import fit_report
from sterna.driver.traffic import BITS_PER_BYTE, traffic_of
from sterna.spec.configuration import Configuration
from sterna.spec.errors import EncodingError, FitError
from sterna.spec.network import IntegerNetwork
from sterna.zoo import NAMES, card, network


@dataclass(frozen=True)
class Speed:
    """Of one model; times in seconds an inference."""

    name: str
    cycles: float
    """Of the model's card."""
    compute: float
    sent: float
    """Bytes, to the device."""
    send: float
    received: float
    """Bytes, from the device."""
    receive: float
    cores: int
    """That take inferences; one if weights are streamed."""
    overlaps: bool
    """The link brings an input while the device computes on another; else both wait for each other."""

    @property
    def inferences_per_second(self) -> float:
        """Of a batch, by the slowest of computing, sending and receiving, or by all three."""
        times = self.compute / self.cores, self.send, self.receive
        return 1 / (max(times) if self.overlaps else sum(times))

    def summary(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self) | {"inferences_per_second": self.inferences_per_second}


@dataclass(frozen=True)
class Obstacle:
    """Why a model has no speed there."""

    name: str
    reason: str
    """The memories that are too small, or what its first bad layer needs."""

    def summary(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self)


def speeds(configuration: Configuration, *, frequency: float, baud: float) -> Iterator[Speed | Obstacle]:
    """What every model of the zoo does on a device of ``configuration`` at ``frequency`` Hz, its link at ``baud``."""
    for name in NAMES:
        model = network(name)
        try:
            image = compile_network(model, configuration)
        except (FitError, EncodingError):
            yield Obstacle(name, _obstacle(model, configuration))
            continue
        cycles = card(name).cycles.get(configuration.name)
        if cycles is None:
            yield Obstacle(name, "its card has no cycles for this configuration")
            continue
        cores = 1 if image.streamed_bytes else configuration.cores
        traffic, byte = traffic_of(image, configuration), BITS_PER_BYTE / baud
        yield Speed(
            name, cycles, cycles / frequency, traffic.sent, traffic.sent * byte, traffic.received,
            traffic.received * byte, cores, image.slot_offset > 0 or cores > 1,
        )  # fmt: skip


def _obstacle(model: IntegerNetwork, configuration: Configuration) -> str:
    try:
        uses = fit_report(model, configuration).memories
    except (FitError, EncodingError) as error:
        return str(error)
    return "too small: " + ", ".join(use.memory for use in uses if use.used > use.available)
