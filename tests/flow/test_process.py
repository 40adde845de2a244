"""Tools end with whoever runs them; exit codes and output come through."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sterna.flow.process import run_logged
from sterna.spec.errors import ToolError

HOLD = "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); time.sleep(600)"
"""Holds a lock for as long as it lives, whether or not somebody takes note of its end."""
TOOL = f"""
import subprocess, sys
print("working", flush=True)
subprocess.Popen([sys.executable, "-c", {HOLD!r}, "helper"])
{HOLD.replace("sys.argv[1]", "'tool'")}
"""
BUILD = f"""
import sys
from pathlib import Path
from sterna.flow.process import run_logged
run_logged([sys.executable, "-c", {TOOL!r}], folder=Path(), log=Path("log"), timeout=600)
"""


def held(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_tool_and_what_it_started_end_with_the_build_however_that_ends(tmp_path: Path, number: int) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    locks = [tmp_path / "tool", tmp_path / "helper"]
    with subprocess.Popen(
        [sys.executable, "-c", BUILD], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    ) as build:
        wait_until(lambda: all(path.exists() and held(path) for path in locks))
        wait_until(lambda: (tmp_path / "log").read_text() == "working\n")  # not only when the tool ends
        build.send_signal(number)
        wait_until(lambda: not any(map(held, locks)))
        assert build.wait(60) != 0


def run(code: str, folder: Path, *, timeout: float = 60.0) -> int:
    command = [sys.executable, "-c", f"import os, signal, sys, time\n{code}"]
    return run_logged(command, folder=folder, log=folder / "log", timeout=timeout)


def test_exit_codes_and_output_come_through(tmp_path: Path) -> None:
    assert run("print('made'); print('worse', file=sys.stderr, flush=True)", tmp_path) == 0
    assert sorted((tmp_path / "log").read_text().split()) == ["made", "worse"]
    assert run("sys.exit(3)", tmp_path) == 3
    assert run("os.kill(os.getpid(), signal.SIGTERM)", tmp_path) == 128 + signal.SIGTERM
    assert run("print(repr(sys.stdin.read()))", tmp_path) == 0
    assert (tmp_path / "log").read_text().endswith("''\n")


def test_a_tool_that_cannot_be_started_is_named_in_the_log(tmp_path: Path) -> None:
    assert run_logged(["no-such-tool"], folder=tmp_path, log=tmp_path / "log", timeout=60) == 127
    assert (tmp_path / "log").read_text() == "ERROR: no-such-tool: No such file or directory\n"


@pytest.mark.parametrize("what", ["print('still', flush=True)", "pass"])
def test_a_tool_that_goes_on_is_ended_in_time_whether_it_talks_or_not(tmp_path: Path, what: str) -> None:
    with pytest.raises(ToolError, match=r"took longer than 0\.5 s; see .*log$"):
        run(f"while True: {what}; time.sleep(0.01)", tmp_path, timeout=0.5)


def test_a_tool_ends_when_a_line_of_its_output_is_an_error_to_its_user(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise ToolError(line.strip())

    code = HOLD.replace("sys.argv[1]", "'tool'").replace("time.sleep", "print('too large', flush=True); time.sleep")
    with pytest.raises(ToolError, match=r"^too large$"):
        run_logged([sys.executable, "-c", code], folder=tmp_path, log=tmp_path / "log", timeout=600, line=refuse)
    wait_until(lambda: not held(tmp_path / "tool"))
