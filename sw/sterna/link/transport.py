"""A transport carries bytes both ways. The driver knows nothing else about what it talks to."""

from typing import Protocol


class Transport(Protocol):
    """A byte stream to a device: serial port, socket of a simulation, emulator in this process."""

    def send(self, data: bytes) -> None:
        """Sends all of ``data``. Raises ``DeviceLostError`` if the other end is gone, ``DeviceTimeoutError`` if it
        takes nothing for too long."""

    def receive(self, timeout: float) -> bytes:
        """What has arrived (at least one byte), or ``b""`` if nothing does within ``timeout`` seconds.

        Raises ``DeviceLostError`` if the other end is gone."""

    def close(self) -> None:
        """Releases the port; may be called twice."""
