"""``sterna import``: a quantised network from an ONNX file to a model file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterna.cli.output import print_json, print_table

if TYPE_CHECKING:
    from sterna.interop import ImportReport


def print_report(report: "ImportReport") -> None:
    """The table of layers, and how the outputs go with the graph's."""
    print_table("imported layers", ["layer", "channels", "planes", "values compared", "differing", "undecided"], [
        [layer.name, *map(str, (layer.channels, layer.planes, layer.compared, layer.differing, layer.undecided))]
        for layer in report.layers
    ])  # fmt: skip
    for output in report.outputs:
        rounded = "" if output.exact else ", rounded to 255 levels"
        typer.echo(f"output {output.name}: graph = {output.scale:g} × integer + {output.offset:g}{rounded}")
    typer.echo(
        f"{report.images} random images: {report.differing} of {report.compared} integers differ from the graph's, "
        f"{report.same_class} have the graph's class"
    )


def import_model(
    file: Annotated[Path, typer.Argument(help="ONNX file with QONNX quantisers.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Model to write; by default FILE with .safetensors.")
    ] = None,
    low: Annotated[int, typer.Option(help="Smallest integer that images hold.")] = 0,
    high: Annotated[int, typer.Option(help="Largest integer that images hold.")] = 255,
    divide: Annotated[float, typer.Option(help="The graph takes what images hold divided by this.")] = 255.0,
    images: Annotated[int, typer.Option(min=0, max=100_000, help="Random images to compare on.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random images.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import a quantised network, prove its thresholds, and hold it against the graph on random images."""
    from sterna.interop import Feed, import_onnx
    from sterna.spec.model_file import save_network

    network, report = import_onnx(file, feed=Feed(low=low, high=high, divide=divide), images=images, seed=seed)
    target = output or file.with_suffix(".safetensors")
    target.parent.mkdir(parents=True, exist_ok=True)
    save_network(network, target)
    if json:
        print_json({"model": str(target), **report.as_dict()})
    else:
        print_report(report)
        typer.echo(f"wrote {target}: {network.weights} trits, {network.act_bits}-bit activations")
