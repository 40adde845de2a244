"""Runs that are interrupted and go on: the same bytes as in one piece; other runs' files are refused."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from sterna.data import load
from sterna.quant import LayerRecipe, Recipe
from sterna.spec.errors import ConfigurationError, ModelError
from sterna.spec.model_file import network_to_bytes
from sterna.spec.values import MAX_SEED
from sterna.train import PRESETS, Augmentation, Mlp, Phase, Preset, Progress, train
from sterna.train.reproducible import CUBLAS, chosen_device, reproducible
from sterna.train.text_presets import TEXT_PRESETS

QUICK = dataclasses.replace(
    PRESETS["digits-mlp"],
    topology=Mlp(hidden=(32, 24)),
    recipe=Recipe(layers=LayerRecipe(weights="ttq", density=0.5)),
    float_phase=Phase(epochs=2, learning_rate=1e-2, weight_decay=0.01),
    quantised_phase=Phase(epochs=3, learning_rate=1e-2),
    distillation=0.5,
    harden_until=0.7,
    snap_from=0.6,
)


class InterruptedRunError(Exception):
    """In place of a power cut."""


def interrupted_after(preset: Preset, epochs: int, checkpoint: Path) -> None:
    """Trains until the next epoch after so many is told of: its checkpoint is not written."""
    seen: list[Progress] = []

    def stop(entry: Progress) -> None:
        seen.append(entry)
        if len(seen) > epochs:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        train(preset, 5, checkpoint=checkpoint, progress=stop)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_an_interrupted_run_goes_on_to_the_same_bytes(epochs: int, tmp_path: Path) -> None:
    whole = train(QUICK, 5)
    file = tmp_path / "run.safetensors"
    interrupted_after(QUICK, epochs, file)
    told: list[Progress] = []
    resumed = train(QUICK, 5, checkpoint=file, progress=told.append)
    assert network_to_bytes(resumed.network) == network_to_bytes(whole.network)
    assert tuple(told) == resumed.history == whole.history
    assert resumed.float_accuracy == whole.float_accuracy
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_finished_run_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    first = train(QUICK, 5, checkpoint=file)
    written = file.read_bytes()
    assert network_to_bytes(train(QUICK, 5, checkpoint=file).network) == network_to_bytes(first.network)
    assert file.read_bytes() == written


OTHER_RECIPES: dict[str, Any] = {
    "name": "another",
    "recipe": Recipe(layers=LayerRecipe(weights="binary", act_bits=3)),
    "quantised_phase": Phase(epochs=2, learning_rate=1e-3),
    "distillation": 0.0,
    "temperature": 2.0,
    "prune_until": 0.9,
    "harden_until": 0.0,
    "snap_from": 1.0,
}
FLOAT_PART: dict[str, Any] = {
    "dataset": "mnist",
    "topology": Mlp(hidden=(32, 16)),
    "float_phase": Phase(epochs=1, learning_rate=1e-2),
    "batch": 32,
    "augmentation": Augmentation(noise=0.1),
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Preset)])
def test_a_float_model_serves_all_runs_that_begin_with_it_and_no_other(field: str, tmp_path: Path) -> None:
    """Every field of a preset either leaves the float model's bytes as they are, or asks for another one."""
    train(QUICK, 5, floats=tmp_path)
    (file,) = tmp_path.iterdir()
    kept = file.read_bytes()
    if field in FLOAT_PART:
        other = dataclasses.replace(QUICK, **{field: FLOAT_PART[field]})
        assert other.float_part != QUICK.float_part
        return
    other = dataclasses.replace(QUICK, **{field: OTHER_RECIPES[field]})
    alone = train(other, 5)
    told: list[Progress] = []
    shared = train(other, 5, floats=tmp_path, progress=told.append)
    assert network_to_bytes(shared.network) == network_to_bytes(alone.network)
    assert tuple(told) == shared.history == alone.history
    assert shared.float_accuracy == alone.float_accuracy
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == kept


@pytest.mark.parametrize("changed", [{"seed": 6}, {"threads": 2}])
def test_a_float_model_of_another_seed_or_number_of_threads_is_another(changed: dict[str, int], tmp_path: Path) -> None:
    train(QUICK, **{"seed": 5, "threads": 1, "floats": tmp_path} | changed)  # type: ignore[arg-type]
    train(QUICK, 5, floats=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_float_models_are_kept_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a run with a checkpoint keeps its float models there"):
        train(
            QUICK, checkpoint=tmp_path / "a" / "run", floats=tmp_path / "b", progress=lambda _: pytest.fail("trained")
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", ["seed", "preset", "threads"])
def test_another_runs_checkpoint_is_refused(other: str, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    interrupted_after(QUICK, 1, file)
    preset = dataclasses.replace(QUICK, batch=32) if other == "preset" else QUICK
    with pytest.raises(ConfigurationError, match="is the checkpoint of another run"):
        train(preset, 6 if other == "seed" else 5, checkpoint=file, threads=2 if other == "threads" else 1)


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=re.escape(f"{file} is no checkpoint: ")):
        train(QUICK, checkpoint=file)


@pytest.mark.parametrize("phase", ["float", "quantised"])
def test_a_checkpoint_of_another_releases_tensors_is_refused(phase: str, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    interrupted_after(QUICK, 3, file)
    with safetensors.safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = safetensors.torch.load_file(file)
    renamed = next(name for name in tensors if name.startswith(f"{phase}."))
    tensors[f"{renamed}_of_old"] = tensors.pop(renamed)
    safetensors.torch.save_file(tensors, file, metadata)
    with pytest.raises(ModelError, match=f"the checkpoint's {phase} model has other tensors than this release trains"):
        train(QUICK, 5, checkpoint=file)


def test_the_folder_of_a_checkpoint_is_made(tmp_path: Path) -> None:
    file = tmp_path / "some" / "folder" / "run.safetensors"
    interrupted_after(QUICK, 1, file)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_checkpoint_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path, text in ((tmp_path / "file" / "run", "whose folder cannot be made"), (tmp_path, "is no checkpoint")):
        with pytest.raises((ConfigurationError, ModelError), match=text):
            train(QUICK, checkpoint=path, progress=lambda _: pytest.fail("trained"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="run, whose folder cannot be written"):
        train(QUICK, checkpoint=tmp_path / "run", progress=lambda _: pytest.fail("trained"))


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise safetensors.SafetensorError("no space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="run cannot be written: no space left on device"):
        train(QUICK, checkpoint=tmp_path / "run")


def test_the_same_threads_give_the_same_bytes() -> None:
    first, second = (train(QUICK, 1, threads=2) for _ in range(2))
    assert network_to_bytes(first.network) == network_to_bytes(second.network)


def test_a_gpu_is_taken_if_there_is_one_and_named_if_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv(CUBLAS[0], "before")
    monkeypatch.delenv(CUBLAS[0])
    assert chosen_device() == chosen_device("cuda") == torch.device("cuda")
    assert os.environ[CUBLAS[0]] == CUBLAS[1]
    assert chosen_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device() == torch.device("cpu")
    with pytest.raises(ConfigurationError, match="device is 'cuda', but torch finds no GPU"):
        chosen_device("cuda")
    with pytest.raises(ConfigurationError, match="device is 'tpu'; allowed: cpu, cuda"):
        chosen_device("tpu")


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "1"])
def test_no_threads_are_refused(threads: Any) -> None:
    text = re.escape(f"threads is {threads!r}; allowed: 1 or more")
    with pytest.raises(ConfigurationError, match=text), reproducible(0, threads):
        pass


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1 << 64, 0.0, False, "0"])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    text = re.escape(f"seed is {seed!r}; allowed: 0…{MAX_SEED}")
    with pytest.raises(ConfigurationError, match=text):
        train(QUICK, seed)
    with reproducible(MAX_SEED, 1):
        pass


@pytest.mark.parametrize(("share", "first"), [(1.0, 6), (0.5, 3), (0.01, 1)])
def test_training_is_snapped_from_its_epoch_on(share: float, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr("sterna.quant.model.QuantisedModel.snap", lambda _, exact: told.append(exact))
    train(dataclasses.replace(QUICK, quantised_phase=Phase(epochs=6, learning_rate=1e-3), snap_from=share))
    assert told == [epoch >= first for epoch in range(6)]


def test_a_share_to_snap_from_is_between_none_and_all() -> None:
    for share in (0, 1.1):
        for preset in (QUICK, TEXT_PRESETS["text-bytelm-30k"]):
            with pytest.raises(ConfigurationError, match=f"snap_from is {share}; allowed: above 0, at most 1"):
                dataclasses.replace(preset, snap_from=share)


def test_weights_harden_from_float_to_quantised(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    monkeypatch.setattr("sterna.quant.model.QuantisedModel.harden", lambda _, share: shares.append(share))
    train(dataclasses.replace(QUICK, quantised_phase=Phase(epochs=6, learning_rate=1e-3), harden_until=0.5))
    assert shares == [1 / 3, 2 / 3, 1, 1, 1, 1]


def test_the_data_are_those_of_the_metric() -> None:
    digits = load("digits")
    assert train(QUICK).metric == digits.metric.name == "accuracy"
