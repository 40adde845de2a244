"""What a verb writes, checked before its work begins rather than when the work is done."""

import os
from collections.abc import Mapping
from pathlib import Path

from sterna.spec.errors import ConfigurationError


def claim(
    files: Mapping[str, Path | None], *, folders: Mapping[str, Path | None] | None = None,
    reads: Mapping[str, Path | None] | None = None,
) -> None:  # fmt: skip
    """Makes the folders that are missing. All are paths by option; None: the option was not given.

    Raises :class:`ConfigurationError` for a file to write that is a folder, cannot be written or is that of another
    option, which may be one that is read, and for a folder that is a file or cannot be made.
    """
    seen: dict[Path, str] = {}
    for option, path in {**(reads or {}), **files}.items():
        if path is None:
            continue
        other = seen.setdefault(path.resolve(), option)
        if other != option:
            raise ConfigurationError(f"{other} and {option} are both {path}; give each a file of its own")
    for option, path in files.items():
        if path is None:
            continue
        if path.is_dir():
            raise ConfigurationError(f"{option} is {path}, which is a folder; allowed: a file")
        _make(option, path, path.parent)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ConfigurationError(f"{option} is {path}, which cannot be written")
    for option, path in (folders or {}).items():
        if path is None:
            continue
        if path.exists() and not path.is_dir():
            raise ConfigurationError(f"{option} is {path}, which is a file; allowed: a folder")
        _make(option, path, path)


def _make(option: str, path: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{option} is {path}, but {folder} cannot be made: {error.strerror}") from error
