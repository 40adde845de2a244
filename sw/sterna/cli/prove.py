"""``sterna prove``: proofs of the small blocks of the gateware, for all inputs and for all time."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.output import print_json, print_table, work
from sterna.spec.errors import ToolError


def prove(
    names: Annotated[list[str] | None, typer.Argument(help="Properties; by default all.", show_default=False)] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for the proofs' files; of one that fails, the counterexample (VCD).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prove properties of the gateware by k-induction: queues, hand-overs, trit codes, scanner, feeder, framing. Exit
    code 1 if one does not hold."""
    try:
        catalogue = import_module("sterna.sim.formal.catalogue")
        sby = import_module("sterna.sim.formal.sby")
    except ImportError as error:
        raise ToolError(f"proving needs more tools ({error}); mend: pip install 'sterna[formal]'") from error
    chosen = {name: catalogue.property_named(name) for name in names or catalogue.PROPERTIES}
    verdicts = []
    with work() as shown, shown.counted("prove") as bar:
        for name, make in chosen.items():
            verdicts.append(sby.check(name, make, keep=keep and keep / name))
            bar(len(verdicts), len(chosen))
    if json:
        print_json([
            {"name": each.name, "mode": each.mode, "depth": each.depth, "seconds": round(each.seconds, 1),
             "result": each.result, "places": each.places}
            for each in verdicts
        ])  # fmt: skip
    else:
        print_table("properties", ["property", "mode", "depth", "seconds", "result"], [
            [each.name, each.mode, str(each.depth), f"{each.seconds:.1f}", each.result] for each in verdicts
        ])  # fmt: skip
        for each in verdicts:
            if not each.passed:
                typer.echo(f"{each.name} does not hold: {', '.join(each.places)}")
    if not all(each.passed for each in verdicts):
        raise typer.Exit(1)
