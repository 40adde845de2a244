"""Data sets, each behind ``load(name)``: bundled, or downloaded once and checked by SHA-256, or from a local folder.

    from sterna.data import load
    digits = load("digits")
    digits.test_images      # uint8 (454, 8, 8, 1)

Images are bytes, channel-last; ``images.reshape(len(images), -1)`` is what a network of matrix products takes.
"""

from collections.abc import Callable
from pathlib import Path

from sterna.data import cifar10, mnist
from sterna.data.cifar10 import load_cifar10
from sterna.data.dataset import Dataset
from sterna.data.digits import load_digits
from sterna.data.mnist import load_mnist
from sterna.data.source import download
from sterna.spec.errors import DataError

__all__ = ["NAMES", "Dataset", "fetch", "load"]

_LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": lambda _: load_digits(),
    "mnist": lambda data_dir: load_mnist("mnist", data_dir),
    "fashion_mnist": lambda data_dir: load_mnist("fashion_mnist", data_dir),
    "cifar10": lambda data_dir: load_cifar10("cifar10", data_dir),
    "cifar10_5k": lambda data_dir: load_cifar10("cifar10_5k", data_dir),
}

NAMES = tuple(_LOADERS)
"""Names that :func:`load` knows."""


def _check(name: str) -> None:
    if name not in _LOADERS:
        raise DataError(f"no data set {name!r}; known: {', '.join(NAMES)}")


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Loads a data set; never downloads.

    ``data_dir``: folder to look in, with one folder per data set; by default ``STERNA_DATA`` and then the cache.
    Raises :class:`DataError` for an unknown name, for damaged files, and for missing ones with the command to get them.
    """
    _check(name)
    return _LOADERS[name](None if data_dir is None else Path(data_dir))


def fetch(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Downloads what is missing of a data set into ``data_dir``, or the cache.

    Returns its folder; None for bundled data. Raises :class:`DataError` when it cannot be had.
    """
    _check(name)
    sources = mnist.SOURCES | cifar10.SOURCES
    if name not in sources:
        return None
    return download(name, sources[name], None if data_dir is None else Path(data_dir))
