import sys
from collections.abc import Callable
from types import ModuleType

import pytest

import sterna
from sterna.driver import open_device
from sterna.link.emulator import Emulator
from sterna.spec.configuration import STANDARD, Configuration
from sterna.spec.errors import ConfigurationError, DeviceNotFoundError, SternaError, ToolError


def test_a_standard_configuration_is_emulated_by_name() -> None:
    with sterna.open("emulator:icebreaker") as device:
        assert device.configuration is STANDARD["icebreaker"]


def test_another_configuration_is_emulated_if_given(configuration: Configuration) -> None:
    with open_device("emulator:small", configuration=configuration) as device:
        assert device.configuration is configuration


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("", DeviceNotFoundError, "no device ''; expected emulator:NAME, sim:NAME, serial:PORT, socket://HOST:PORT or"),
        ("emulator:", DeviceNotFoundError, "no device 'emulator:'; expected"),
        ("sim:", DeviceNotFoundError, "no device 'sim:'; expected"),
        ("serial:", DeviceNotFoundError, "no device 'serial:'; expected"),
        ("emulator:nothing", ConfigurationError, "no configuration 'nothing'; known: .*icebreaker"),
        ("sim:nothing", ConfigurationError, "no configuration 'nothing'; known: .*icebreaker"),
        ("/dev/there-is-none", DeviceNotFoundError, "cannot open serial port /dev/there-is-none: .*is it plugged in"),
        ("serial:/dev/there-is-none", DeviceNotFoundError, "cannot open serial port /dev/there-is-none: "),
        ("strange://port", DeviceNotFoundError, "cannot open serial port strange://port: "),
        (
            "socket://127.0.0.1:1",
            DeviceNotFoundError,
            "cannot connect to socket://127.0.0.1:1: .*is the other end running",
        ),
        (
            "socket://127.0.0.1",
            DeviceNotFoundError,
            "'socket://127.0.0.1' is no socket address; expected socket://host",
        ),
        ("socket://127.0.0.1:x", DeviceNotFoundError, "'socket://127.0.0.1:x' is no socket address: "),
        ("socket://[::1:4", DeviceNotFoundError, r"'socket://\[::1:4' is no socket address: "),
    ],
)
def test_what_cannot_be_opened_is_a_typed_error(url: str, error: type[SternaError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        open_device(url)
    assert "\n" not in str(caught.value)


def test_a_device_of_another_configuration_is_refused(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Emulator] = []

    def other(named: Configuration) -> Emulator:
        opened.append(Emulator(configuration))
        return opened[-1]

    monkeypatch.setattr("sterna.link.emulator.Emulator", other)
    digest = configuration.digest.hex()
    message = rf"the device has configuration {digest}, none of the standard ones \(.*icebreaker.*\); pass conf"
    with pytest.raises(ConfigurationError, match=message):
        open_device("emulator:icebreaker")
    expected = STANDARD["icebreaker"]
    message = rf"the device has configuration {digest}, not {expected.digest.hex()} \(icebreaker\)"
    with pytest.raises(ConfigurationError, match=message):
        open_device("emulator:icebreaker", configuration=expected)
    assert len(opened) == 2
    assert all(emulator._closed for emulator in opened)  # the port is free again


def test_a_simulation_is_opened_as_a_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sterna.sim.device")
    opener: Callable[[str], Emulator] = lambda name: Emulator(STANDARD[name])  # noqa: E731
    module.open_simulation = opener  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sterna.sim.device", module)
    with open_device("sim:icebreaker") as device:
        assert device.configuration.name == "icebreaker"


def test_a_simulation_without_its_tools_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sterna.sim.device", None)
    with pytest.raises(ToolError, match=r"simulating a device needs more tools .*pip install 'sterna\[sim\]'"):
        open_device("sim:icebreaker")
