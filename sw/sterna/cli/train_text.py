"""What ``sterna train`` does with a preset for text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sterna.cli.output import Work, print_json

if TYPE_CHECKING:
    from sterna.train.text_presets import TextPreset


def host_file(output: Path) -> Path:
    """Where the host's part goes, beside the model file of the linear layers."""
    return output.with_suffix(".host.safetensors")


def train_text(
    preset: "TextPreset", seed: int, output: Path, data_dir: Path | None, work: Work, metrics: Path | None,
    plots: Path | None, json: bool, **options: Any,
) -> None:  # fmt: skip
    """Trains, writes both files, whose folders are there, and prints bits per byte. ``options``: of
    ``sterna.train.text_training.train_text``."""
    from sterna.host import save_transformer
    from sterna.spec.model_file import packed_bits, save_network
    from sterna.train import MetricsFile, Progress
    from sterna.train.plots import plot_losses, plot_weights
    from sterna.train.text_training import train_text

    keep = None if metrics is None else MetricsFile(metrics)
    with (
        work.counted("train: float") as first,
        work.counted("train: reference") as second,
        work.counted("train: quantised") as third,
    ):
        bars = {"float": first, "reference": second, "quantised": third}

        def show(entry: Progress) -> None:
            bars[entry.phase](entry.epoch, entry.epochs)
            if keep is not None:
                keep(entry)

        result = train_text(preset, seed, data_dir=data_dir, progress=show, **options)
    save_network(result.network, output)
    save_transformer(result.host, host_file(output))
    if plots is not None:
        plot_losses(result.history, plots / f"{output.stem}-loss.svg")
        plot_weights(result.model.core, plots / f"{output.stem}-weights.svg")
    bits = packed_bits(result.network) / preset.topology.weights
    if json:
        print_json({
            "model": str(output), "host": str(host_file(output)), "preset": preset.name, "seed": seed,
            "parameters": preset.parameters, "bits_per_weight": bits,
            "bits_per_byte": {"float": result.float_bits, "golden": result.integer_bits},
            "conversion": result.report.as_dict(),
        })  # fmt: skip
        return
    typer.echo(f"held-out bits per byte: float {result.float_bits:.4f}, golden {result.integer_bits:.4f}")
    typer.echo(f"wrote {output} and {host_file(output)}: {preset.topology.weights} weights, {bits:.3f} bits each")
