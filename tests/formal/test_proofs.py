"""Every property holds of the gateware, and fails of a component that is broken where the property looks."""

from functools import partial
from typing import Any

import pytest

from formal import broken
from sterna.sim.formal.capture import CaptureHandOver
from sterna.sim.formal.catalogue import PROPERTIES
from sterna.sim.formal.crc import CrcBits
from sterna.sim.formal.dealer import DealerOffers
from sterna.sim.formal.feeder import FeederIssues
from sterna.sim.formal.packer import PackerPlaces
from sterna.sim.formal.queue import TagQueue
from sterna.sim.formal.requantiser import RequantiserHandOver
from sterna.sim.formal.ring import RingRoom
from sterna.sim.formal.sby import check
from sterna.sim.formal.scanner import ScannerWalk
from sterna.sim.formal.streams import StreamRules
from sterna.sim.formal.trits import Trit5Code
from sterna.sim.formal.word_packer import GathererWords, WordPackerPlaces


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_property_holds_for_all_inputs_and_all_time(name: str) -> None:
    verdict = check(name, PROPERTIES[name])
    assert (verdict.mode, verdict.result, verdict.places) == ("prove", "PASS", [])


@pytest.mark.parametrize(
    ("make", "component", "depth"),
    [
        (TagQueue, broken.OverfullQueue, 12),
        (CaptureHandOver, broken.EagerCapture, 6),
        (RequantiserHandOver, broken.HastyRequantiser, 8),
        (ScannerWalk, broken.BlindScanner, 6),
        (partial(ScannerWalk, activation_skip=False), broken.ForgetfulScanner, 6),
        (FeederIssues, broken.CrowdedFeeder, 6),
        (partial(FeederIssues, activation_skip=False), broken.DenseFeeder, 6),
        (partial(TagQueue, places=2), broken.OverfullQueue, 8),
        (FeederIssues, broken.DenseFeeder, 6),
        (PackerPlaces, broken.OverlappingPacker, 5),
        (GathererWords, broken.ForgetfulGatherer, 5),
        (WordPackerPlaces, broken.SilentPacker, 5),
        (Trit5Code, broken.CarelessDecoder, 1),
        (DealerOffers, broken.HurriedDealer, 4),
        (CrcBits, broken.ZeroCrc, 7),
        (RingRoom, broken.BoundlessRing, 8),
        (lambda component: StreamRules(component()), broken.ImpatientSender, 3),
    ],
)
def test_a_broken_component_has_a_counterexample(make: Any, component: Any, depth: int) -> None:
    verdict = check("broken", lambda: make(component), mode="bmc", depth=depth)
    assert verdict.result == "FAIL"
    assert verdict.places
