"""ECPIX-5: ECP5 85F, FTDI FT2232H."""

from amaranth_boards.ecpix5 import ECPIX585Platform

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD

ECPIX5 = Board(
    name="ecpix5-85f",
    title="ECPIX-5 85F",
    platform=ECPIX585Platform,
    configuration=STANDARD["ecp5-85"],
    frequency=120_000_000,
    baud=3_000_000,
    lights={"idle": ("rgb_led:0", "g"), "busy": ("rgb_led:0", "b"), "error": ("rgb_led:0", "r")},
    flash=("openFPGALoader", "-b", "ecpix5"),
)
