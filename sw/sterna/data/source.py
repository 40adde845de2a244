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


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def locate(folder: str, name: str, remote: RemoteFile, data_dir: Path | None, dataset: str = "") -> Path:
    """Path of a checked file in the data set's folder.

    ``dataset``: its name, where the folder has another. Raises :class:`DataError` with the command to get the file, or
    with the wrong digest.
    """
    dataset = dataset or folder
    for root in folders(data_dir):
        path = root / folder / name
        if path.is_file():
            found = sha256_of(path)
            if found != remote.sha256:
                raise DataError(f"{path} has SHA-256 {found}, not {remote.sha256}; delete it and fetch it again")
            return path
    if remote.url is None:
        raise DataError(f"no {dataset}; it is not published: put it by hand at {folders(data_dir)[0] / folder / name}")
    where = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir is not None else ""
    raise DataError(f"no {dataset} in {folders(data_dir)[0]}; get it with: python -m sterna.data {dataset}{where}")


def download(folder_name: str, files: dict[str, RemoteFile], data_dir: Path | None, dataset: str) -> Path:
    """Downloads what is missing of a data set into a folder in ``data_dir``, or the cache; returns it.

    Raises :class:`DataError` when a file cannot be had or has another SHA-256.
    """
    import pooch

    folder = (data_dir if data_dir is not None else cache_folder()) / folder_name
    for name, remote in files.items():
        if remote.url is None:
            raise DataError(f"{dataset} is not published; put {name} into {folder} by hand")
        path = folder / name
        try:
            pooch.retrieve(remote.url, f"sha256:{remote.sha256}", fname=path.name, path=path.parent)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; another digest is a ValueError
            reason = " ".join(str(error).split())
            raise DataError(f"cannot get {remote.url}: {reason}; put it by hand at {path}") from error
    return folder
