"""A transformer over bytes whose linear layers run on the Verilated accelerator: the same logits, the same text."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import sterna
from sterna.driver import Device
from sterna.host import Transformer, load_transformer, save_transformer
from sterna.quant import LayerRecipe, Recipe
from sterna.sim.configurations import simulated
from sterna.sim.device import open_simulation
from sterna.spec.model_file import load_network, save_network
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, NO_SKIPS, Skips
from sterna.train import ByteTransformer, QuantisedTransformer, export_transformer, prepare_transformer

DOCUMENT = Path(__file__).parents[2] / "docs" / "transformer.md"
SHAPE = ByteTransformer(width=64, heads=4, blocks=2, context=64)
"""114,688 weights, for the bare 4×16 core of the verification."""
RECIPE = Recipe(layers=LayerRecipe(density=0.5), last=LayerRecipe(weights="digits2"), pe=16, simd=4)
TEXT = b"peter piper picked a peck of pickled peppers; a peck of pickled peppers peter piper picked. " * 10


@pytest.fixture(scope="module")
def trained() -> tuple[QuantisedTransformer, list[float]]:
    torch.manual_seed(0)
    model = prepare_transformer(SHAPE.build(), RECIPE)
    model.prune(1.0)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    text, losses = np.frombuffer(TEXT, np.uint8), []
    for _ in range(20):
        starts = torch.randint(len(text) - 65, (8,)).numpy()
        windows = torch.from_numpy(text[starts[:, np.newaxis] + np.arange(65)])
        loss = functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten().long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return model.eval(), losses


@pytest.fixture(scope="module")
def files(
    trained: tuple[QuantisedTransformer, list[float]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[IntegerNetwork, Transformer]:
    """The network and the host's part, as read from their files."""
    network, host, report = export_transformer(trained[0], name="peppers")
    assert report.differing == 0
    folder = tmp_path_factory.mktemp("transformer")
    save_network(network, folder / "text.safetensors")
    save_transformer(host, folder / "text.host.safetensors")
    network = load_network(folder / "text.safetensors")
    return network, load_transformer(folder / "text.host.safetensors", network)


@pytest.fixture(scope="module")
def device(files: tuple[IntegerNetwork, Transformer]) -> Iterator[Device]:
    configuration = simulated("verify-4x16")
    with Device(open_simulation(configuration.name), configuration=configuration) as device:
        device.load(files[0])
        yield device


def test_a_few_steps_of_training_lower_the_loss(trained: tuple[QuantisedTransformer, list[float]]) -> None:
    losses = trained[1]
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


@pytest.mark.parametrize("skips", [NO_SKIPS, ALL_SKIPS], ids=str)
def test_logits_over_torch_golden_and_the_device_are_equal_bit_for_bit(
    trained: tuple[QuantisedTransformer, list[float]],
    files: tuple[IntegerNetwork, Transformer],
    device: Device,
    skips: Skips,
) -> None:
    network, host = files
    device.load(network, skips=skips)
    text = np.frombuffer(TEXT[:64], np.uint8)[np.newaxis]
    golden = host.logits(text, network.linear)
    on_device = host.logits(text, device.linear)
    assert np.array_equal(on_device, golden)
    assert np.array_equal(host.logits(text, trained[0].core.linear), golden)
    assert (golden[0, :-1].argmax(axis=1) == text[0, 1:]).mean() > 0.3, "it has learned something to be equal about"


def test_text_is_generated_byte_by_byte_past_the_context(
    files: tuple[IntegerNetwork, Transformer], device: Device
) -> None:
    network, host = files
    prompt = TEXT[:56]
    text = host.generate(prompt, 12, device.linear, temperature=0.5, seed=3)
    assert text == host.generate(prompt, 12, network.linear, temperature=0.5, seed=3)
    assert len(set(text)) > 3


def test_what_the_icebreaker_does_not_hold_is_streamed_and_gives_the_same(
    files: tuple[IntegerNetwork, Transformer],
) -> None:
    network, host = files
    text = np.frombuffer(TEXT[:32], np.uint8).reshape(2, 16)
    with sterna.open("sim:icebreaker") as device:
        image = device.load(network)
        assert len(image.segments) > 1
        assert np.array_equal(host.logits(text, device.linear), host.logits(text, network.linear))


def test_the_document_runs(tmp_path: Path) -> None:
    """Its Python blocks, one after the other, in an empty folder."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
    assert 'sterna.open("sim:icebreaker")' in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "the quick brown fox" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"text.safetensors", "text.host.safetensors"}
