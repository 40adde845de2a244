"""iCE40-HX8K breakout board: HX8K, FTDI FT2232H. With its jumpers set so, bitstreams go into the part
itself, not into the flash."""

from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform

from sterna.boards.board import Board
from sterna.spec.configuration import STANDARD

HX8K_EVN = Board(
    name="hx8k-evn",
    title="iCE40-HX8K breakout",
    platform=ICE40HX8KBEVNPlatform,
    configuration=STANDARD["hx8k"],
    frequency=66_000_000,
    baud=3_000_000,
    lights={"idle": ("led:0",), "busy": ("led:1",), "error": ("led:2",)},
    flash=("iceprog", "-S"),
)
