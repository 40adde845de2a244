"""ULX3S: ECP5 12F (sold so; the tools see a 25F), 25F, 45F or 85F, FTDI FT231X."""

from amaranth_boards.ulx3s import ULX3S_12F_Platform, ULX3S_25F_Platform, ULX3S_45F_Platform, ULX3S_85F_Platform

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD

ULX3S = [
    Board(
        name=f"ulx3s-{size}",
        title=f"ULX3S {size.upper()}",
        platform=platform,
        configuration=STANDARD[configuration],
        frequency=75_000_000,
        baud=3_000_000,
        lights={"idle": ("led:0",), "busy": ("led:1",), "error": ("led:2",)},
        flash=("openFPGALoader", "-b", "ulx3s"),
    )
    for size, platform, configuration in (
        ("12f", ULX3S_12F_Platform, "ecp5-25"),
        ("25f", ULX3S_25F_Platform, "ecp5-25"),
        ("45f", ULX3S_45F_Platform, "ecp5-45"),
        ("85f", ULX3S_85F_Platform, "ecp5-85"),
    )
]
