"""All property modules, by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

from sterna.sim.formal.capture import CaptureHandOver
from sterna.sim.formal.crc import CrcBits
from sterna.sim.formal.dealer import DealerOffers
from sterna.sim.formal.feeder import FeederIssues
from sterna.sim.formal.packer import PackerPlaces
from sterna.sim.formal.property import Property
from sterna.sim.formal.queue import TagQueue
from sterna.sim.formal.requantiser import RequantiserHandOver
from sterna.sim.formal.ring import RingRoom
from sterna.sim.formal.scanner import ScannerWalk
from sterna.sim.formal.streams import SENDERS, SequencerRules, StreamRules
from sterna.sim.formal.trits import Trit5Code
from sterna.sim.formal.word_packer import GathererWords, WordPackerPlaces
from sterna.spec.errors import InputError


def _rules(sender: str) -> Property:
    return StreamRules(SENDERS[sender]())


def _of(make: Callable[..., Property], **how: Any) -> Callable[[], Property]:
    return partial(make, **how)


PROPERTIES: dict[str, Callable[[], Property]] = {
    "tag-queue": TagQueue,
    "tag-queue-of-two": _of(TagQueue, places=2),
    "capture": CaptureHandOver,
    "requantiser": RequantiserHandOver,
    "scanner": ScannerWalk,
    "feeder": FeederIssues,
    "scanner-of-all-activations": _of(ScannerWalk, activation_skip=False),
    "feeder-of-all-activations": _of(FeederIssues, activation_skip=False),
    "packer": PackerPlaces,
    "gatherer": GathererWords,
    "word-packer": WordPackerPlaces,
    "trit5-code": Trit5Code,
    "dealer-offers": DealerOffers,
    "crc-bits": CrcBits,
    "ring-room": RingRoom,
    "rules-of-sequencer": SequencerRules,
} | {f"rules-of-{sender.replace(' ', '-').lower()}": partial(_rules, sender) for sender in SENDERS}
"""What each proves stands in the docstring of its class."""


def property_named(name: str) -> Callable[[], Property]:
    """What makes the property. Raises :class:`InputError` with the known names."""
    if name not in PROPERTIES:
        raise InputError(f"no property {name!r}; known: {', '.join(PROPERTIES)}")
    return PROPERTIES[name]
