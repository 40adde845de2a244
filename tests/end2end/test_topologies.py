"""Every shipped topology at full size: trained a few steps, exported, compiled, on the Verilated accelerator.

Three answers are held against each other, bit for bit: the fake-quantised torch model's, golden's, the device's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sterna.driver import Device
from sterna.golden import trace
from sterna.quant import LayerRecipe, QuantisedModel, Recipe, export_network, prepare
from sterna.sim.configurations import CONVOLUTIONAL, simulated
from sterna.sim.device import open_simulation
from sterna.spec.model_file import network_from_bytes, network_to_bytes
from sterna.spec.network import InputSpec, IntegerNetwork, Shape
from sterna.spec.skips import ALL_SKIPS, NO_SKIPS, Skips
from sterna.train import Autoencoder, Cnn, DsCnn, Mlp, ResNet8, Topology

INT8 = LayerRecipe(weights="digits5")
"""Of the class of int8: five planes."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A topology with the data that it is made for, and where it fits."""

    topology: Topology
    shape: Shape
    outputs: int
    recipe: Recipe
    configuration: str
    steps: int = 16
    batch: int = 32
    images: int = 4
    """Inferred on the device."""


CASES = {
    "mlp": Case(
        topology=Mlp(hidden=(64, 64, 64), activation="hardtanh"), shape=(28, 28, 1), outputs=10,
        recipe=Recipe(layers=LayerRecipe(act_bits=2), last=LayerRecipe(), pe=8, simd=4),
        configuration="icebreaker", images=100,
    ),
    "vgg": Case(
        topology=Cnn(stages=((16, 16), (32, 32), (32,))), shape=(28, 28, 1), outputs=10,
        recipe=Recipe(layers=LayerRecipe(weights="ttq"), first=INT8, last=INT8, pe=16, simd=4),
        configuration=CONVOLUTIONAL.name,
    ),
    "resnet8": Case(
        topology=ResNet8(), shape=(32, 32, 3), outputs=10,
        recipe=Recipe(layers=LayerRecipe(density=0.5), first=INT8, last=INT8, pe=16, simd=4),
        configuration=CONVOLUTIONAL.name, batch=16, images=2,
    ),
    "ds-cnn": Case(
        topology=DsCnn(), shape=(49, 10, 1), outputs=12, recipe=Recipe(pe=16, simd=4),
        configuration=CONVOLUTIONAL.name, steps=24,
    ),
    "autoencoder": Case(
        topology=Autoencoder(), shape=(1, 1, 640), outputs=640,
        recipe=Recipe(layers=LayerRecipe(weights="bitnet", density=0.5), pe=16, simd=4),
        configuration="verify-4x16", images=10,
    ),
}  # fmt: skip


def prototypes(case: Case) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Draws so many images, each one of ``outputs`` fixed ones under noise, and their numbers."""
    fixed = torch.rand(case.outputs, *case.shape) * 2 - 1

    def draw(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(case.outputs, (count,))
        return (fixed[labels] + 0.3 * torch.randn(count, *case.shape)).clamp(-1, 1), labels

    return draw


def train(case: Case) -> tuple[QuantisedModel, npt.NDArray[np.float32], list[float]]:
    """The model in evaluation mode, images that it has not seen, and the loss of every step."""
    torch.manual_seed(0)
    spec = InputSpec(name="input", shape=case.shape, low=-1.0, high=1.0, scale=1 / 127)
    model = prepare(case.topology.build(case.shape, case.outputs), case.recipe, spec)
    model.prune(1.0)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    draw, losses = prototypes(case), []
    for _ in range(case.steps):
        images, labels = draw(case.batch)
        answers = model(images)
        if isinstance(case.topology, Autoencoder):
            loss = functional.mse_loss(answers, images.flatten(1))
        else:
            loss = functional.cross_entropy(answers, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return model.eval(), draw(case.images)[0].numpy(), losses


@dataclass(frozen=True, kw_only=True)
class Trained:
    case: Case
    model: QuantisedModel
    losses: list[float]
    network: IntegerNetwork
    """As read from its model file."""
    images: npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=list(CASES))
def trained(request: pytest.FixtureRequest) -> Trained:
    case = CASES[request.param]
    model, images, losses = train(case)
    network, report = export_network(model, name=request.param)
    assert report.differing == 0
    network = network_from_bytes(network_to_bytes(network))
    return Trained(case=case, model=model, losses=losses, network=network, images=images)


@pytest.fixture(scope="module")
def device(trained: Trained) -> Iterator[Device]:
    configuration = simulated(trained.case.configuration)
    with Device(open_simulation(configuration.name), configuration=configuration) as device:
        device.load(trained.network)
        yield device


def test_a_few_steps_of_training_lower_the_loss(trained: Trained) -> None:
    assert np.mean(trained.losses[-3:]) < 0.95 * trained.losses[0]


def test_every_tensor_of_golden_is_the_torch_models_and_answers_differ(trained: Trained) -> None:
    golden = trace(trained.network, trained.images)
    for name, integers in trained.model.trace(torch.from_numpy(trained.images)).items():
        assert np.array_equal(integers.numpy(), golden[name]), name
    (output,) = trained.network.outputs
    assert len(np.unique(golden[output], axis=0)) > len(trained.images) / 2, "equal answers would say little"


@pytest.mark.parametrize("skips", [NO_SKIPS, ALL_SKIPS], ids=str)
def test_the_verilated_accelerator_gives_goldens_outputs(trained: Trained, device: Device, skips: Skips) -> None:
    device.load(trained.network, skips=skips)
    assert np.array_equal(device.infer(trained.images), trained.network.predict(trained.images))


def test_every_tensor_on_the_device_is_goldens(trained: Trained, device: Device) -> None:
    golden = trace(trained.network, trained.images[:1])
    for name, tensor in device.trace(trained.images[0]).items():
        assert np.array_equal(tensor, golden[name][0]), name
