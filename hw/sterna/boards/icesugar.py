"""iCESugar: iCE40 UP5K; its debugger is also the serial adapter."""

from amaranth_boards.icesugar import ICESugarPlatform

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD

ICESUGAR = Board(
    name="icesugar",
    title="iCESugar",
    platform=ICESugarPlatform,
    configuration=STANDARD["icebreaker"],
    frequency=30_000_000,
    baud=1_000_000,
    clock_is_pll_pad=True,
    lights={"idle": ("led_g",), "busy": ("led_b",), "error": ("led_r",)},
    flash=("icesprog",),
)
