"""iCEBreaker: iCE40 UP5K, FTDI FT2232H; two lights on the main part of the board."""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD

ICEBREAKER = Board(
    name="icebreaker",
    title="iCEBreaker",
    platform=ICEBreakerPlatform,
    configuration=STANDARD["icebreaker"],
    frequency=30_000_000,
    baud=3_000_000,
    clock_is_pll_pad=True,
    lights={"idle": ("led_g",), "error": ("led_r",)},
    flash=("iceprog",),
)
