"""The rate of a serial port, from the command line to the port."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sterna.cli.verbs import app
from sterna.link import serial_port
from sterna.zoo import path_of


@pytest.mark.parametrize("verb", ["run", "eval"])
@pytest.mark.parametrize(("given", "rate"), [((), 3_000_000), (("--baudrate", "1000000"), 1_000_000)])
def test_a_serial_port_is_opened_at_the_rate_given(
    verb: str, given: tuple[str, ...], rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def port(name: str, *, baudrate: int, **options: object) -> None:
        asked.append(baudrate)
        raise OSError("no port in a test")

    monkeypatch.setattr(serial_port.serial, "serial_for_url", port)
    images = tmp_path / "images.csv"
    images.write_text(",".join("0" * 64) + "\n")
    inputs = (str(images),) if verb == "run" else ("--limit", "1")
    result = CliRunner().invoke(app, [verb, str(path_of("digits-mlp")), *inputs, "--on", "/dev/ttyUSB1", *given])
    assert result.exit_code == 1, result.output
    assert "cannot open serial port /dev/ttyUSB1: no port in a test" in result.stderr
    assert asked == [rate]
