"""The Verilated device: bytes, stalls, long computations, ends of every kind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sterna.sim.benches.stand_ins import Delay, Echo, Remember
from sterna.sim.device import Simulation, build_device, open_simulation, serve_simulation
from sterna.spec.errors import ConfigurationError, DeviceLostError, DeviceTimeoutError, ToolError


def receive_all(simulation: Simulation, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = simulation.receive(20)
        assert part, f"only {len(got)} of {count} bytes came"
        got += part
    return got


def test_bytes_come_through_unchanged_and_in_order() -> None:
    data = os.urandom(40_000)
    with open_simulation("echo", component=Echo(key=0x55)) as simulation:
        simulation.send(data)
        assert receive_all(simulation, len(data)) == bytes(byte ^ 0x55 for byte in data)
    assert simulation.statistics is not None
    assert simulation.statistics.received == simulation.statistics.sent == len(data)
    assert simulation.statistics.cycles >= len(data)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_stalls_change_timing_but_no_byte(seed: int) -> None:
    data = os.urandom(5_000)
    with open_simulation("echo", component=Echo(key=0x55), stalls=70, seed=seed) as simulation:
        simulation.send(data)
        assert receive_all(simulation, len(data)) == bytes(byte ^ 0x55 for byte in data)
    assert simulation.statistics is not None
    assert simulation.statistics.cycles > 2 * len(data)


def test_a_computation_longer_than_the_linger_still_ends() -> None:
    with open_simulation("delay", component=Delay(cycles=50_000), linger=1_000) as simulation:
        simulation.send(b"\x2a")
        assert simulation.receive(60) == b"\x2a"
    assert simulation.statistics is not None
    assert simulation.statistics.cycles >= 50_000


def test_receive_gives_nothing_after_its_timeout() -> None:
    with open_simulation("echo", component=Echo(key=0x55)) as simulation:
        assert simulation.receive(0.05) == b""


def test_memories_without_a_power_up_value_are_zero_or_random_by_seed() -> None:
    def contents(power_up: int | None) -> bytes:
        with open_simulation("remember", component=Remember(), power_up=power_up) as simulation:
            simulation.send(bytes(range(256)))
            return receive_all(simulation, 256)

    assert contents(None) == bytes(256)
    assert contents(1) == contents(1)
    assert len({contents(1), contents(2), bytes(256)}) == 3


def test_a_simulation_that_dies_is_a_lost_device() -> None:
    simulation = open_simulation("echo", component=Echo(key=0x55))
    os.kill(simulation._process.pid, signal.SIGKILL)
    with pytest.raises(DeviceLostError, match="simulation ended with exit code -9"):
        simulation.receive(20)
    with pytest.raises(DeviceLostError, match="simulation is closed"):
        simulation.send(b"x")
    simulation.close()


def test_sending_to_a_device_that_takes_nothing_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.sim.device.SEND_TIMEOUT", 0.3)
    simulation = open_simulation("delay", component=Delay(cycles=2**31))
    with simulation, pytest.raises(DeviceTimeoutError, match=r"took no byte for 0\.3 s"):
        simulation.send(bytes(4 << 20))


def test_close_ends_the_process_also_while_the_device_is_stuck() -> None:
    simulation = open_simulation("delay", component=Delay(cycles=2**31))
    simulation.send(bytes(100_000))
    simulation.close()
    simulation.close()
    assert simulation._process.returncode == 0


def test_no_process_outlives_a_caller_that_is_killed() -> None:
    build_device("echo", component=Echo(key=0x55))
    program = (
        "from sterna.sim.device import *; from sterna.sim.benches.stand_ins import Echo; import sys\n"
        "s = open_simulation('echo', component=Echo(key=0x55)); print(s._process.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        caller.kill()
    for _ in range(500):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return
        time.sleep(0.02)
    pytest.fail("the simulation is still running")


def test_socket_serves_one_client_after_another() -> None:
    served = serve_simulation("echo", component=Echo(key=0x55))
    host, port = served.url.removeprefix("socket://").split(":")
    for message in (b"first", b"second"):
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(message)
            got = b""
            while len(got) < len(message):
                got += client.recv(100)
        assert got == bytes(byte ^ 0x55 for byte in message)
    statistics = served.close()
    assert statistics is not None
    assert statistics.received == 11


def test_pseudo_terminal_opens_like_a_serial_port() -> None:
    import serial

    served = serve_simulation("echo", component=Echo(key=0x55), pty=True)
    data = bytes(range(256))
    for _ in range(2):
        with serial.Serial(served.url, 115200, timeout=20, write_timeout=20) as port:
            port.write(data)
            assert port.read(256) == bytes(byte ^ 0x55 for byte in data)
    assert served.close() is not None


def test_waves_are_written_on_request_only(tmp_path: Path) -> None:
    with open_simulation("echo", component=Echo(key=0x55), waves=tmp_path / "echo.vcd") as simulation:
        simulation.send(b"x")
        receive_all(simulation, 1)
    assert "$enddefinitions" in (tmp_path / "echo.vcd").read_text()


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="stalls is 100; allowed: 0…99"):
        open_simulation("icebreaker", stalls=100)
    with pytest.raises(ConfigurationError, match="power_up is 0; allowed: a seed"):
        open_simulation("icebreaker", power_up=0)


def test_harness_says_what_is_wrong_with_its_options() -> None:
    executable = build_device("echo", component=Echo(key=0x55))
    for options, message in (
        ([], "one of --fd, --listen, --pty is needed"), (["--what"], "unknown option --what"),
        (["--fd"], "--fd needs a value"), (["--fd", "x"], "not a number: x"),
        (["--waves", "x.vcd"], "built without waves"),
    ):  # fmt: skip
        done = subprocess.run([executable, *options], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2
        assert message in done.stderr


def test_a_program_that_does_not_start_is_a_tool_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="simulation does not start"):
        Simulation(tmp_path / "absent", [])


def test_statistics_are_one_line_of_json() -> None:
    executable = build_device("echo", component=Echo(key=0x55))
    done = subprocess.run([executable, "--listen"], input="", capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(done.stdout.splitlines()[-1]).keys() == {"cycles", "received", "sent", "seconds", "busy_seconds"}
