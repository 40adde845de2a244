"""Random networks on the Verilated accelerator; what verification finds when something is wrong."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sterna.driver import Device
from sterna.link.emulator import Emulator
from sterna.sim import verification
from sterna.sim.configurations import VERIFIED
from sterna.sim.coverage import FunctionalCoverage
from sterna.sim.networks import TIGHT
from sterna.sim.verification import DifferenceError, check_device, make_case, run_case, skips_of, verify
from sterna.spec.skips import SKIPS

NETWORKS = 40
"""On each configuration; seeds 0…279 in all."""


@pytest.mark.parametrize("place", range(len(VERIFIED)), ids=list(VERIFIED))
def test_random_networks_do_what_golden_and_the_emulator_say(place: int) -> None:
    seeds = range(place, NETWORKS * len(VERIFIED), len(VERIFIED))
    verdicts = list(verify(seeds))
    assert [verdict for verdict in verdicts if verdict.failure is not None] == []
    assert {verdict.configuration for verdict in verdicts} == {list(VERIFIED)[place]}
    assert sorted(verdict.seed for verdict in verdicts) == list(seeds)
    assert all(verdict.cycles > 0 and verdict.tensors > verdict.layers for verdict in verdicts)
    small = list(VERIFIED.values())[place].weight_depth < TIGHT
    assert (sum(verdict.streamed for verdict in verdicts) > NETWORKS // 6) == small


def test_the_networks_of_these_seeds_are_of_nine_in_ten_kinds() -> None:
    met = FunctionalCoverage((2, 8), map(str, SKIPS))
    for seed in range(NETWORKS * len(VERIFIED)):
        case = make_case(seed)
        for skips in skips_of(case):
            met.add(case.network, case.configuration, str(skips))
    hit, bins = met.summary()["groups"]["all"]
    assert hit / bins >= 0.95


def test_a_seed_gives_the_same_case_again_and_another_seed_another() -> None:
    def described(seed: int) -> object:
        case = make_case(seed)
        trits = [plane.trits.tobytes() for layer in case.network.layers for plane in layer.planes]
        return case.configuration, trits, case.images.tobytes(), case.stalls, case.power_up

    assert described(5) == described(5)
    assert described(5) != described(9)
    assert make_case(5, ["verify-1x4"]).configuration is VERIFIED["verify-1x4"]


@pytest.fixture
def emulated() -> Device:
    configuration = make_case(6).configuration
    return Device(Emulator(configuration), configuration=configuration)


def test_a_right_device_passes(emulated: Device) -> None:
    check_device(emulated, make_case(6))


@pytest.mark.parametrize(("output", "run"), [(True, "no skip"), (False, "both skips")])
def test_the_first_tensor_and_element_that_differ_are_named(
    emulated: Device, monkeypatch: pytest.MonkeyPatch, output: bool, run: str
) -> None:
    """Outputs are compared in each run, the others in the last."""
    case = make_case(6)
    layer = next(layer.name for layer in case.network.layers if (layer.name in case.network.outputs) == output)
    right = verification.trace

    def wrong(*arguments: object) -> dict[str, np.ndarray]:
        tensors = right(*arguments)
        tensors[layer][:, 0, 0, 0] ^= 1
        return tensors

    monkeypatch.setattr(verification, "trace", wrong)
    with pytest.raises(DifferenceError, match=rf"{run}, image 0, layer {layer}: 1 of \d+ .* first \(0, 0, 0\)"):
        check_device(emulated, case)


def test_counters_that_differ_are_named(emulated: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(6)
    monkeypatch.setattr(verification, "Emulator", lambda configuration: Emulator(configuration))
    counters = emulated.counters
    monkeypatch.setattr(emulated, "counters", lambda: dataclasses.replace(counters(), stored=3 * counters().stored))
    with pytest.raises(DifferenceError, match=r"no skip: counter stored is \d+, the emulator's \d+"):
        check_device(emulated, case)


def test_a_network_that_is_refused_is_a_failure_of_its_seed() -> None:
    case = make_case(4)
    small = dataclasses.replace(case.configuration, weight_depth=16)
    failure = run_case(dataclasses.replace(case, configuration=small)).failure
    assert failure is not None
    assert "has configuration" in failure


def test_a_seed_can_be_seen_as_a_waveform(tmp_path: Path) -> None:
    (verdict,) = verify([5], waves=tmp_path / "5.vcd")
    assert verdict.failure is None
    assert "$enddefinitions" in (tmp_path / "5.vcd").read_text()[:1_000_000]
