"""The Verilated accelerator as a device: what the driver opens instead of a serial port."""

import contextlib
import json
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from amaranth.lib import wiring

from sterna.flow.verilog import Verilog, to_verilog
from sterna.sim.configurations import simulated
from sterna.sim.held_reset import HeldReset
from sterna.sim.verilate import Progress, quiet, verilate
from sterna.spec.errors import ConfigurationError, DeviceLostError, DeviceTimeoutError, ToolError

# A branch that yosys writes at the start of each process, never taken: no line of the design.
_GUARD = re.compile(r"if \(\\\$auto\$verilog_backend\S+ \) begin end")
HARNESS = Path(__file__).with_name("harness.cpp")
SEND_TIMEOUT = 60.0
"""Seconds without the device taking a single byte."""
END_TIMEOUT = 10.0
"""Seconds that the process has for ending when asked."""


@dataclass(frozen=True)
class Statistics:
    """What a simulation ran, known once it has ended."""

    cycles: int
    received: int
    """Bytes that the device took."""
    sent: int
    seconds: float
    busy_seconds: float
    """``seconds`` without the naps while nothing happened."""

    @property
    def cycles_per_second(self) -> float:
        """Simulated clock cycles per second of not sleeping."""
        return self.cycles / self.busy_seconds if self.busy_seconds else 0.0


def build_device(
    name: str,
    *,
    component: wiring.Component | None = None,
    waves: bool = False,
    coverage: bool = False,
    progress: Progress = quiet,
) -> Path:
    """Executable of the Verilated accelerator of configuration ``name``, from the cache if it was built before.

    * ``name``: of one of :mod:`sterna.sim.configurations`.
    * ``component``: another component with the ports ``rx`` and ``tx`` of the accelerator, run in its place.
    * ``coverage``: whether it counts which lines ran and which signals toggled (slower).

    Raises :class:`ConfigurationError` for an unknown name, :class:`ToolError` if a build tool is missing or fails.
    """
    progress("writing Verilog")
    verilog = _accelerator_verilog(name) if component is None else to_verilog(HeldReset(component))
    flags = []
    if coverage:
        flags = ["--coverage-line", "--coverage-toggle"]
        verilog = Verilog(_GUARD.sub(r"/* verilator coverage_off */ \g<0> /* verilator coverage_on */", verilog.text))
    return verilate(verilog, HARNESS, flags=flags, waves=waves, name=f"device-{name}", progress=progress)


@lru_cache(maxsize=8)
def _accelerator_verilog(name: str) -> Verilog:
    """Verilog of a configuration: seconds of work, and always the same within a process."""
    from sterna.accelerator import Accelerator
    from sterna.build_id import build_id

    configuration = simulated(name)
    return to_verilog(HeldReset(Accelerator(configuration=configuration, build_id=build_id(configuration))))


def run_options(
    *,
    stalls: int,
    seed: int,
    power_up: int | None,
    waves: Path | None,
    coverage: Path | None = None,
    linger: int | None = None,
) -> list[str]:
    """Options of the executable. Raises :class:`ConfigurationError` for values that it would not take."""
    if not 0 <= stalls <= 99:
        raise ConfigurationError(f"stalls is {stalls}; allowed: 0…99 percent of the cycles")
    options = ["--stalls", str(stalls), "--seed", str(seed)]
    if power_up is not None:
        if not 1 <= power_up < 1 << 31:
            raise ConfigurationError(f"power_up is {power_up}; allowed: a seed, 1…2147483647, or None")
        options += ["+verilator+rand+reset+2", f"+verilator+seed+{power_up}"]
    if waves is not None:
        options += ["--waves", str(waves)]
    if coverage is not None:
        options += ["--coverage", str(coverage)]
    if linger is not None:
        options += ["--linger", str(linger)]
    return options


def _statistics(output: str) -> Statistics | None:
    lines = output.splitlines()
    return Statistics(**json.loads(lines[-1])) if lines and lines[-1].startswith("{") else None


class Simulation:
    """A running simulation, as a :class:`sterna.link.transport.Transport`."""

    def __init__(self, executable: Path, options: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [executable, "--fd", str(theirs.fileno()), *options], pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                    start_new_session=True,  # Ctrl-C is for the driver; the device ends when its socket closes
                )  # fmt: skip
            except OSError as error:
                self._socket.close()
                raise ToolError(f"simulation does not start: {error}; mend: remove {executable.parent}") from error
        self._closed = False
        self.statistics: Statistics | None = None
        """Known after :meth:`close`."""

    def send(self, data: bytes) -> None:
        """Sends all of ``data``. Raises ``DeviceLostError``, or ``DeviceTimeoutError`` if nothing is taken for long."""
        self._require_open()
        view = memoryview(data)
        self._socket.settimeout(SEND_TIMEOUT)
        try:
            while view:
                view = view[self._socket.send(view) :]
        except TimeoutError:
            raise DeviceTimeoutError(f"simulation took no byte for {SEND_TIMEOUT:g} s") from None
        except OSError:
            raise self._lost() from None

    def receive(self, timeout: float) -> bytes:
        """What has arrived, or ``b""`` if nothing does within ``timeout`` seconds. Raises ``DeviceLostError``."""
        self._require_open()
        self._socket.settimeout(max(timeout, 1e-6))
        try:
            data = self._socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError:
            raise self._lost() from None
        if not data:
            raise self._lost()
        return data

    def close(self) -> None:
        """Ends the process, at the latest after ``END_TIMEOUT`` seconds; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._socket.close()
        self.statistics = _statistics(self._end()[0])

    def _end(self) -> tuple[str, str]:
        try:
            return self._process.communicate(timeout=END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.communicate()
        except BaseException:
            self._process.kill()
            raise

    def _require_open(self) -> None:
        if self._closed:
            raise DeviceLostError("simulation is closed")

    def _lost(self) -> DeviceLostError:
        self._closed = True
        self._socket.close()
        _, errors = self._end()
        last = errors.strip().splitlines()[-1:] or ["no message"]
        return DeviceLostError(f"simulation ended with exit code {self._process.returncode}: {last[0]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            with contextlib.suppress(Exception):
                self.close()


def open_simulation(
    name: str,
    *,
    component: wiring.Component | None = None,
    stalls: int = 0,
    seed: int = 0,
    power_up: int | None = None,
    waves: Path | None = None,
    coverage: Path | None = None,
    linger: int | None = None,
    progress: Progress = quiet,
) -> Simulation:
    """Starts the Verilated accelerator of configuration ``name``, built first if the cache does not hold it.

    * ``component``: run in the accelerator's place; it has the same ports ``rx`` and ``tx``.
    * ``stalls``: percent of the cycles in which ``rx`` and ``tx`` are held back at random, from ``seed``.
    * ``power_up``: a seed for random words in memories at power-up, as an SPRAM holds them; zeros if not given.
    * ``waves``: VCD file to write.
    * ``coverage``: file to write when it ends, for :mod:`sterna.sim.coverage`.
    * ``linger``: cycles that run at full speed after the last byte.
    * ``progress``: gets short texts while a build is under way.

    Raises :class:`ConfigurationError`, or :class:`ToolError` if a build tool is missing or fails.
    """
    options = run_options(stalls=stalls, seed=seed, power_up=power_up, waves=waves, coverage=coverage, linger=linger)
    executable = build_device(
        name, component=component, waves=waves is not None, coverage=coverage is not None, progress=progress
    )
    return Simulation(executable, options)


class ServedSimulation:
    """A simulation that other programs open, by a socket URL or the path of a pseudo-terminal."""

    def __init__(self, executable: Path, options: Sequence[str], *, pty: bool) -> None:
        try:
            self._process = subprocess.Popen(
                [executable, "--pty" if pty else "--listen", *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ToolError(f"simulation does not start: {error}; mend: remove {executable.parent}") from error
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        """``socket://127.0.0.1:PORT``, or a path such as ``/dev/pts/3``."""
        if not self.url:
            _, errors = self._process.communicate(timeout=END_TIMEOUT)
            raise ToolError(f"simulation does not start: {errors.strip() or 'no message'}")

    def wait(self) -> None:
        """Returns when the simulation ends. Raises ``DeviceLostError`` if it ended by itself."""
        while self._process.poll() is None:
            time.sleep(0.1)
        raise DeviceLostError(f"simulation ended with exit code {self._process.returncode}")

    def close(self) -> Statistics | None:
        """Ends the simulation, at the latest after ``END_TIMEOUT`` seconds, and says what it ran."""
        try:
            return _statistics(self._process.communicate(timeout=END_TIMEOUT)[0])  # closes its standard input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return None


def serve_simulation(
    name: str,
    *,
    pty: bool = False,
    component: wiring.Component | None = None,
    stalls: int = 0,
    seed: int = 0,
    power_up: int | None = None,
    waves: Path | None = None,
    progress: Progress = quiet,
) -> ServedSimulation:
    """Like :func:`open_simulation`, for other programs: over TCP on this machine, or over a pseudo-terminal."""
    options = run_options(stalls=stalls, seed=seed, power_up=power_up, waves=waves)
    executable = build_device(name, component=component, waves=waves is not None, progress=progress)
    return ServedSimulation(executable, options, pty=pty)
