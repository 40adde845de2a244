"""The transformer: a few steps of training, exported; its layers are golden's, its host's part the torch model's."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sterna.host import Transformer
from sterna.quant import LayerRecipe, Recipe
from sterna.spec.errors import ModelError
from sterna.spec.model_file import network_to_bytes
from sterna.spec.network import IntegerNetwork
from sterna.train import ByteTransformer, QuantisedTransformer, export_transformer, prepare_transformer
from sterna.train.topologies.transformer import FloatTransformer, TransformerModule

SHAPE = ByteTransformer(width=16, heads=2, blocks=2, context=16, expansion=2)
TEXT = np.frombuffer(b"she sells sea shells by the sea shore. " * 20, np.uint8)
RECIPES = {
    "twn": Recipe(pe=4, simd=2),
    "several planes, pruned": Recipe(
        layers=LayerRecipe(weights="ttq", density=0.5),
        last=LayerRecipe(weights="digits5"),
        named=(("out?", LayerRecipe(weights="power-of-three", act_bits=5)),),
        pe=4,
        simd=2,
    ),
}


def step(model: TransformerModule, optimiser: torch.optim.Optimizer) -> float:
    starts = torch.randint(len(TEXT) - 17, (16,)).numpy()
    windows = torch.from_numpy(TEXT[starts[:, np.newaxis] + np.arange(17)])
    logits = model(windows[:, :-1])
    loss: Tensor = functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten().long())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def trained(recipe: Recipe, steps: int = 25) -> tuple[QuantisedTransformer, list[float]]:
    torch.manual_seed(0)
    model = prepare_transformer(SHAPE.build(), recipe)
    model.prune(1.0)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = [step(model, optimiser) for _ in range(steps)]
    return model.eval(), losses


@pytest.fixture(scope="module", params=list(RECIPES))
def exported(request: pytest.FixtureRequest) -> tuple[QuantisedTransformer, IntegerNetwork, Transformer, list[float]]:
    model, losses = trained(RECIPES[request.param])
    network, host, report = export_transformer(model, name="shells", metadata={"text": "sea shells"})
    assert report.differing == 0
    assert network.metadata == {"text": "sea shells"}
    return model, network, host, losses


Exported = tuple[QuantisedTransformer, IntegerNetwork, Transformer, list[float]]


def test_a_few_steps_of_training_lower_the_loss(exported: Exported) -> None:
    losses = exported[3]
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


def test_every_linear_layer_is_goldens_on_integers_of_its_whole_range(exported: Exported) -> None:
    model, network, _, _ = exported
    rng = np.random.default_rng(0)
    for layer in SHAPE.linears:
        low, high = map(int, (network.layer(layer.name).input.low, network.layer(layer.name).input.high))
        assert (low, high) == ((-127, 127) if layer.source == "input" else (0, 127))
        x = rng.integers(low, high + 1, (50, layer.inputs))
        outputs = network.linear(layer.name, x)
        assert np.array_equal(outputs, model.core.linear(layer.name, x)), layer.name
        assert outputs.shape == (50, layer.outputs)
        assert len(np.unique(outputs)) > 10


def test_logits_over_fake_quantised_torch_layers_are_those_over_golden(exported: Exported) -> None:
    model, network, host, _ = exported
    text = TEXT[:48].reshape(3, 16)
    logits = host.logits(text, network.linear)
    assert np.array_equal(logits, host.logits(text, model.core.linear))
    host.check(network)


def test_the_hosts_arithmetic_is_the_torch_models_but_for_float32(exported: Exported) -> None:
    """Catches what equal code on both sides cannot: another model than the one that was trained."""
    model, network, host, _ = exported
    text = TEXT[:48].reshape(3, 16)
    logits = host.logits(text, network.linear)
    in_torch = model(torch.from_numpy(text.copy())).detach().numpy()
    off = np.abs(logits - in_torch) / np.abs(logits).max()
    assert (off > 0.02).mean() < 0.01
    training = model.train()(torch.from_numpy(text.copy())).detach().numpy()
    model.eval()
    assert (np.abs(logits - training) / np.abs(logits).max() > 0.02).mean() < 0.01


def test_the_float_transformer_trains_and_prepares_to_nearly_itself_at_int8() -> None:
    torch.manual_seed(1)
    model = SHAPE.build()
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = [step(model, optimiser) for _ in range(25)]
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    text = torch.from_numpy(TEXT[:48].reshape(3, 16).copy())
    quantised = prepare_transformer(model, Recipe(layers=LayerRecipe(weights="digits5")))
    assert sum(p.numel() for p in model.parameters()) == SHAPE.weights + 16 * (256 + 16 + 5)
    with torch.no_grad():
        off = (quantised(text) - model(text)).abs() / model(text).abs().max()
    assert float(off.mean()) < 0.01


def test_blocks_of_weights_are_pruned_to_the_density() -> None:
    network, _, report = export_transformer(trained(RECIPES["several planes, pruned"], steps=1)[0], name="shells")
    kept = {layer.name: layer.block_density for layer in report.layers}
    assert all(share <= 0.5 for name, share in kept.items() if name.startswith(("qkv", "up", "down"))), kept
    assert kept["head"] > 0.9
    planes = {layer.name: len(layer.planes) for layer in network.layers}
    assert (planes["qkv0"], planes["out0"], planes["head"]) == (2, 3, 5)


def test_exporting_twice_gives_the_same_bytes_and_before_training_it_is_refused() -> None:
    models = [trained(RECIPES["twn"], steps=2)[0] for _ in range(2)]
    first, second = (export_transformer(model, name="shells") for model in models)
    assert network_to_bytes(first[0]) == network_to_bytes(second[0])
    assert all(np.array_equal(a, b) for a, b in zip(arrays(first[1]), arrays(second[1]), strict=True))
    with pytest.raises(ModelError, match="an activation step is not set"):
        export_transformer(prepare_transformer(FloatTransformer(SHAPE), Recipe()).eval(), name="shells")


def arrays(host: Transformer) -> tuple[npt.NDArray[np.floating], ...]:
    return host.embedding, host.positions, host.gains, host.steps


def test_snapped_training_gives_the_logits_of_evaluation() -> None:
    model, _ = trained(RECIPES["several planes, pruned"], steps=3)
    text = torch.from_numpy(TEXT[: 30 * 16].reshape(30, 16).copy())
    exact = model(text)
    assert exact.std(1).max() > 0.1, "equal answers would say little"
    model.train()
    assert not torch.allclose(model(text), exact, atol=1e-3)
    model.snap()
    logits = model(text)
    assert torch.allclose(logits, exact, atol=1e-4)
    logits.square().mean().backward()
    weights = [term.weight for _, layer in model.core.named_layers() for term in layer.terms]
    assert all(weight.grad is not None and weight.grad.any() for weight in weights)
