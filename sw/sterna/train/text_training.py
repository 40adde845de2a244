"""Training on text, from a seed to the integer network of the linear layers and the host's part."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sterna.data import load_text
from sterna.data.metric import bits_per_byte
from sterna.host import Transformer
from sterna.quant import ExportReport
from sterna.spec.errors import ConfigurationError
from sterna.spec.network import IntegerNetwork
from sterna.train.progress import Progress
from sterna.train.reproducible import chosen_device, reproducible
from sterna.train.run import Run, one_place, run_name
from sterna.train.snapping import snapping
from sterna.train.text_presets import EPOCH, TextPreset
from sterna.train.transformer import QuantisedTransformer, export_transformer, prepare_transformer

WINDOWS = 64
"""That are evaluated at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextResult:
    """What a training run on text gives."""

    preset: TextPreset
    seed: int
    float_bits: float
    """Bits per byte of the test piece, by a float model that was trained for as many steps as both phases have."""
    integer_bits: float
    """By the model whose linear layers are integers."""
    network: IntegerNetwork
    host: Transformer
    report: ExportReport
    model: QuantisedTransformer
    """In evaluation mode."""
    history: tuple[Progress, ...]


def train_text(
    preset: TextPreset,
    seed: int = 0,
    *,
    data_dir: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    floats: str | Path | None = None,
    threads: int = 1,
    device: str | None = None,
) -> TextResult:
    """Trains on random windows of the training piece; everything else as :func:`sterna.train.train`."""
    one_place(checkpoint, floats)
    text = load_text(preset.text, data_dir)
    length, most = preset.topology.context + 1, min(len(text.train), len(text.test))
    if length > most:
        raise ConfigurationError(f"context is {length - 1}; allowed: 2…{most - 1}, the shortest piece of {text.name}")
    where = chosen_device(device)
    with reproducible(seed, threads) as generator:
        run = Run(run_name(preset, seed, threads, where), generator, checkpoint, progress)
        first = run.of_floats(floats, run_name(preset.float_part, seed, threads, where))

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for _ in range(EPOCH):
                starts = torch.randint(len(text.train) - length + 1, (preset.batch,), generator=generator).numpy()
                windows = torch.from_numpy(text.train[starts[:, np.newaxis] + np.arange(length)]).to(where)
                yield windows[:, :-1], windows[:, 1:]

        twin = preset.topology.build()
        with torch.random.fork_rng(devices=[]):
            prepare_transformer(twin, preset.recipe)  # refuses now what it would refuse after the first phase
        twin.to(where)
        first.phase("float", twin, preset.float_phase, lambda x, y: _nats(twin, x, y), batches)
        reference = copy.deepcopy(twin)
        first.phase("reference", reference, preset.quantised_phase, lambda x, y: _nats(reference, x, y), batches)
        model = prepare_transformer(twin.cpu(), preset.recipe).to(where)
        epochs = preset.quantised_phase.epochs

        def schedule(epoch: int) -> None:
            model.prune(min(1.0, 2 * (epoch + 1) / epochs))
            model.snap(epoch >= snapping(preset))

        run.phase("quantised", model, preset.quantised_phase, lambda x, y: _nats(model, x, y), batches, schedule)
        reference.cpu()
        model.cpu()
        float_bits, integer_bits = (held_out_bits(each, text.test, length - 1) for each in (reference, model))
        metadata = {"preset": preset.name, "text": preset.text, "seed": seed, "bits_per_byte": integer_bits}
        network, host, report = export_transformer(model, name=preset.name, metadata=metadata)
        return TextResult(
            preset=preset,
            seed=seed,
            float_bits=float_bits,
            integer_bits=integer_bits,
            network=network,
            host=host,
            report=report,
            model=model,
            history=tuple(run.history),
        )


def _nats(model: nn.Module, text: Tensor, following: Tensor) -> Tensor:
    """Mean cross-entropy of each next byte, both (n, t)."""
    return functional.cross_entropy(model(text).flatten(0, 1), following.flatten().long())


@torch.no_grad()
def held_out_bits(model: nn.Module, text: npt.NDArray[np.uint8], context: int) -> float:
    """Bits per byte of a text, cut into windows that share no byte to predict.

    Every byte but the first is predicted once (the last, incomplete window is left out), from at most ``context`` bytes
    of its own window: half of that on average, so that a longer look back would do better.
    """
    count = (len(text) - 1) // context
    seen = torch.from_numpy(text[: count * context].reshape(count, context))
    following = torch.from_numpy(text[1 : count * context + 1].reshape(count, context))
    pairs = zip(torch.split(seen, WINDOWS), torch.split(following, WINDOWS), strict=True)
    total = sum(float(_nats(model, x, y)) * len(x) for x, y in pairs)
    return bits_per_byte(total / count)
