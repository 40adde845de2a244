"""Talks to a device, whatever it is: board, simulation or emulator."""

from sterna.driver.counters import Counters
from sterna.driver.device import Device, Identity, ProfileRow
from sterna.driver.opening import open_device
from sterna.driver.session import Statistics

__all__ = ["Counters", "Device", "Identity", "ProfileRow", "Statistics", "open_device"]
