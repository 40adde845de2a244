"""Which part a design is elaborated for, by its platform; without one (simulation, export) it is none."""

from typing import Any


def is_ice40(platform: Any) -> bool:
    """An iCE40 of any kind."""
    return platform is not None and str(platform.device).startswith("iCE40")


def is_ultraplus(platform: Any) -> bool:
    """An iCE40 UltraPlus: with DSP blocks and SPRAM."""
    return platform is not None and str(platform.device).startswith("iCE40UP")
