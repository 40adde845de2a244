"""Runs one tool: bounded in time, its output into a log."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
    """The tool's exit code. It runs in ``folder``, in a process group of its own, which dies with this call; each line
    of its output goes to the end of ``log`` and to ``line``. Raises :class:`ToolError` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    with log.open("a") as kept, subprocess.Popen(
        list(map(str, command)), cwd=folder, env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            for text in process.stdout:
                kept.write(text)
                line(text)
                if time.monotonic() > end:
                    raise ToolError(f"{Path(command[0]).name} took longer than {timeout:g} s; see {log}")
            return process.wait(max(1.0, end - time.monotonic()))
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
