"""MNIST (LeCun 1998) and Fashion-MNIST (Xiao 2017): the same four IDX files under other sources and digests."""

from pathlib import Path

import numpy as np

from sterna.data.dataset import Dataset
from sterna.data.idx import read_idx
from sterna.data.source import RemoteFile, locate
from sterna.spec.errors import DataError

_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"

_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS = FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _files(base: str, digests: tuple[str, str, str, str]) -> dict[str, RemoteFile]:
    return {name: RemoteFile(url=base + name, sha256=digest) for name, digest in zip(FILES, digests, strict=True)}


SOURCES = {
    "mnist": _files(_MNIST, (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    )),
    "fashion_mnist": _files(_FASHION, (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    )),
}  # fmt: skip

_CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
}  # fmt: skip


def load_mnist(name: str, data_dir: Path | None) -> Dataset:
    """60,000 training and 10,000 test images of 28×28 bytes; see :func:`sterna.data.load`."""
    paths = {file: locate(name, file, SOURCES[name][file], data_dir) for file in FILES}
    classes = _CLASSES[name]
    parts = []
    for images_file, labels_file in ((_TRAIN_IMAGES, _TRAIN_LABELS), (_TEST_IMAGES, _TEST_LABELS)):
        images = read_idx(paths[images_file], 3)[..., np.newaxis]
        labels = read_idx(paths[labels_file], 1).astype(np.int64)
        if len(images) != len(labels) or labels.max(initial=0) >= len(classes):
            raise DataError(f"{paths[labels_file]} does not label {len(images)} images of {len(classes)} classes")
        parts.append((images, labels))
    (train_images, train_labels), (test_images, test_labels) = parts
    return Dataset(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=classes,
        low=0.0,
        high=255.0,
        scale=255 / 127,
    )
