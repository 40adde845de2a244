"""A TCP or Unix socket as a transport: a simulation in another process, a serial port behind a network.

Used in place of pyserial's ``socket://``, which leaves Nagle's algorithm on (40 ms a round trip with small frames),
sleeps 0.3 s when it closes, and leaks the socket if the other end went first.
"""

import contextlib
import select
import socket
from urllib.parse import urlsplit

from sterna.spec.errors import DeviceLostError, DeviceNotFoundError, DeviceTimeoutError

_RECEIVE_BYTES = 65536


class SocketTransport:
    """Carries bytes over a connected stream socket, which it owns from then on.

    ``name`` appears in errors; ``write_timeout`` bounds, in seconds, how long the other end may take nothing.
    """

    def __init__(self, connection: socket.socket, *, name: str, write_timeout: float = 5.0) -> None:
        self.name = name
        self._write_timeout = write_timeout
        self._socket = connection
        self._socket.setblocking(False)
        if connection.family != getattr(socket, "AF_UNIX", None):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def connect(cls, url: str, *, timeout: float = 5.0) -> "SocketTransport":
        """Connects to ``socket://host:port``. Raises :class:`DeviceNotFoundError`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise DeviceNotFoundError(f"{url!r} is no socket address: {error}") from None
        if parts.scheme != "socket" or not host or port is None:
            raise DeviceNotFoundError(f"{url!r} is no socket address; expected socket://host:port")
        try:
            return cls(socket.create_connection((host, port), timeout=timeout), name=url, write_timeout=timeout)
        except OSError as error:
            raise DeviceNotFoundError(f"cannot connect to {url}: {error}; is the other end running?") from None

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                _, writable, _ = select.select([], [self._socket], [], self._write_timeout)
                if not writable:
                    raise DeviceTimeoutError(f"{self.name} took no data for {self._write_timeout:g} s")
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                continue
            except DeviceTimeoutError:
                raise
            except (OSError, ValueError) as error:
                raise DeviceLostError(f"{self.name} is gone: {error}") from None

    def receive(self, timeout: float) -> bytes:
        try:
            readable, _, _ = select.select([self._socket], [], [], max(timeout, 0.0))
            if not readable:
                return b""
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise DeviceLostError(f"{self.name} is gone: {error}") from None
        if not data:
            raise DeviceLostError(f"{self.name} is gone: the other end closed the connection")
        return data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
