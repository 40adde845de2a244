"""Checkpoints: all that a run is at the end of an epoch, so that it goes on as if nothing had interrupted it.

One safetensors file: tensors of the float model (``float.…``), of the quantised one (``quantised.…``), the
optimiser's (``optimiser.N.…``), the states of both random number generators, and JSON for the rest. Nothing in it is
ever executed.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sterna.spec.errors import ConfigurationError, ModelError
from sterna.train.progress import PhaseName, Progress

METADATA_KEY = "sterna-checkpoint"


@dataclass(frozen=True, kw_only=True, eq=False)
class Saved:
    """A run at the end of an epoch."""

    phase: PhaseName
    epoch: int
    """Finished ones of the phase."""
    step: int
    """Finished ones of the phase."""
    history: tuple[Progress, ...]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """Tensors of one module."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}

    def restore_model(self, name: str, model: nn.Module) -> None:
        """Sets its tensors. Raises :class:`ModelError` if they are others: those of another release."""
        try:
            model.load_state_dict(self.part(name))
        except RuntimeError as error:
            text = f"the checkpoint's {name} model has other tensors than this release trains"
            raise ModelError(f"{text}; delete it or name another file") from error

    def restore_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        """Sets its state, as far as there is one."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in self.part("optimiser").items():
            index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
        optimiser.load_state_dict(optimiser.state_dict() | {"state": state})

    def restore_random(self, generator: torch.Generator) -> None:
        """Sets both generators."""
        generator.set_state(self.tensors["random.generator"])
        torch.set_rng_state(self.tensors["random.torch"])


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The checkpoint file of one run. ``run``: what makes it another run."""

    path: Path
    run: str

    def load(self) -> Saved | None:
        """What was saved, None if nothing was: then the file's folder is made. Raises :class:`ConfigurationError` for
        another run's file and a path that cannot be written, :class:`ModelError` for what is no checkpoint."""
        if not self.path.exists():
            self._claim()
            return None
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                values: dict[str, Any] = json.loads((file.metadata() or {})[METADATA_KEY])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            history = tuple(Progress(**entry) for entry in values["history"])
            run, where = values["run"], (values["phase"], values["epoch"], values["step"])
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{self.path} is no checkpoint: {error}") from error
        if run != self.run:
            raise ConfigurationError(
                f"{self.path} is the checkpoint of another run (preset, seed, threads or release of torch); "
                "delete it or name another file"
            )
        return Saved(phase=where[0], epoch=where[1], step=where[2], history=history, tensors=tensors)

    def _claim(self) -> None:
        """Better refused now than after the first epoch."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"checkpoint is {self.path}, whose folder cannot be made: {error}") from error
        if not os.access(self.path.parent, os.W_OK):
            raise ConfigurationError(f"checkpoint is {self.path}, whose folder cannot be written")

    def save(
        self,
        entry: Progress,
        step: int,
        history: tuple[Progress, ...],
        modules: Mapping[str, nn.Module],
        optimiser: torch.optim.Optimizer,
        generator: torch.Generator,
    ) -> None:
        """Writes the file in one step. ``entry``: the epoch just finished. Raises ``OSError``."""
        tensors = {"random.generator": generator.get_state(), "random.torch": torch.get_rng_state()}
        for name, module in modules.items():
            tensors |= {f"{name}.{key}": value.contiguous() for key, value in module.state_dict().items()}
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{field}": value.contiguous() for field, value in state.items()}
        values = {
            "run": self.run, "phase": entry.phase, "epoch": entry.epoch, "step": step,
            "history": [dataclasses.asdict(each) for each in history],
        }  # fmt: skip
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            safetensors.torch.save_file(tensors, draft, {METADATA_KEY: json.dumps(values, sort_keys=True)})
            draft.replace(self.path)
        except safetensors.SafetensorError as error:  # what it makes of a full disk
            raise OSError(f"{self.path} cannot be written: {error}") from error
        finally:
            draft.unlink(missing_ok=True)
