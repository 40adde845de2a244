"""The transports that carry bytes out of this process, each against a peer in a thread."""

import contextlib
import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Iterator

import pytest

from sterna.driver import Device, open_device
from sterna.link.emulator import Emulator
from sterna.link.serial_port import SerialTransport
from sterna.link.socket_transport import SocketTransport
from sterna.link.transport import Transport
from sterna.spec.configuration import STANDARD
from sterna.spec.errors import DeviceLostError, DeviceNotFoundError, DeviceTimeoutError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def pair() -> Iterator[tuple[SocketTransport, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = SocketTransport.connect(f"socket://127.0.0.1:{server.getsockname()[1]}", timeout=0.2)
        peer, _ = server.accept()
        yield transport, peer
        transport.close()
        peer.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    controller, port = pty.openpty()
    tty.setraw(port)
    yield controller, os.ttyname(port)
    for descriptor in (controller, port):
        with contextlib.suppress(OSError):  # closed by the test
            os.close(descriptor)


def collect(transport: Transport, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = transport.receive(5.0)
        assert piece
        data += piece
    return data


def test_a_socket_carries_bytes_both_ways(pair: tuple[SocketTransport, socket.socket]) -> None:
    transport, peer = pair
    assert transport.receive(0.0) == b""
    assert transport.receive(0.01) == b""
    transport.send(b"to the device")
    assert peer.recv(100) == b"to the device"
    peer.sendall(bytes(1000))
    assert collect(transport, 1000) == bytes(1000)


def test_a_socket_whose_peer_goes_is_lost(pair: tuple[SocketTransport, socket.socket]) -> None:
    transport, peer = pair
    peer.close()
    with pytest.raises(DeviceLostError, match="is gone: the other end closed the connection"):
        transport.receive(1.0)
    with pytest.raises(DeviceLostError, match="is gone"):
        transport.send(bytes(100_000_000))


def test_a_socket_whose_peer_reads_nothing_times_out(pair: tuple[SocketTransport, socket.socket]) -> None:
    transport, _ = pair
    with pytest.raises(DeviceTimeoutError, match=r"took no data for 0\.2 s"):
        transport.send(bytes(100_000_000))


def test_a_closed_socket_is_lost(pair: tuple[SocketTransport, socket.socket]) -> None:
    transport, _ = pair
    transport.close()
    transport.close()
    for use in (lambda: transport.send(b"a"), lambda: transport.receive(0.1)):
        with pytest.raises(DeviceLostError, match="is gone"):
            use()


def test_a_serial_port_carries_bytes_both_ways(terminal: tuple[int, str]) -> None:
    controller, path = terminal
    transport = SerialTransport(path)
    assert transport.receive(0.0) == b""
    assert transport.receive(0.01) == b""
    transport.send(b"to the device\0\r\n")
    assert os.read(controller, 100) == b"to the device\0\r\n"
    every = bytes(range(256)) * 4
    os.write(controller, every)
    assert collect(transport, 1024) == every
    threading.Timer(0.05, os.write, (controller, b"late")).start()
    assert collect(transport, 4) == b"late"
    transport.close()
    transport.close()


def test_a_serial_port_that_is_unplugged_is_lost(terminal: tuple[int, str]) -> None:
    controller, path = terminal
    transport = SerialTransport(path)
    os.close(controller)
    with pytest.raises(DeviceLostError, match=r"/dev/pts/\d+ is gone"):
        transport.receive(1.0)
    with pytest.raises(DeviceLostError, match=r"/dev/pts/\d+ is gone"):
        transport.send(b"a")
    transport.close()


def test_a_serial_port_that_takes_nothing_times_out(terminal: tuple[int, str]) -> None:
    _, path = terminal
    transport = SerialTransport(path, write_timeout=0.1)
    with pytest.raises(DeviceTimeoutError, match=r"took no data for 0\.1 s"):
        transport.send(bytes(1_000_000))
    transport.close()


def test_a_closed_serial_port_is_lost(terminal: tuple[int, str]) -> None:
    transport = SerialTransport(terminal[1])
    transport.close()
    for use in (lambda: transport.send(b"a"), lambda: transport.receive(0.1)):
        with pytest.raises(DeviceLostError, match="is gone"):
            use()


@contextlib.contextmanager
def served(descriptor: int) -> Iterator[None]:
    """Bridges a file descriptor to an emulator, in a thread."""
    emulator, stop = Emulator(STANDARD["icebreaker"]), threading.Event()

    def bridge() -> None:
        while not stop.is_set():
            if select.select([descriptor], [], [], 0.01)[0]:
                emulator.send(os.read(descriptor, 4096))
                if answers := emulator.receive(0.0):
                    os.write(descriptor, answers)

    thread = threading.Thread(target=bridge)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_device_behind_a_socket_is_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        transport = SocketTransport.connect(url)  # the backlog takes it
        peer, _ = server.accept()
        with peer, served(peer.fileno()), Device(transport) as device:
            assert device.configuration.name == "icebreaker"
            assert device.counters().bad_frames == 0


@pytest.mark.parametrize("prefix", ["", "serial:"])
def test_a_device_behind_a_serial_port_is_opened(terminal: tuple[int, str], prefix: str) -> None:
    controller, path = terminal
    with served(controller), open_device(prefix + path) as device:
        assert device.identity.digest == STANDARD["icebreaker"].digest
        assert device.counters().bad_frames == 0


def test_a_port_is_opened_by_one_process_at_a_time(terminal: tuple[int, str]) -> None:
    _, path = terminal
    first = SerialTransport(path)
    with pytest.raises(DeviceNotFoundError, match=f"cannot open serial port {path}: .* free"):
        SerialTransport(path)
    first.close()
