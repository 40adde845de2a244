"""Loading data sets: what they are, where they are looked for, and what is said when they are not there."""

import gzip
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sterna import data
from sterna.data import cifar10, mnist, source
from sterna.data.cifar10 import parse_records
from sterna.data.source import RemoteFile
from sterna.spec.errors import DataError

FOLDER = os.environ.get(source.DATA_VARIABLE)


def test_digits_are_integers_in_range_with_a_quarter_of_each_class_held_out():
    digits = data.load("digits")
    for images, labels in ((digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)):
        assert images.shape == (len(labels), 8, 8, 1)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert images.max() == digits.high == 16
        assert images.min() == digits.low == 0
    train, test = np.bincount(digits.train_labels), np.bincount(digits.test_labels)
    assert train.sum() + test.sum() == 1797
    assert (4 * test >= train + test).all()
    assert len(digits.classes) == len(test) == 10


def test_digits_split_shares_no_image_and_is_the_same_every_time():
    first, second = data.load("digits"), data.load("digits")
    train = {image.tobytes() for image in first.train_images}
    assert not any(image.tobytes() in train for image in first.test_images)
    assert np.array_equal(first.test_images, second.test_images)


def test_the_input_contract_takes_the_images_as_they_are():
    digits = data.load("digits")
    assert np.array_equal(digits.input.quantise(digits.test_images), digits.test_images)


@pytest.mark.skipif(not FOLDER, reason="STERNA_DATA does not name a folder of data sets")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_local_folder_gives_the_published_files(name):
    if not (Path(FOLDER) / name).is_dir():
        pytest.skip(f"STERNA_DATA has no {name}")
    loaded = data.load(name, FOLDER)
    assert loaded.train_images.shape == (60000, 28, 28, 1)
    assert loaded.test_images.shape == (10000, 28, 28, 1)
    assert np.bincount(loaded.train_labels).shape == (10,)
    assert loaded.input.quantise(loaded.test_images[:100]).max() == 127


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch) -> Path:
    """A folder with an "mnist" of 3 training and 2 test images, its digests in place of the published ones."""
    files = {}
    (tmp_path / "mnist").mkdir()
    for name, array in zip(
        mnist.FILES,
        (np.full((3, 4, 4), 7), np.arange(3), np.full((2, 4, 4), 255), np.array([9, 0])),
        strict=True,
    ):
        header = struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape)
        content = gzip.compress(header + array.astype(np.uint8).tobytes())
        (tmp_path / "mnist" / name).write_bytes(content)
        files[name] = RemoteFile(url=f"https://invalid.example/{name}", sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(mnist.SOURCES, "mnist", files)
    monkeypatch.setattr(source, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv(source.DATA_VARIABLE, raising=False)
    return tmp_path


def test_files_are_found_in_the_named_folder_the_variable_or_the_cache(tiny: Path, monkeypatch):
    assert data.load("mnist", tiny).train_labels.tolist() == [0, 1, 2]
    monkeypatch.setenv(source.DATA_VARIABLE, str(tiny))
    assert data.load("mnist").test_labels.tolist() == [9, 0]
    monkeypatch.setenv(source.DATA_VARIABLE, str(tiny / "elsewhere"))
    (tiny / "mnist").rename(tiny / "moved")
    (tiny / "cache").mkdir()
    (tiny / "moved").rename(tiny / "cache" / "mnist")
    assert data.load("mnist").test_images.shape == (2, 4, 4, 1)


def test_a_missing_data_set_names_the_command_to_get_it(tiny: Path):
    missing = tiny / "not here"
    text = f"no mnist in {missing}; get it with: python -m sterna.data mnist --data-dir '{missing}'"
    with pytest.raises(DataError, match=re.escape(text)):
        data.load("mnist", missing)
    with pytest.raises(DataError, match=re.escape("get it with: python -m sterna.data mnist") + "$"):
        data.load("mnist")


def test_a_file_with_another_digest_is_refused(tiny: Path):
    path = tiny / "mnist" / mnist.FILES[3]
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=rf"{path.name} has SHA-256 [0-9a-f]{{64}}, not .*; delete it"):
        data.load("mnist", tiny)


def test_labels_that_do_not_go_with_the_images_are_refused(tiny: Path):
    files = mnist.SOURCES["mnist"]
    images, labels = mnist.FILES[2], mnist.FILES[1]
    content = (tiny / "mnist" / labels).read_bytes()
    (tiny / "mnist" / mnist.FILES[3]).write_bytes(content)
    files[mnist.FILES[3]] = files[labels]
    assert images in files
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz does not label 2 images of 10 classes"):
        data.load("mnist", tiny)


def test_fetching_leaves_files_that_are_there_and_refuses_clearly_what_cannot_be_had(tiny: Path, monkeypatch):
    assert data.fetch("mnist", tiny) == tiny / "mnist"
    monkeypatch.setattr("pooch.retrieve", unreachable)
    with pytest.raises(DataError, match=r"cannot get https://invalid\.example/.*: no route; put it by hand at .*cache"):
        data.fetch("mnist")


def unreachable(*_: object, **__: object) -> None:
    raise OSError("no\nroute")


def test_bundled_data_need_no_fetching():
    assert data.fetch("digits") is None


@pytest.mark.parametrize("function", [data.load, data.fetch])
def test_an_unknown_name_lists_the_known_ones(function):
    with pytest.raises(DataError, match="no data set 'imagenet'; known: digits, mnist, fashion_mnist"):
        function("imagenet")


def test_the_command_that_the_error_names_exists():
    done = subprocess.run([sys.executable, "-m", "sterna.data", "digits"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "digits is bundled\n", "")


def test_cifar_records_are_a_label_and_three_colours():
    record = np.zeros((2, 3073), np.uint8)
    record[:, 0] = 3, 9
    record[1, 1 + 1024 + 33] = 7  # green, second row, second column
    images, labels = parse_records(record.tobytes())
    assert images.shape == (2, 32, 32, 3)
    assert labels.tolist() == [3, 9]
    assert [int(axis[0]) for axis in np.nonzero(images)] == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="3072 bytes are not whole records of 3073"):
        parse_records(bytes(3072))


@pytest.fixture
def tiny_cifar(tmp_path: Path, monkeypatch) -> Path:
    """A folder with a "cifar10" of one image a batch and a "cifar10_5k" of three and two."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as made:
        for index, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
            content = bytes([index]) + bytes(3072)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    subset = io.BytesIO()
    images = np.zeros((3, 32, 32, 3), np.uint8)
    np.savez(subset, x_train=images, y_train=np.arange(3), x_test=images[:2], y_test=np.array([10, 0]))
    for name, content in (("cifar10", archive.getvalue()), ("cifar10_5k", subset.getvalue())):
        ((file, remote),) = cifar10.SOURCES[name].items()
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(cifar10.SOURCES, name, {file: RemoteFile(url=remote.url, sha256=digest)})
    return tmp_path


def test_cifar_is_read_from_its_archive(tiny_cifar: Path):
    loaded = data.load("cifar10", tiny_cifar)
    assert loaded.train_labels.tolist() == [0, 1, 2, 3, 4]
    assert loaded.test_labels.tolist() == [5]
    assert loaded.input.shape == (32, 32, 3)


def test_labels_beyond_the_classes_are_refused(tiny_cifar: Path):
    with pytest.raises(DataError, match=r"cifar10_5k\.npz holds labels \(2,\) for images \(2, 32, 32, 3\)"):
        data.load("cifar10_5k", tiny_cifar)


def test_what_is_not_published_says_where_to_put_it(tmp_path: Path):
    text = f"it is not published: put it by hand at {tmp_path / 'cifar10_5k' / 'cifar10_5k.npz'}"
    with pytest.raises(DataError, match=re.escape(text)):
        data.load("cifar10_5k", tmp_path)
    with pytest.raises(DataError, match=r"cifar10_5k is not published; put cifar10_5k\.npz into .* by hand"):
        data.fetch("cifar10_5k", tmp_path)
