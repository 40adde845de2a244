"""CIFAR-10 (Krizhevsky 2009), colour photographs of 32×32 pixels in ten classes.

``cifar10`` is the published set, ``cifar10_5k`` a subset of 5,000 for development: not balanced over the classes, and
nothing that is measured on it can be compared with published accuracies.
"""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sterna.data.dataset import Dataset
from sterna.data.source import RemoteFile, locate
from sterna.spec.errors import DataError

_ARCHIVE = "cifar-10-binary.tar.gz"
_SUBSET = "cifar10_5k.npz"

SOURCES = {
    "cifar10": {
        _ARCHIVE: RemoteFile(
            url=f"https://www.cs.toronto.edu/~kriz/{_ARCHIVE}",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        )
    },
    "cifar10_5k": {
        _SUBSET: RemoteFile(url=None, sha256="5e81f99fe5af185b32d0cb5efbf72c956a858f8e684fdfba6995f9e197878f5c")
    },
}

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_SHAPE = (32, 32, 3)
_RECORD = 1 + 32 * 32 * 3
_RECORDS = 10_000
"""In each file of the archive."""

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def load_cifar10(name: str, data_dir: Path | None) -> Dataset:
    """50,000 training and 10,000 test images, or the subset's 4,000 and 1,000; see :func:`sterna.data.load`."""
    (file, remote), *_ = SOURCES[name].items()
    path = locate(name, file, remote, data_dir)
    try:
        train, test = (_read_archive if name == "cifar10" else _read_subset)(path)
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}") from error
    for images, labels in (train, test):
        if images.shape != (len(labels), *_SHAPE) or labels.max(initial=0) >= len(CLASSES):
            raise DataError(f"{path} holds labels {labels.shape} for images {images.shape}")
    return Dataset(
        name=name,
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        classes=CLASSES,
        low=0.0,
        high=255.0,
        scale=255 / 127,
    )


def parse_records(content: bytes) -> tuple[Images, Labels]:
    """Parses CIFAR's records: a label, then 32×32 red, green and blue bytes each.

    Returns uint8 (n, 32, 32, 3) and int64 (n,). Raises :class:`ValueError` for a partial record.
    """
    if len(content) % _RECORD:
        raise ValueError(f"{len(content)} bytes are not whole records of {_RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _read_archive(path: Path) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    with tarfile.open(path) as archive:  # read member by member; nothing is extracted

        def read(member: str) -> tuple[Images, Labels]:
            file = archive.extractfile(f"cifar-10-batches-bin/{member}.bin")
            if file is None:
                raise ValueError(f"{member} is not a file")
            return parse_records(file.read(_RECORDS * _RECORD + 1))

        batches = [read(f"data_batch_{index}") for index in range(1, 6)]
        train = np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])
        return train, read("test_batch")


def _read_subset(path: Path) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    with np.load(path, allow_pickle=False) as arrays:
        train, test = ((arrays[f"x_{part}"], arrays[f"y_{part}"].astype(np.int64)) for part in ("train", "test"))
        return train, test
