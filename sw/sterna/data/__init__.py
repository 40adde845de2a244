"""Data sets, each behind ``load(name)``: bundled, or downloaded once and checked by SHA-256, or from a local folder.

    from sterna.data import load
    digits = load("digits")
    digits.test_images      # uint8 (454, 8, 8, 1)

Images are bytes, channel-last; ``images.reshape(len(images), -1)`` is what a network of matrix products takes. Text is
no image: ``load_text(name)``.
"""

from collections.abc import Callable
from pathlib import Path

from sterna.data import cifar10, mnist, nab, skab, text
from sterna.data.cifar10 import load_cifar10
from sterna.data.dataset import Dataset, Text
from sterna.data.digits import load_digits
from sterna.data.fsdd import find_fsdd, load_fsdd
from sterna.data.mnist import load_mnist
from sterna.data.nab import load_nab
from sterna.data.skab import load_skab
from sterna.data.source import RemoteFile, download
from sterna.data.text import read_text
from sterna.spec.errors import DataError

__all__ = ["NAMES", "TEXTS", "Dataset", "Text", "fetch", "load", "load_text"]

_LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": lambda _: load_digits(),
    "mnist": lambda data_dir: load_mnist("mnist", data_dir),
    "fashion_mnist": lambda data_dir: load_mnist("fashion_mnist", data_dir),
    "cifar10": lambda data_dir: load_cifar10("cifar10", data_dir),
    "cifar10_5k": lambda data_dir: load_cifar10("cifar10_5k", data_dir),
    "fsdd": load_fsdd,
    "skab": lambda data_dir: load_skab("skab", data_dir),
    "skab_valve2": lambda data_dir: load_skab("skab_valve2", data_dir),
    "nab": lambda data_dir: load_nab("nab", data_dir),
    "nab_ambient": lambda data_dir: load_nab("nab_ambient", data_dir),
}

NAMES = tuple(_LOADERS)
"""Names that :func:`load` knows."""

TEXTS = tuple(text.SOURCES)
"""Names that :func:`load_text` knows."""


def _path(data_dir: str | Path | None) -> Path | None:
    return None if data_dir is None else Path(data_dir)


def _sources(name: str) -> tuple[str, dict[str, RemoteFile]]:
    """Folder and files of a data set that can be downloaded."""
    for module, folder in ((mnist, name), (cifar10, name), (skab, skab.FOLDER), (nab, nab.FOLDER), (text, text.FOLDER)):
        if name in module.SOURCES:
            return folder, module.SOURCES[name]
    return name, {}


def _check(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise DataError(f"no data set {name!r}; known: {', '.join(known)}")


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Loads a data set; never downloads.

    ``data_dir``: folder to look in, with one folder per data set; by default ``STERNA_DATA`` and then the cache.
    Raises :class:`DataError` for an unknown name, for damaged files, and for missing ones with the command to get them.
    """
    _check(name, NAMES)
    return _LOADERS[name](_path(data_dir))


def load_text(name: str = "tinyshakespeare", data_dir: str | Path | None = None) -> Text:
    """Loads a text; never downloads. ``data_dir`` and errors: as :func:`load`."""
    _check(name, TEXTS)
    return read_text(name, _path(data_dir))


def fetch(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Downloads what is missing of a data set or text into ``data_dir``, or the cache.

    Returns its folder; None for bundled data. Raises :class:`DataError` when it cannot be had.
    """
    _check(name, NAMES + TEXTS)
    if name == "fsdd":  # no file to download but a repository; the error says how to get it
        return find_fsdd(_path(data_dir))[0]
    folder, files = _sources(name)
    return download(folder, files, _path(data_dir), name) if files else None
