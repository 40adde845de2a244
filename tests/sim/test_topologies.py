"""Networks of known shape, and the configurations that they are made for."""

import numpy as np
import pytest

from sterna.compiler import model_cycles
from sterna.compiler.compile import fit_report
from sterna.driver import Device
from sterna.golden import trace
from sterna.sim.configurations import CONVOLUTIONAL, SIMULATED, VERIFIED, simulated
from sterna.sim.device import open_simulation
from sterna.sim.topologies import conv_layer, dense_layer, resnet8
from sterna.spec.errors import ConfigurationError
from sterna.spec.trits import TritCode


def test_resnet8_has_the_products_of_mlperf_tiny_and_fits() -> None:
    network = resnet8()
    products = sum(
        plane.trits.size * int(np.prod(network.shape(layer.name)[:2]))
        for layer in network.layers
        for plane in layer.planes
        if plane.groups == 1
    )
    identity = 16 * 16 * 32 * 32
    assert products - identity == 12_501_632
    assert [network.shape(name) for name in ("stack0b", "stack1b", "stack2b", "classes")] == [
        (32, 32, 16), (16, 16, 32), (8, 8, 64), (1, 1, 10)
    ]  # fmt: skip
    fit_report(network, CONVOLUTIONAL).check()


def test_four_cores_of_the_ecp5_hold_resnet8_of_four_bits_dense_as_it_is() -> None:
    network = resnet8(block=32, act_bits=4, mean_steps=2)
    assert [network.shape(name) for name in ("columns", "mean")] == [(1, 8, 64), (1, 1, 64)]
    report = fit_report(network, simulated("ecp5-85x4"))
    report.check()
    assert report.streamed_bytes == 0


def test_the_up5k_holds_resnet8_whole_and_gives_what_golden_gives() -> None:
    configuration = simulated("icebreaker-maps")
    network = resnet8(block=configuration.pe, density=0.14, mean_steps=2, classes_first=True)
    assert fit_report(network, configuration).streamed_bytes == 0
    images = np.random.default_rng(0).integers(-127, 128, (2, *network.input.shape))
    tensors = trace(network, images)
    with Device(open_simulation(configuration.name, power_up=1), configuration=configuration) as device:
        device.load(network)
        outputs = device.infer(images)
        assert isinstance(outputs, np.ndarray)
        assert (outputs == tensors["mean"].reshape(outputs.shape)).all()
        cycles = device.counters().cycles / len(images)
        for name, tensor in device.trace(images[0]).items():
            assert (tensor == tensors[name][0]).all()
    assert cycles < 1.2 * model_cycles(network, configuration, images).total


def test_activations_of_resnet8_neither_vanish_nor_all_saturate() -> None:
    network = resnet8()
    images = np.random.default_rng(0).integers(-127, 128, (2, *network.input.shape))
    for name, tensor in trace(network, images).items():
        assert (tensor != 0).mean() > 0.05, name
        assert (np.abs(tensor) == 127).mean() < 0.3, name


@pytest.mark.parametrize("density", [1.0, 0.5, 0.06])
def test_densities_of_blocks_are_exact(density: float) -> None:
    dense = dense_layer(1, 64, 32, block=8, density=density).layers[0].planes[0].trits
    assert dense.reshape(4, 8, 64).any(axis=1).sum() == round(density * 4 * 64)
    conv = conv_layer(1, (8, 8, 16), 16, block=16, density=density).layers[0].planes[0].trits
    assert conv.any(axis=0).sum() == round(density * 9 * 16)


def test_verified_configurations_are_of_every_width_of_two_precisions_and_of_both_codes() -> None:
    assert {c.simd for c in VERIFIED.values()} == {1, 2, 4, 8}
    assert {c.pe for c in VERIFIED.values()} == {4, 8, 10, 16}
    assert {c.act_bits for c in VERIFIED.values()} == {2, 8}
    assert {c.weight_code for c in VERIFIED.values()} == set(TritCode)
    assert all(simulated(name).name == name for name in SIMULATED)


def test_an_unknown_configuration_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=rf"no configuration 'no'; known: {', '.join(sorted(SIMULATED))}$"):
        simulated("no")
