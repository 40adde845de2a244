"""The benchmarks measure what they say; none of their numbers is held against a bound of time."""

from pathlib import Path

import numpy as np
import pytest

from sterna.sim import speed
from sterna.sim.topologies import resnet8
from sterna.sim.zero_skip import BENCHES, measure, plot, random_input

MLP = BENCHES[0]


def test_zeros_of_either_kind_save_cycles_and_every_cycle_has_its_class(tmp_path: Path) -> None:
    found = list(measure(MLP, (1.0, 0.25), (1.0, 0.5)))
    assert [(each.block_density, each.activation_density) for each in found] == [
        (1, 1),
        (1, 0.5),
        (0.25, 1),
        (0.25, 0.5),
    ]
    full, half, quarter, both = found
    assert full.ideal_cycles == 256 * 256 / 8 / 4
    assert both.cycles < half.cycles < full.cycles
    assert both.cycles < quarter.cycles < full.cycles
    for each in found:
        assert each.ratio == each.ideal_cycles / each.cycles <= 1
        assert sum(each.classes.values()) == each.cycles == each.with_skips["both skips"]
        assert each.with_skips["no skip"] == full.with_skips["no skip"]
        assert each.with_skips["both skips"] == min(each.with_skips.values())
    # Cycles of the clock, not of the wall: the goal of the core at full density.
    assert full.ratio >= 0.95
    assert list(full.row()) == [
        "layer", "configuration", "block_density", "activation_density", "cycles", "ideal_cycles", "ratio"
    ]  # fmt: skip
    pytest.importorskip("matplotlib")
    plot(found, tmp_path / "zero-skip.png")
    assert (tmp_path / "zero-skip.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("density", [1.0, 0.5, 0.25])
def test_densities_of_activations_are_exact(density: float) -> None:
    network = MLP.make(1.0)
    assert (random_input(1, network, density) != 0).sum() == round(density * 256)


def test_speed_has_a_number_for_each_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REPEATS", 1)
    monkeypatch.setattr(speed, "PACKED_TRITS", 1 << 16)
    row = speed.measure().row()
    assert list(row) == [
        "device_cycles_per_s", "golden_images_per_s", "torch_images_per_s", "golden_over_torch", "golden_over_device",
        "pack_trits_per_s", "compile_s",
    ]  # fmt: skip
    assert all(value is not None and value > 0 for value in row.values())


def test_the_torch_network_computes_what_golden_does_but_for_rounding() -> None:
    pytest.importorskip("torch")
    network = resnet8()
    images = np.random.default_rng(1).integers(-127, 128, (16, *network.input.shape))
    inference = speed.torch_inference(network, images)
    assert inference is not None
    expected = network.predict(images)
    assert np.abs(inference()[:, :, 0, 0] - expected).max() < 3
    assert np.ptp(expected) > 50
