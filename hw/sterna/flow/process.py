"""Runs one tool: bounded in time, its output into a log, and never longer than this process."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Timer

from sterna.flow import leash
from sterna.spec.errors import ToolError


def run_logged(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    line: Callable[[str], None] = lambda _: None,
) -> int:
    """The tool's exit code. It runs in ``folder``, in a process group of its own, which dies with this call and this
    process, however they end (:mod:`sterna.flow.leash`); each line of its output goes to the end of ``log`` and to
    ``line``. Raises :class:`ToolError` after ``timeout`` seconds."""
    leashed = [sys.executable, "-IS", leash.__file__, *map(str, command)]
    with log.open("a", buffering=1) as kept, subprocess.Popen(
        leashed, cwd=folder, env=None if environment is None else dict(environment),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(timeout, process.stdin.close)
        timer.start()
        try:
            for text in process.stdout:
                kept.write(text)
                line(text)
            code = process.wait()
        finally:
            timer.cancel()
        if process.stdin.closed:
            raise ToolError(f"{Path(command[0]).name} took longer than {timeout:g} s; see {log}")
        return code
