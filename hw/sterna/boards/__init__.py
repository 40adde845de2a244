"""The boards, one short file each; ``docs/boards.md`` tells how to add one."""

from sterna.boards.board import Board
from sterna.boards.colorlight import COLORLIGHT
from sterna.boards.ecpix5 import ECPIX5
from sterna.boards.hx8k_evn import HX8K_EVN
from sterna.boards.icebreaker import ICEBREAKER
from sterna.boards.icesugar import ICESUGAR
from sterna.boards.orangecrab import ORANGECRAB
from sterna.boards.ulx3s import ULX3S
from sterna.boards.versa import VERSA
from sterna.spec.errors import ConfigurationError

BOARDS = {
    board.name: board
    for board in (ICEBREAKER, ICESUGAR, HX8K_EVN, *ULX3S, ECPIX5, VERSA, *COLORLIGHT, *ORANGECRAB)
}  # fmt: skip

__all__ = ["BOARDS", "Board", "board_named"]


def board_named(name: str) -> Board:
    """The board of that name. Raises :class:`ConfigurationError` with the known names."""
    if name not in BOARDS:
        raise ConfigurationError(f"no board {name!r}; known: {', '.join(sorted(BOARDS))}")
    return BOARDS[name]
