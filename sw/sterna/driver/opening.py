"""From a URL to an open device."""

from importlib import import_module

from sterna.driver.device import TIMEOUT, Device
from sterna.link.serial_port import BAUDRATE, SerialTransport
from sterna.link.socket_transport import SocketTransport
from sterna.link.transport import Transport
from sterna.spec.configuration import Configuration, configuration_named
from sterna.spec.errors import DeviceNotFoundError, ToolError


def open_device(
    url: str, *, timeout: float = TIMEOUT, configuration: Configuration | None = None, baudrate: int = BAUDRATE
) -> Device:
    """Opens a device and makes sure that it is one of ours.

    ``url``: ``emulator:NAME`` or ``sim:NAME`` with the name of a standard configuration; ``socket://HOST:PORT``;
    ``serial:PORT``, or just the port's path or pyserial URL. ``timeout``: seconds that the device may take to answer,
    its runs not counted. ``configuration``: what the device should be, needed if it is not a standard one.

    Raises :class:`DeviceNotFoundError` if nothing can be opened there, :class:`DeviceTimeoutError` or
    :class:`ProtocolError` if what is there does not answer as a device does, :class:`ConfigurationError` for an unknown
    configuration or another than the expected one, :class:`ToolError` if a simulation lacks its tools.
    """
    transport = _open_transport(url, configuration, baudrate)
    try:
        return Device(transport, timeout=timeout, configuration=configuration)
    except BaseException:
        transport.close()
        raise


def _open_transport(url: str, configuration: Configuration | None, baudrate: int) -> Transport:
    scheme, _, rest = url.partition(":")
    if not url or (scheme in {"emulator", "sim", "serial"} and not rest):
        raise DeviceNotFoundError(
            f"no device {url!r}; expected emulator:NAME, sim:NAME, serial:PORT, socket://HOST:PORT or a port's path"
        )
    match scheme:
        case "emulator":
            from sterna.link.emulator import Emulator

            known = configuration is not None and configuration.name == rest
            return Emulator(configuration if configuration is not None and known else configuration_named(rest))
        case "sim":
            configuration_named(rest)
            return _open_simulation(rest)
        case "socket":
            return SocketTransport.connect(url)
        case "serial":
            return SerialTransport(rest, baudrate=baudrate)
        case _:
            return SerialTransport(url, baudrate=baudrate)


def _open_simulation(name: str) -> Transport:
    try:
        simulation = import_module("sterna.sim.device")
    except ImportError as error:
        raise ToolError(f"simulating a device needs more tools ({error}); mend: pip install 'sterna[sim]'") from error
    transport: Transport = simulation.open_simulation(name)
    return transport
