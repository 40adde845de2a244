"""Colorlight i5 (v7.0) and i9 (v7.2) on their extension board, whose CMSIS-DAP is programmer and serial adapter."""

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.resources import UARTResource

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD


def _resources(led: str) -> list[Resource]:
    return [
        Resource("clk25", 0, Pins("P3", dir="i"), Clock(25e6), Attrs(IO_TYPE="LVCMOS33")),
        Resource("led", 0, PinsN(led, dir="o"), Attrs(IO_TYPE="LVCMOS33")),
        UARTResource(0, rx="H18", tx="J17", attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")),
    ]


class ColorlightI5Platform(LatticeECP5Platform):
    """Pins of the i5 that the accelerator uses."""

    device = "LFE5U-25F"
    package = "BG381"
    speed = "6"
    default_clk = "clk25"
    resources = _resources(led="U16")
    connectors = ()


class ColorlightI9Platform(LatticeECP5Platform):
    """Pins of the i9 that the accelerator uses."""

    device = "LFE5U-45F"
    package = "BG381"
    speed = "6"
    default_clk = "clk25"
    resources = _resources(led="L2")
    connectors = ()


COLORLIGHT = [
    Board(
        name=f"colorlight-{model}",
        title=f"Colorlight {model}",
        platform=platform,
        configuration=STANDARD[configuration],
        frequency=75_000_000,
        baud=1_000_000,
        lights={"busy": ("led",)},
        flash=("ecpdap", "program", "--freq", "5000"),
    )
    for model, platform, configuration in (
        ("i5", ColorlightI5Platform, "ecp5-25"),
        ("i9", ColorlightI9Platform, "ecp5-45"),
    )
]
