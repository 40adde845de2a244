"""OrangeCrab r0.2: ECP5 25F or 85F. A serial adapter's TX goes to pin 0 of the header, its RX to pin 1; 3.3 V."""

from collections.abc import Callable
from typing import Any

from amaranth.build import Attrs
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_25FPlatform, OrangeCrabR0_2_85FPlatform
from amaranth_boards.resources import UARTResource

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD


def _with_adapter(platform: Callable[[], Any]) -> Callable[[], Any]:
    def make() -> Any:
        made = platform()
        attributes = Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")
        made.add_resources([UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=attributes)])
        return made

    return make


ORANGECRAB = [
    Board(
        name=f"orangecrab-{size}",
        title=f"OrangeCrab r0.2 {size.upper()}",
        platform=_with_adapter(platform),
        configuration=STANDARD[configuration],
        frequency=48_000_000,
        baud=1_000_000,
        lights={"idle": ("rgb_led", "g"), "busy": ("rgb_led", "b"), "error": ("rgb_led", "r")},
        flash=("openFPGALoader", "-b", "orangeCrab"),
    )
    for size, platform, configuration in (
        ("25f", OrangeCrabR0_2_25FPlatform, "ecp5-25"),
        ("85f", OrangeCrabR0_2_85FPlatform, "ecp5-85"),
    )
]
