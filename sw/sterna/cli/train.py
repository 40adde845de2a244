"""``sterna train``: a preset from a seed to a model file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sterna.cli.output import Work, print_json, print_table, work
from sterna.cli.train_text import host_file, train_text
from sterna.cli.writing import claim
from sterna.spec.errors import ConfigurationError
from sterna.spec.values import MAX_SEED

if TYPE_CHECKING:
    from sterna.train import Preset, TrainResult


def train_and_save(
    preset: "Preset | str",
    seed: int,
    output: Path,
    data: Path | None,
    work: Work,
    *,
    metrics: Path | None = None,
    **options: Any,
) -> "TrainResult":
    """Trains a preset with a bar for each phase, and writes the model file. ``options``: of ``sterna.train.train``."""
    from sterna.spec.model_file import save_network
    from sterna.train import MetricsFile, Progress, train

    bars: dict[str, Any] = {}
    keep = None if metrics is None else MetricsFile(metrics)
    output.parent.mkdir(parents=True, exist_ok=True)  # better now than after the training
    with work.counted("train: float") as float_bar, work.counted("train: quantised") as quantised_bar:
        bars["float"], bars["quantised"] = float_bar, quantised_bar

        def show(entry: Progress) -> None:
            bars[entry.phase](entry.epoch, entry.epochs)
            if keep is not None:
                keep(entry)

        result = train(preset, seed, data_dir=data, progress=show, **options)
    save_network(result.network, output)
    return result


def train(
    preset: Annotated[str, typer.Argument(help="What to train, and how.")] = "digits-mlp",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The same seed gives the same file.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write.")] = Path("digits.safetensors"),
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, before $STERNA_DATA.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the preset, such as quantised_phase.epochs=5 or recipe.layers.weights=ttq."),
    ] = None,
    layers: Annotated[
        Path | None, typer.Option(help="Recipes by layer, as `sterna sensitivity` and `sterna budget` write them.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to write after each epoch; training goes on from it if it is there.")
    ] = None,
    metrics: Annotated[Path | None, typer.Option(help="File for each epoch's loss: .csv or .jsonl.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for plots of losses and weights (SVG).")] = None,
    threads: Annotated[int, typer.Option(min=1, help="The same seed and threads give the same file.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a ternary network and write its model file."""
    from sterna.spec.model_file import packed_bits
    from sterna.train import preset_named
    from sterna.train.overrides import changed, parsed
    from sterna.train.text_presets import TEXT_PRESETS

    if preset in TEXT_PRESETS:
        if layers is not None:
            raise ConfigurationError(f"--layers is for presets of images; {preset} is one for text")
        text = TEXT_PRESETS[preset]
        for setting in settings or ():
            text = changed(text, *parsed(setting))
        files = {"--output": output, "its host's part": host_file(output)}
        claim(files | {"--checkpoint": checkpoint, "--metrics": metrics}, folders={"--plots": plots})
        with work() as shown:
            train_text(text, seed, output, data_dir, shown, metrics, plots, json,
                       checkpoint=checkpoint, threads=threads, device=device)  # fmt: skip
        return
    chosen = preset_named(preset)
    for setting in settings or ():
        chosen = changed(chosen, *parsed(setting))
    if layers is not None:
        from sterna.cli.plan import read_layers

        chosen = chosen.with_layers(read_layers(layers))
    claim({"--output": output, "--checkpoint": checkpoint, "--metrics": metrics}, folders={"--plots": plots},
          reads={"--layers": layers})  # fmt: skip
    with work() as shown:
        result = train_and_save(chosen, seed, output, data_dir, shown, metrics=metrics, checkpoint=checkpoint,
                                threads=threads, device=device)  # fmt: skip
    if plots is not None:
        from sterna.train.plots import plot_losses, plot_weights

        plot_losses(result.history, plots / f"{output.stem}-loss.svg")
        plot_weights(result.model, plots / f"{output.stem}-weights.svg")
    report, weights = result.report, result.model.trained_weights
    bits = packed_bits(result.network) / weights
    if json:
        print_json({
            "model": str(output), "preset": preset, "seed": seed, "weights": weights,
            "bits_per_weight": bits,
            "accuracy": {"float": result.float_accuracy, "quantised": result.quantised_accuracy,
                         "golden": result.integer_accuracy},
            "conversion": report.as_dict(), "zero_activations": result.zero_activations,
        })  # fmt: skip
        return
    columns = ["layer", "trits", "non-zero", "blocks kept", "values compared", "differing"]
    print_table(f"{preset}, seed {seed}", columns, [
        [layer.name, str(trits), f"{layer.density:.1%}", f"{layer.block_density:.1%}", str(layer.compared),
         str(layer.differing)]
        for layer, trits in zip(report.layers, _trits(result), strict=True)
    ])  # fmt: skip
    typer.echo(f"held-out {result.metric}: float {result.float_accuracy:.2%}, "
               f"quantised {result.quantised_accuracy:.2%}, golden {result.integer_accuracy:.2%}")  # fmt: skip
    typer.echo(f"wrote {output}: {weights} weights, {bits:.3f} bits each")


def _trits(result: "TrainResult") -> list[int]:
    return [sum(plane.trits.size for plane in layer.planes) for layer in result.network.layers]
