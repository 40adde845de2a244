"""Versa ECP5: ECP5 45F with transceivers, FTDI FT2232H."""

from amaranth_boards.versa_ecp5 import VersaECP5Platform

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD

VERSA = Board(
    name="versa-ecp5",
    title="Versa ECP5",
    platform=VersaECP5Platform,
    configuration=STANDARD["ecp5-45"],
    frequency=75_000_000,
    baud=3_000_000,
    lights={"idle": ("led:0",), "busy": ("led:1",), "error": ("led:2",)},
    flash=("openFPGALoader", "-c", "ft2232"),
)
