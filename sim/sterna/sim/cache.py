"""Results of slow tools, kept under their digest: made once, complete or absent, by one process at a time."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sterna.spec.errors import ToolError


def cache_directory() -> Path:
    """``$STERNA_CACHE``, else ``$XDG_CACHE_HOME/sterna``, else ``~/.cache/sterna``."""
    if own := os.environ.get("STERNA_CACHE"):
        return Path(own).expanduser().absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser().absolute() / "sterna"
    return Path.home() / ".cache" / "sterna"


@contextmanager
def _locked(path: Path, timeout: float, progress: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock file ``path``; the operating system lets go of it if this process dies."""
    end = time.monotonic() + timeout
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise ToolError(
                        f"another process held {path} for {timeout:g} s; "
                        "mend: end it, or set STERNA_CACHE to another folder"
                    ) from None
                progress("waiting for another process that builds the same")
                time.sleep(0.1)
        yield


def cached_directory(
    key: str,
    build: Callable[[Path], None],
    *,
    timeout: float = 900.0,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Path, bool]:
    """The folder kept under ``key``, made by ``build(folder)`` if it is not there yet, and whether it was made now.

    ``build`` fills a folder of its own, which takes its final name only when complete. If it raises, the ``*.log``
    files of the folder are kept in ``failed-<key>`` beside it. Raises :class:`ToolError` if the cache cannot be written
    or another process holds the lock for longer than ``timeout`` seconds.
    """
    root = cache_directory()
    final = root / key
    if final.is_dir():
        return final, False
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f"{key}.lock", timeout, progress):
            if final.is_dir():
                return final, False
            for left in root.glob(f"{key}.partial-*"):  # of a builder that was killed
                shutil.rmtree(left, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=f"{key}.partial-", dir=root))
            try:
                build(partial)
                partial.rename(final)
            except BaseException:
                failed = root / f"failed-{key}"
                failed.mkdir(exist_ok=True)
                for log in partial.glob("*.log"):
                    shutil.copy(log, failed)
                raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            return final, True
    except OSError as error:
        raise ToolError(f"cache {root}: {error}; mend: set STERNA_CACHE to a folder that can be written") from error
