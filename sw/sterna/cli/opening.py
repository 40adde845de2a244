"""Opening devices for the verbs, with the build of a simulation shown as it goes."""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from sterna.cli.output import Work
from sterna.spec.errors import ToolError

if TYPE_CHECKING:
    from sterna.driver import Device


Baudrate = Annotated[
    int | None, typer.Option(min=1, help="Of a serial port, bits a second; `sterna flash` tells the board's.",
                             show_default="3000000"),
]  # fmt: skip


def build(name: str, work: Work, *, waves: bool = False, coverage: bool = False) -> str:
    """Builds the Verilated device of configuration ``name`` unless the cache holds it; gives its executable's path."""
    try:
        device = import_module("sterna.sim.device")
    except ImportError as error:
        raise ToolError(f"simulating a device needs more tools ({error}); mend: pip install 'sterna[sim]'") from error
    with work.described(f"build sim:{name}") as progress:
        return str(device.build_device(name, waves=waves, coverage=coverage, progress=progress))


def opened(url: str, work: Work, *, baudrate: int | None = None) -> "Device":
    """The open device of ``url``; see :func:`sterna.driver.open_device`."""
    from sterna.driver import open_device
    from sterna.spec.configuration import configuration_named

    scheme, _, name = url.partition(":")
    if scheme == "sim" and name:
        configuration_named(name)
        build(name, work)
    return open_device(url) if baudrate is None else open_device(url, baudrate=baudrate)
