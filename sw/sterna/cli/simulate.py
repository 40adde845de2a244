"""``sterna simulate``: builds the Verilated device; keeps it open for other programs if asked."""

from dataclasses import asdict
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.opening import build
from sterna.cli.output import print_json, work
from sterna.spec.errors import ConfigurationError


class Served(StrEnum):
    """How other programs reach the device."""

    socket = "socket"
    pty = "pty"


MAX_SEED = (1 << 31) - 1
"""What Verilator takes."""


def simulate(
    configuration: Annotated[str, typer.Argument(help="Build of the accelerator to simulate.")] = "icebreaker",
    serve: Annotated[
        Served | None, typer.Option(help="Keep the device open until Ctrl-C: on a socket, or as a serial port.")
    ] = None,
    stalls: Annotated[
        int, typer.Option(min=0, max=99, help="Percent of the cycles in which the link is held back at random.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the stalls.")] = 0,
    power_up: Annotated[
        int | None, typer.Option(min=1, max=MAX_SEED, help="Seed for random words in memories at power-up.")
    ] = None,
    waves: Annotated[Path | None, typer.Option(help="VCD file to write.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build the Verilated accelerator. With --serve, print where to open it, and keep it open until Ctrl-C."""
    if serve is None and (stalls or seed or power_up or waves):
        raise ConfigurationError("--stalls, --seed, --power-up and --waves are of a device that --serve keeps open")
    with work() as shown:
        executable = build(configuration, shown, waves=waves is not None)
    if serve is None:
        if json:
            print_json({"configuration": configuration, "executable": executable})
        else:
            typer.echo(f"built {executable}; open it as sim:{configuration}")
        return
    device = import_module("sterna.sim.device")
    served = device.serve_simulation(
        configuration, pty=serve is Served.pty, stalls=stalls, seed=seed, power_up=power_up, waves=waves
    )
    statistics = None
    try:
        if json:
            print_json({"configuration": configuration, "executable": executable, "url": served.url})
        else:
            typer.echo(f"{served.url}  (Ctrl-C ends it)")
        served.wait()
    except KeyboardInterrupt:
        pass
    finally:
        statistics = served.close()
    if statistics is not None:
        if json:
            print_json(asdict(statistics))
        else:
            typer.echo(f"ran {statistics.cycles} cycles at {statistics.cycles_per_second / 1e6:.2f} M cycles/s; "
                       f"{statistics.received} bytes received, {statistics.sent} sent")  # fmt: skip
