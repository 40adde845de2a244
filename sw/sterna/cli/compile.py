"""``sterna compile``: a model file to a program image for one configuration."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterna.cli.output import print_json, print_table

if TYPE_CHECKING:
    from sterna.compiler import FitReport


ActivationSkip = Annotated[bool, typer.Option(help="Skip zero activations, if the device can.")]
BlockSkip = Annotated[bool, typer.Option(help="Neither store nor issue zero weight blocks.")]


def print_fit(report: "FitReport") -> None:
    """The table of memories."""
    print_table(f"fit on {report.configuration}", ["memory", "used", "available", "full", "unit"], [
        [use.memory, str(use.used), str(use.available), f"{use.used / use.available:.1%}", use.unit]
        for use in report.memories
    ])  # fmt: skip
    if report.streamed_bytes:
        typer.echo(
            f"streams {report.streamed_bytes} bytes over the link for each inference: not all weights fit at once"
        )


def compile_model(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    configuration: Annotated[str, typer.Option(help="Build of the accelerator to compile for.")] = "icebreaker",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Image to write; by default MODEL with the suffix .image.")
    ] = None,
    activation_skip: ActivationSkip = True,
    block_skip: BlockSkip = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compile a model for a configuration, and say how full each memory gets."""
    from sterna.compiler import compile_network
    from sterna.compiler.compile import fit_report
    from sterna.spec.configuration import configuration_named
    from sterna.spec.model_file import load_network
    from sterna.spec.skips import Skips

    chosen = configuration_named(configuration)
    network = load_network(model)
    skips = Skips(activation_skip, block_skip)
    report = fit_report(network, chosen, skips)
    if not json:
        print_fit(report)
    report.check()
    image = compile_network(network, chosen, skips)
    target = output or model.with_suffix(".image")
    data = image.to_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    if json:
        print_json({
            "image": str(target), "bytes": len(data), "configuration": configuration, "digest": image.digest.hex(),
            "memories": [asdict(use) for use in report.memories], "streamed_bytes": report.streamed_bytes,
            "estimated_cycles": image.estimated_cycles,
        })  # fmt: skip
    else:
        typer.echo(f"wrote {target}: {len(data)} bytes, at most {image.estimated_cycles} cycles a run")
