"""``sterna bench``: what zeros save on the simulated accelerator; how fast the software is; what a board takes, and
what it does before there is one; which wrong modules the tests notice; rows of trainings."""

from importlib import import_module
from json import dumps
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from sterna.cli.bench_pins import pins
from sterna.cli.bench_train import train_row
from sterna.cli.build import ROOT, hardware, target_named
from sterna.cli.opening import build
from sterna.cli.output import guarded, print_json, print_table, work
from sterna.spec.errors import ToolError

bench = typer.Typer(
    help="Measure zero-skip, the software's speed, area and clock, boards by their pins, what tests notice, trainings.",
    no_args_is_help=True,
)


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


def area(
    target: Annotated[str, typer.Option(help="Board.")],
    configuration: Annotated[
        str | None, typer.Option(help="Build of the accelerator; by default the board's own.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Place and route so many times.")] = 5,
    modules: Annotated[bool, typer.Option("--modules", help="Only synthesise; print cells by module.")] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for logs and results.")] = ROOT,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Synthesise, place and route a board's default configuration or another; report area and clock, whatever was asked
    for."""
    flow = hardware("flow.build")
    board = target_named(target, configuration)
    with work() as shown, shown.described(f"area of {target}") as progress:
        made = flow.Build(board, root=output, progress=progress)
        made.synthesise()
        if modules:
            print_modules(made, json=json)
            return
        placements = sorted(made.place(range(1, seeds + 1)), key=lambda placement: placement.seed)
    c = board.configuration
    used = placements[0].used
    reached = [round(placement.frequency / 1e6, 2) for placement in placements]
    row = {
        "target": target,
        "configuration": c.name,
        "cells": {kind: count for kind, (count, _) in used.items()},
        "capacity": {kind: there for kind, (_, there) in used.items()},
        "seeds": [placement.seed for placement in placements],
        "fmax_mhz": reached,
        "median_mhz": round(median(reached), 2),
        "dense_mmac_per_s": round(c.cores * c.simd * c.pe * median(reached), 1),
    }
    if json:
        print_json(row)
    else:
        print_table(target, ["measure", "value"], [[name, str(value)] for name, value in row.items()])


def print_modules(made: Any, *, json: bool) -> None:
    """Cells by module, of the synthesised netlist."""
    board, rows = made.board, made.modules()
    if json:
        print_json({"target": board.name, "configuration": board.configuration.name, "synthesis": made.synthesiser,
                    "modules": [row.summary() for row in rows]})  # fmt: skip
        return
    kinds = [kind for kind, count in rows[-1].cells.items() if count]
    print_table(f"{board.title}: {board.configuration.name}", ["module", "instances", *kinds], [
        [row.module, str(row.instances), *(str(row.cells[kind]) for kind in kinds)] for row in rows
    ])  # fmt: skip


def mutants(
    units: Annotated[list[str] | None, typer.Argument(help="Units; by default all.", show_default=False)] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Mutants of each unit.")] = 250,
    seed: Annotated[int, typer.Option(min=0, help="Chooses them.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for what was found.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Break the scanner and feeder, the lanes, the requantiser and the link in one place at a time, and count how
    often their tests notice; prove those equivalent that behave as before."""
    try:
        module = import_module("sterna.sim.mutation.search")
    except ImportError as error:
        raise ToolError(f"mutants need more tools ({error}); mend: pip install 'sterna[sim,formal]'") from error
    chosen = [module.unit_named(name) for name in units] if units else module.UNITS
    found = []
    with work() as shown:
        for unit in chosen:
            with shown.counted(unit.name) as bar:
                found.append(module.search(unit, count=count, seed=seed, counted=bar))
    report = {"count": count, "seed": seed, "units": [each.row() for each in found]}
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(dumps(report, indent=1) + "\n")
    if json:
        print_json(report)
        return
    print_table(f"mutants of seed {seed}", ["unit", "mutants", "killed", "equivalent", "survivors"], [
        [each.unit, str(each.mutants), str(each.killed), str(len(each.equivalent)), str(len(each.survivors))]
        for each in found
    ])  # fmt: skip
    for each in found:
        for survivor in each.survivors:
            typer.echo(f"{each.unit}: nothing notices {survivor}")


bench.command("area")(guarded(area))
bench.command("mutants")(guarded(mutants))
bench.command("pins")(guarded(pins))
bench.command("zero-skip")(guarded(zero_skip))
bench.command("speed")(guarded(speed))
bench.command("train")(guarded(train_row))
