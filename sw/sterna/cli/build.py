"""``sterna build``: a board's bitstream. ``sterna flash``: the same onto the board. ``sterna export``: Verilog."""

import shutil
import subprocess
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sterna.cli.output import print_json, print_table, work
from sterna.spec.configuration import configuration_named
from sterna.spec.errors import ConfigurationError, ToolError

if TYPE_CHECKING:
    from sterna.zoo.speed import Obstacle, Speed

ROOT = Path("build/boards")


def hardware(module: str) -> Any:
    """A module of the hardware half. Raises :class:`ToolError` with the mend if its packages are missing."""
    try:
        return import_module(f"sterna.{module}")
    except ImportError as error:
        raise ToolError(f"building for boards needs more ({error}); mend: pip install 'sterna[boards]'") from error


def build(
    board: Annotated[str, typer.Option(help="Which; an unknown name is answered with the known ones.")],
    configuration: Annotated[
        str | None, typer.Option(help="Build of the accelerator; by default the board's own.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Place and route so many times; keep the fastest.")] = 1,
    report: Annotated[
        bool, typer.Option("--report", help="Print area, clocks, critical path, speed of the zoo's models.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for logs and results.")] = ROOT,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build a board's bitstream: design, synthesis, place and route, packing. Steps done before are not done again.
    Fails if the clock is missed."""
    flow = hardware("flow.build")
    from sterna.zoo.speed import speeds

    target = target_named(board, configuration)
    with work() as shown, shown.described(f"build {board}") as progress:
        built = flow.build_board(target, root=output, seeds=range(1, seeds + 1), progress=progress)
        models = list(speeds(target.configuration, frequency=target.frequency, baud=target.baud)) if report else []
    if json:
        print_json(built.summary() | ({"zoo": [model.summary() for model in models]} if report else {}))
        return
    if report:
        print_report(built)
        print_models(models)
    if unplaced := seeds - len(built.placements):
        typer.echo(f"{unplaced} of {seeds} seeds left out: nextpnr found no place for all cells")
    best = built.best
    typer.echo(f"{built.bitstream}: {best.frequency / 1e6:.2f} MHz reached, {target.frequency / 1e6:g} asked for; "
               f"link at {target.baud} baud; flash it with: sterna flash --board {board}")  # fmt: skip


def target_named(board: str, configuration: str | None) -> Any:
    """The board of that name, with a standard configuration in place of its own if one is named."""
    target = hardware("boards").board_named(board)
    return target if configuration is None else replace(target, configuration=configuration_named(configuration))


def print_report(built: Any) -> None:
    """Area, clock over seeds, critical path, what follows."""
    best = built.best
    print_table(f"{built.board.title}: {built.board.configuration.name}", ["resource", "used", "there"], [
        *([f"{kind} in netlist", str(count), ""] for kind, count in built.cells.items()),
        *([kind, str(used), str(there)] for kind, (used, there) in best.used.items()),
    ])  # fmt: skip
    reached = [placement.frequency / 1e6 for placement in built.placements]
    c = built.board.configuration
    print_table("clock", ["", "MHz"], [
        ["asked for", f"{built.board.frequency / 1e6:.2f}"],
        *([f"seed {placement.seed}", f"{placement.frequency / 1e6:.2f}"] for placement in built.placements),
        ["median", f"{median(reached):.2f}"],
    ])  # fmt: skip
    print_table("critical path", ["module", "ns"], [
        [module, f"{spent:.2f}"] for module, spent in best.critical_path
    ])  # fmt: skip
    print_table("what follows", ["", ""], [
        ["dense M products/s", f"{c.cores * c.simd * c.pe * built.board.frequency / 1e6:.0f}"],
        ["weights that fit", str(c.simd * c.pe * c.weight_depth)],
        ["link, kB/s", f"{built.board.baud / 10e3:.0f}"],
    ])  # fmt: skip


def print_models(models: "list[Speed | Obstacle]") -> None:
    """What the zoo's models do there."""
    from sterna.zoo.speed import Speed

    columns = ["model", "cycles", "compute", "to it", "takes", "back", "takes", "a second"]
    print_table("zoo, an inference by the cycle model", columns, [
        [each.name, f"{each.cycles:.0f}", _ms(each.compute), f"{each.sent:.0f} B", _ms(each.send),
         f"{each.received:.0f} B", _ms(each.receive), f"{each.inferences_per_second:.0f}"]
        for each in models if isinstance(each, Speed)
    ])  # fmt: skip
    for each in models:
        if not isinstance(each, Speed):
            typer.echo(f"{each.name}: {each.reason}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def flash(
    board: Annotated[str, typer.Option(help="Which; it must have been built.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that `sterna build` wrote.")] = ROOT,
) -> None:
    """Program a board with its last build, by the board's usual tool."""
    target = hardware("boards").board_named(board)
    bitstream = next((path for path in (output / board).glob(f"{board}.bi[nt]")), None)
    if bitstream is None:
        raise ToolError(f"no bitstream of {board} in {output / board}; mend: sterna build --board {board}")
    tool = target.flash[0]
    if shutil.which(tool) is None:
        raise ToolError(f"{tool}, which programs {board}, is not installed; mend: install it, or program {bitstream} "
                        "with another tool")  # fmt: skip
    code = subprocess.run([*target.flash, str(bitstream)], check=False).returncode
    if code:
        raise ToolError(f"{tool} failed with exit code {code}; mend: check cable, power and permissions of {board}")
    typer.echo(f"{board} runs {bitstream}; its link: --on PORT --baudrate {target.baud}")


def export(
    configuration: Annotated[str, typer.Argument(help="Build of the accelerator.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Verilog file; its port table goes beside it.")],
    ports: Annotated[str, typer.Option(help="bytes: the link's streams; core: plain valid/ready, no link.")] = "bytes",
    gates: Annotated[bool, typer.Option("--gates", help="Count gates and transistors, memories as bits.")] = False,
) -> None:
    """Write the accelerator, or its core without the link, as self-contained Verilog, and a table of the ports."""
    module = hardware("flow.export")
    chosen = configuration_named(configuration)
    if ports not in set(module.Ports):
        raise ConfigurationError(f"no ports {ports!r}; known: {', '.join(module.Ports)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with work() as shown, shown.described(f"export {configuration}") as progress:
        exported = module.export(chosen, module.Ports(ports))
        output.write_text(exported.verilog)
        text = exported.port_table
        if gates:
            progress("gates")
            counted = hardware("flow.gates").count_gates(exported.verilog, top=module.NAME)
            text += f"\n## Gates\n\n{counted.table()}"
    table = output.with_suffix(".md")
    table.write_text(text)
    typer.echo(f"wrote {output} and {table}")
    if gates:
        typer.echo(f"{counted.transistors} transistors of logic, {counted.memory_bits} bits of memory")
