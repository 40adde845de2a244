"""A network that was trained elsewhere, on the held-out digits of MNIST: the graph, golden and the RTL agree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sterna
from sterna.cli.verbs import app
from sterna.data import load
from sterna.data.source import folders
from sterna.interop import Feed, graph_from_bytes, import_onnx, plan, read_onnx
from sterna.spec.errors import DataError, ModelError
from sterna.spec.model_file import load_network

SLICE = 500


@pytest.fixture(scope="module")
def file() -> Path:
    for folder in folders(None):
        if (folder / "qonnx" / "TFC_2W2A.onnx").is_file():
            return folder / "qonnx" / "TFC_2W2A.onnx"
    pytest.skip("no qonnx/TFC_2W2A.onnx in STERNA_DATA")


@pytest.fixture(scope="module")
def digits() -> Any:
    try:
        return load("mnist")
    except DataError as error:
        pytest.skip(str(error))


def test_golden_gives_what_the_graph_gives_on_every_image(file: Path, digits: Any) -> None:
    network, report = import_onnx(file)
    assert report.differing == report.undecided == 0
    assert report.outputs[0].exact
    images, labels = digits.test_images, digits.test_labels
    found = np.asarray(network.predict(images))
    read = plan(read_onnx(file))
    real = read.evaluate(Feed().real(images.transpose(0, 3, 1, 2), np.float32))[read.graph.outputs[0]]
    assert np.array_equal(found, np.rint((real - report.outputs[0].offset) / report.outputs[0].scale))
    assert np.array_equal(found.argmax(axis=1), real.argmax(axis=1))
    assert np.count_nonzero(found.argmax(axis=1) == labels) == 9660


def test_no_weight_is_altered(file: Path) -> None:
    graph = read_onnx(file)
    latent = [value for value in graph.constants.values() if value.ndim == 2]
    network, _ = import_onnx(file)
    for layer, weights in zip(network.layers, latent, strict=True):
        trits = layer.planes[0].trits.reshape(weights.shape)
        wanted = np.rint(np.clip(weights, -1, 1))
        turned = (trits == -wanted).all(axis=1)  # channels that fall with their sum
        assert np.array_equal(np.where(turned[:, np.newaxis], -trits, trits), wanted)
    assert network.weights == 59_008
    assert sum(int(np.count_nonzero(layer.planes[0].trits == 0)) for layer in network.layers) == 36_653


def test_the_verb_writes_a_model_that_the_rtl_runs_like_golden(file: Path, digits: Any, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["import", str(file), "-o", str(tmp_path / "tfc.safetensors"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["differing"] == 0
    network = load_network(tmp_path / "tfc.safetensors")
    images = digits.test_images[:SLICE]
    with sterna.open("sim:icebreaker") as device:
        device.load(network)
        assert np.array_equal(device.infer(images.reshape(SLICE, -1)), network.predict(images))


def test_a_file_cut_short_is_refused(file: Path) -> None:
    with pytest.raises(ModelError):
        graph_from_bytes(file.read_bytes()[:-1000])
