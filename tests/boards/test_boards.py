"""Boards: each one's clock can be made, its link's rate too, and its memories are there."""

import pytest

from sterna.boards import BOARDS, board_named
from sterna.boards.pll import ecp5_setting, ice40_setting
from sterna.gateware.link.uart import bit_cycles
from sterna.spec.configuration import HELD_IN, Primitive
from sterna.spec.errors import ConfigurationError


@pytest.mark.parametrize("name", BOARDS)
def test_clock_and_link_of_every_board_can_be_made(name: str) -> None:
    board = BOARDS[name]
    assert board.name == name
    platform = board.platform()
    source = int(platform.default_clk_frequency)
    if platform.device.startswith("iCE40"):
        ice40 = ice40_setting(source, board.frequency)
        assert source * (ice40.divf + 1) == board.frequency * (ice40.divr + 1) << ice40.divq
    else:
        ecp5 = ecp5_setting(source, board.frequency)
        assert source * ecp5.feedback == board.frequency * ecp5.input
        assert 400e6 <= board.frequency * ecp5.output <= 800e6
    assert bit_cycles(clock=board.frequency, baud=board.baud) * board.baud == board.frequency
    if board.configuration.weights_in is Primitive.SPRAM:
        assert platform.device.startswith("iCE40UP")
    if Primitive.LUT in (getattr(board.configuration, name) for name in HELD_IN):
        assert platform.device.startswith("LFE5")
    assert set(board.lights) <= {"idle", "busy", "error"}


def test_settings_are_those_of_the_vendors_calculators() -> None:
    # icepll -i 12 -o 39.75 and ecppll -i 25 -o 75
    assert vars(ice40_setting(12_000_000, 39_750_000)) == {"divr": 0, "divf": 52, "divq": 4, "filter_range": 1}
    assert vars(ecp5_setting(25_000_000, 75_000_000)) == {"input": 1, "feedback": 3, "output": 8}


def test_frequencies_that_no_divider_makes_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^an iCE40 PLL cannot make 39100000 Hz of 12000000 Hz exactly; mend: "
    ):
        ice40_setting(12_000_000, 39_100_000)
    with pytest.raises(
        ConfigurationError, match=r"^an ECP5 PLL cannot make 77000001 Hz of 25000000 Hz exactly; mend: "
    ):
        ecp5_setting(25_000_000, 77_000_001)


def test_an_unknown_board_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=rf"^no board 'none'; known: {', '.join(sorted(BOARDS))}$"):
        board_named("none")
