"""A serial port as a transport, through pyserial."""

import serial  # type: ignore[import-untyped]

from sterna.spec.errors import DeviceLostError, DeviceNotFoundError, DeviceTimeoutError

BAUDRATE = 3_000_000
"""Bits a second of most boards (``sterna build`` and ``sterna flash`` tell), which FTDI's adapters make exactly."""
_RECEIVE_BYTES = 65536


class SerialTransport:
    """Carries bytes over the serial port ``port``: a device path, or a URL that pyserial knows (``rfc2217://…``).

    The port is opened for this process alone. ``write_timeout`` bounds, in seconds, how long a write may take.
    Raises :class:`DeviceNotFoundError` if it cannot be opened.
    """

    def __init__(self, port: str, *, baudrate: int = BAUDRATE, write_timeout: float = 5.0) -> None:
        self.name = port
        try:
            self._port = serial.serial_for_url(
                port, baudrate=baudrate, timeout=0, write_timeout=write_timeout, exclusive=True
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise DeviceNotFoundError(
                f"cannot open serial port {port}: {error}; is it plugged in, free, and may this user open it?"
            ) from None

    def send(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise DeviceTimeoutError(f"{self.name} took no data for {self._port.write_timeout:g} s") from None
        except (serial.SerialException, OSError, TypeError) as error:  # TypeError: pyserial after a close
            raise DeviceLostError(f"{self.name} is gone: {error}") from None

    def receive(self, timeout: float) -> bytes:
        try:
            waiting = self._port.in_waiting
            if waiting:
                return bytes(self._port.read(waiting))
            self._port.timeout = max(timeout, 0.0)
            first = self._port.read(1)
            if not first:
                return b""
            self._port.timeout = 0
            return bytes(first + self._port.read(_RECEIVE_BYTES))
        except (serial.SerialException, OSError, TypeError) as error:
            raise DeviceLostError(f"{self.name} is gone: {error}") from None

    def close(self) -> None:
        self._port.close()
