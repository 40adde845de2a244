"""A run of several phases: its history, and its checkpoint if it keeps one."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sterna.spec.errors import ConfigurationError
from sterna.train.checkpoint import Checkpoint, Saved
from sterna.train.phases import optimiser_of, run_phase
from sterna.train.presets import Phase
from sterna.train.progress import PhaseName, Progress

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]
Loss = Callable[[Tensor, Tensor], Tensor]


def one_place(checkpoint: str | Path | None, floats: str | Path | None) -> None:
    """Raises :class:`ConfigurationError` if float models would be kept in both."""
    if checkpoint is not None and floats is not None:
        raise ConfigurationError("a run with a checkpoint keeps its float models there; leave out one of both")


def run_name(preset: object, seed: int, threads: int, device: torch.device) -> str:
    """Everything that a run's bytes depend on."""
    return f"{preset!r}, seed {seed}, {threads} threads on {device}, torch {torch.__version__}"


class Run:
    """Goes through phases in order, from a checkpoint on if there is one.

    ``name``: what makes it another run. ``checkpoint``: its file, None for none. ``progress`` is called after each
    epoch, and with those that the checkpoint tells of.
    """

    def __init__(
        self,
        name: str,
        generator: torch.Generator,
        checkpoint: str | Path | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._generator = generator
        self._file = None if checkpoint is None else Checkpoint(path=Path(checkpoint), run=name)
        self._progress = progress
        self._models: dict[str, nn.Module] = {}
        self.history: list[Progress] = []
        self._saved: Saved | None = self._file.load() if self._file is not None else None
        for entry in self._saved.history if self._saved else ():
            self._note(entry)

    def of_floats(self, folder: str | Path | None, name: str) -> "Run":
        """The run in which float models are trained: this one without a folder, else one of that name, whose checkpoint
        in the folder serves every run that begins the same."""
        if folder is None:
            return self
        file = Path(folder) / f"float-{hashlib.sha256(name.encode()).hexdigest()[:16]}.safetensors"
        return Run(name, self._generator, file, self._note)

    def phase(
        self,
        name: PhaseName,
        model: nn.Module,
        phase: Phase,
        loss: Loss,
        batches: Batches,
        before_epoch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Trains a model, or what is left of it; leaves it in evaluation mode."""
        self._models[name] = model
        optimiser = optimiser_of(model, phase)
        saved, epoch, step = self._saved, 0, 0
        if saved is not None:
            saved.restore_model(name, model)
            if saved.phase != name:  # this phase is over
                model.eval()
                return
            saved.restore_optimiser(optimiser)
            saved.restore_random(self._generator)
            epoch, step = saved.epoch, saved.step
            self._saved = None
        for entry, steps in run_phase(
            name, model, phase, optimiser, loss, batches, before_epoch, epoch=epoch, step=step
        ):
            self._note(entry)
            if self._file is not None:
                self._file.save(entry, steps, tuple(self.history), self._models, optimiser, self._generator)

    def _note(self, entry: Progress) -> None:
        self.history.append(entry)
        if self._progress is not None:
            self._progress(entry)
