"""``sterna bench``: what zeros save on the simulated accelerator; how fast the software around it is."""

from importlib import import_module
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna.cli.opening import build
from sterna.cli.output import guarded, print_json, print_table, work
from sterna.spec.errors import ToolError

bench = typer.Typer(help="Measure zero-skip, or the speed of the software.", no_args_is_help=True)


def _simulation(module: str) -> Any:
    try:
        return import_module(f"sterna.sim.{module}")
    except ImportError as error:
        raise ToolError(f"simulating a device needs more tools ({error}); mend: pip install 'sterna[sim]'") from error


def zero_skip(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all that was measured; a plot (PNG) beside it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an MLP layer and a convolution of ResNet-8 at several densities of weight blocks and of activations; compare
    the cycles with the ideal: issued blocks over feeders."""
    module = _simulation("zero_skip")
    measurements: list[Any] = []
    with work() as shown:
        for each in module.BENCHES:
            build(each.configuration, shown)
            with shown.counted(each.layer) as bar:
                blocks, activations = module.BLOCK_DENSITIES, module.ACTIVATION_DENSITIES
                for done, measurement in enumerate(module.measure(each, blocks, activations), 1):
                    measurements.append(measurement)
                    bar(done, len(blocks) * len(activations))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(dumps([each.details() for each in measurements], indent=1) + "\n")
        module.plot(measurements, output.with_suffix(".png"))
    if json:
        print_json([each.row() for each in measurements])
        return
    for layer in dict.fromkeys(each.layer for each in measurements):
        of_layer = [each for each in measurements if each.layer == layer]
        print_table(f"{layer} on {of_layer[0].configuration}: cycles",
                    ["blocks", "activ.", "ideal", "model", *of_layer[0].with_skips, "ratio"], [
            [f"{each.block_density:g}", f"{each.activation_density:g}", f"{each.ideal_cycles:.0f}",
             f"{each.modelled_cycles:.0f}", *map(str, each.with_skips.values()), f"{each.ratio:.3f}"]
            for each in of_layer
        ])  # fmt: skip


def speed(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Measure the simulation, the golden model beside float32 PyTorch (ResNet-8, one thread), packing and compiling."""
    module = _simulation("speed")
    with work() as shown:
        build("icebreaker", shown)
        with shown.counted("speed") as bar:
            found = module.measure(bar)
    if json:
        print_json(found.row())
    else:
        print_table("speed", ["measure", "value"], [
            [name, "-" if value is None else f"{value:.4g}"] for name, value in found.row().items()
        ])  # fmt: skip


bench.command("zero-skip")(guarded(zero_skip))
bench.command("speed")(guarded(speed))
