"""``sterna bench pins``: a network of the zoo through the pins of a simulated board, at any level of its design."""

from importlib import import_module
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.build import ROOT, hardware
from sterna.cli.evaluate import equal_images
from sterna.cli.output import print_json, print_table, work
from sterna.cli.simulate import MAX_SEED
from sterna.spec.errors import ToolError


def pins(
    board: Annotated[str, typer.Option(help="Which; an unknown name is answered with the known ones.")],
    level: Annotated[str, typer.Option(help="rtl; netlist: after synthesis; routed: after place and route.")],
    model: Annotated[str, typer.Option(help="Network of the zoo.")] = "digits-mlp",
    images: Annotated[int, typer.Option(min=1, help="Held-out images to infer, the first ones.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Of place and route; the best one is simulated.")] = 1,
    power_up: Annotated[
        int, typer.Option(min=1, max=MAX_SEED, help="Seed for random words in memories at power-up.")
    ] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that `sterna build` writes.")] = ROOT,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for pins-BOARD-LEVEL.json: what is printed, and the command.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, before $STERNA_DATA.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate a board from its clock's pin to the wires of its UART, at the board's own rates and with noise in its
    memories; load a network over the wires, infer images, compare every output with golden's and the counters with the
    emulator's."""
    from sterna.data import load
    from sterna.zoo import card, network

    target = hardware("boards").board_named(board)
    try:
        module = import_module("sterna.sim.pins")
    except ImportError as error:
        mend = "mend: pip install 'sterna[sim,boards]'"
        raise ToolError(f"simulating a board needs more tools ({error}); {mend}") from error
    chosen_level, chosen = module.level_named(level), network(model)
    held_out = load(card(model).dataset, data_dir).test_images[:images]
    held_out = held_out.reshape(len(held_out), -1)
    with work() as shown:
        with shown.described(f"build {board}, {level}") as progress:
            executable = module.build_pins(
                target, chosen_level, root=output, seeds=range(1, seeds + 1), progress=progress
            )
        with shown.counted("load and infer") as bar:
            run = module.run_pins(executable, target, chosen, held_out, power_up=power_up, progress=bar)
    found = {
        "board": board, "level": level, "model": model, "images": len(held_out),
        "equal_golden": equal_images(run.outputs, chosen.predict(held_out)),
        "wrong_counters": list(run.wrong_counters), "cycles_per_image": run.counters.cycles / len(held_out),
        "cycles": run.statistics.cycles, "seconds": round(run.statistics.seconds, 1),
        "bytes_received": run.statistics.received, "bytes_sent": run.statistics.sent,
        "frequency": target.frequency, "baud": target.baud, "power_up": power_up, "build": run.build,
    }  # fmt: skip
    if keep is not None:
        command = f"sterna bench pins --board {board} --level {level} --model {model} --images {images} --seeds {seeds}"
        keep.mkdir(parents=True, exist_ok=True)
        kept = found | {"command": f"{command} --power-up {power_up} --json"}
        (keep / f"pins-{board}-{level}.json").write_text(dumps(kept, indent=1) + "\n")
    if json:
        print_json(found)
    else:
        print_table(f"{model} through the pins of {board}, {level}", ["measure", "value"], [
            ["images", str(found["images"])], ["equal to golden, every output", str(found["equal_golden"])],
            ["counters", "; ".join(run.wrong_counters) or "as they should be"],
            ["cycles per image", f"{found['cycles_per_image']:.1f}"],
            ["cycles simulated, from power-up", str(found["cycles"])], ["seconds", str(found["seconds"])],
            ["bytes to the board / from it", f"{found['bytes_received']} / {found['bytes_sent']}"],
            ["build", run.build],
        ])  # fmt: skip
    if found["equal_golden"] != found["images"] or run.wrong_counters:
        raise typer.Exit(1)
