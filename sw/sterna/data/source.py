"""Where files of a data set lie: a folder given by the user, or pooch's cache. Every file is checked by its SHA-256.

A folder holds one folder per data set: ``mnist/train-images-idx3-ubyte.gz``. It may be filled by hand for use offline.
"""

import hashlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from sterna.spec.errors import DataError

DATA_VARIABLE = "STERNA_DATA"
"""Environment variable that names the folder."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """Where to get a file, and what it must be."""

    url: str | None
    """None: it is not published, only put into a folder by hand."""
    sha256: str


def cache_folder() -> Path:
    """The folder that :func:`download` fills by default."""
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("sterna"))


def folders(data_dir: Path | None) -> list[Path]:
    """Where data sets are looked for: ``data_dir`` if given, else ``STERNA_DATA`` if set, then the cache."""
    if data_dir is not None:
        return [data_dir]
    named = os.environ.get(DATA_VARIABLE)
    return [*([Path(named)] if named else []), cache_folder()]


def locate(dataset: str, name: str, remote: RemoteFile, data_dir: Path | None) -> Path:
    """Path of a checked file. Raises :class:`DataError` with the command to get it, or with the wrong digest."""
    for folder in folders(data_dir):
        path = folder / dataset / name
        if path.is_file():
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != remote.sha256:
                raise DataError(f"{path} has SHA-256 {found}, not {remote.sha256}; delete it and fetch it again")
            return path
    if remote.url is None:
        raise DataError(f"no {dataset}; it is not published: put it by hand at {folders(data_dir)[0] / dataset / name}")
    where = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir is not None else ""
    raise DataError(f"no {dataset} in {folders(data_dir)[0]}; get it with: python -m sterna.data {dataset}{where}")


def download(dataset: str, files: dict[str, RemoteFile], data_dir: Path | None) -> Path:
    """Downloads what is missing of a data set into ``data_dir``, or the cache; returns its folder.

    Raises :class:`DataError` when a file cannot be had or has another SHA-256.
    """
    import pooch

    folder = (data_dir if data_dir is not None else cache_folder()) / dataset
    for name, remote in files.items():
        if remote.url is None:
            raise DataError(f"{dataset} is not published; put {name} into {folder} by hand")
        try:
            pooch.retrieve(remote.url, f"sha256:{remote.sha256}", fname=name, path=folder)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; another digest is a ValueError
            reason = " ".join(str(error).split())
            raise DataError(f"cannot get {remote.url}: {reason}; put it by hand at {folder / name}") from error
    return folder
