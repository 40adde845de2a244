"""Every method of quantising weights and activations on the Verilated accelerator: a graph with every kind of layer,
trained a few steps, gives golden's and the torch model's outputs, bit for bit."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from quant.graphs import Conv, images, trained
from sterna.driver import Device
from sterna.golden import trace
from sterna.quant import WEIGHT_QUANTISERS, export_network
from sterna.quant.estimator import ESTIMATORS
from sterna.sim.configurations import CONVOLUTIONAL
from sterna.sim.device import open_simulation

METHODS = [
    *({"weights": weights} for weights in sorted(WEIGHT_QUANTISERS)),
    *({"act_bits": bits} for bits in range(2, 8)),
    {"activation": "gxnor", "act_bits": 2},
    *({"estimator": estimator} for estimator in sorted(ESTIMATORS)),
    {"density": 0.5},
]


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Device(open_simulation(CONVOLUTIONAL.name), configuration=CONVOLUTIONAL) as device:
        yield device


@pytest.mark.parametrize("recipe", METHODS, ids=lambda recipe: ",".join(map(str, recipe.values())))
def test_a_network_of_every_method_is_the_models_and_goldens_on_the_device(recipe: dict, device: Device) -> None:
    model = trained(Conv(), **recipe)
    network, _ = export_network(model, name="method")
    batch = images(3, 4)
    device.load(network)
    found = device.infer(batch)
    traced = model.trace(torch.from_numpy(batch))
    golden = trace(network, batch)
    assert len(network.outputs) == len(found) == 2
    for name, output in zip(network.outputs, found, strict=True):
        assert np.array_equal(golden[name], traced[name].numpy()), name
        assert np.array_equal(output.reshape(golden[name].shape), golden[name]), name
