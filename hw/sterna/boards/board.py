"""What the build has to know of a board."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sterna.spec.configuration import Configuration

Place = tuple[str, ...]
"""A resource of the platform, and where it has several parts, the part's name: ``("rgb_led", "g")``."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board: its platform class, clock, link, lights and default configuration.

    Resources are those with number 0, unless the name ends in another: ``"led:1"``.
    """

    name: str
    title: str
    """For tables."""
    platform: Callable[[], Any]
    """Makes the Amaranth platform: part, pins, and the frequency of the clock that comes in."""
    configuration: Configuration
    frequency: int
    """Of the accelerator's clock in Hz, which the part's PLL makes exactly."""
    baud: int
    """Of the link; the clock is a multiple of it, or nearly so."""
    clock_is_pll_pad: bool = False
    """iCE40: the clock comes in at the PLL's own pad."""
    uart: str = "uart"
    """Resource with the wires ``rx`` and ``tx``."""
    lights: Mapping[str, Place] = field(default_factory=dict)
    """Of the states ``idle``, ``busy`` and ``error``, as many as the board has lights for."""
    flash: tuple[str, ...]
    """Command that programs the board; the bitstream's path comes last."""
