"""The committed constraint files are those that the platform classes make."""

from pathlib import Path

import pytest

from sterna.boards import BOARDS
from sterna.boards.constraints import constraints_of

FOLDER = Path(__file__).parents[2] / "constraints"


@pytest.mark.parametrize("board", BOARDS)
def test_committed_pins_and_clocks_are_those_of_the_platform_class(board: str) -> None:
    name, text = constraints_of(BOARDS[board])
    assert (FOLDER / name).read_text() == text, "mend: python -m sterna.boards.constraints constraints"


def test_no_board_has_left_a_file_behind() -> None:
    assert {path.stem for path in FOLDER.glob("*.[pl][cp]f")} == set(BOARDS)
