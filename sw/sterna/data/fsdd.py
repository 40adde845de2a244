"""Free Spoken Digit Dataset (Jackson 2018): ten digits, six speakers, 50 recordings of each, 8 kHz.

As its authors split it: indices 0 to 4 of every digit and speaker are the test part, so the speakers are the same on
both sides. Read from the repository's folder ``recordings``, or from ``recordings.tar.xz`` of it.
"""

import hashlib
import io
import re
import shlex
import tarfile
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sterna.data.dataset import Dataset
from sterna.data.log_mel import RATE, STEPS, log_mel
from sterna.data.source import folders
from sterna.spec.errors import DataError

REPOSITORY = "https://github.com/Jakobovski/free-spoken-digit-dataset"
SHA256 = "a2e8a660492f28d9eed6270b290d26cbc5c81d6077ce87d3c0ad5adf4d4ee696"
"""Of all recordings in order of their names, each its name, a zero byte, its SHA-256."""
TESTED = 5
"""Recordings of a digit and speaker that are held out."""
MAX_BYTES = 1 << 20
"""Largest recording."""

_NAME = re.compile(r"(\d)_[a-z]+_(\d+)\.wav")
_ARCHIVE = "recordings.tar.xz"


def digest(recordings: dict[str, bytes]) -> str:
    """What :data:`SHA256` is of the published recordings, by their names."""
    whole = hashlib.sha256()
    for name in sorted(recordings):
        whole.update(name.encode() + b"\0" + hashlib.sha256(recordings[name]).digest())
    return whole.hexdigest()


def read_wave(content: bytes) -> npt.NDArray[np.int16]:
    """Samples of a recording, int16 (n,). Raises :class:`ValueError` for another format."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            found = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if found != (1, 2, RATE):
                raise ValueError(f"{found[0]} channels of {found[1]} bytes at {found[2]} Hz; expected 1 of 2 at {RATE}")
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    except (wave.Error, EOFError) as error:
        raise ValueError(f"no WAV file: {error}") from error


def _read(folder: Path) -> dict[str, bytes]:
    """Recordings of a folder by name; none if there are none."""
    recordings = {}
    archive = folder / _ARCHIVE
    if (folder / "recordings").is_dir():
        for path in (folder / "recordings").glob("*.wav"):
            recordings[path.name] = path.read_bytes()
    elif archive.is_file():
        with tarfile.open(archive) as files:  # read member by member; nothing is extracted
            for member in files:
                file = files.extractfile(member) if member.name.endswith(".wav") else None
                if file is not None:
                    recordings[Path(member.name).name] = file.read(MAX_BYTES)
    return recordings


def find_fsdd(data_dir: Path | None) -> tuple[Path, dict[str, bytes]]:
    """Folder and recordings by name. Raises :class:`DataError` with the command to get them, or the wrong digest."""
    for where in folders(data_dir):
        folder = where / "fsdd"
        try:
            recordings = _read(folder)
        except (OSError, EOFError, tarfile.TarError) as error:
            raise DataError(f"{folder}: {error}") from error
        if recordings:
            break
    else:
        folder = folders(data_dir)[0] / "fsdd"
        command = f"git clone --depth 1 {REPOSITORY} {shlex.quote(str(folder))}"
        raise DataError(f"no fsdd in {folder.parent}; get it with: {command}")
    found = digest(recordings)
    if found != SHA256:
        raise DataError(f"recordings in {folder} have SHA-256 {found}, not {SHA256}; delete them and get them again")
    return folder, recordings


def load_fsdd(data_dir: Path | None) -> Dataset:
    """2,700 training and 300 test images of 49 frames by 16 bands; see :func:`sterna.data.load`."""
    folder, recordings = find_fsdd(data_dir)
    parts: dict[bool, list[tuple[npt.NDArray[np.uint8], int]]] = {False: [], True: []}
    for name in sorted(recordings):
        match = _NAME.fullmatch(name)
        try:
            if match is None:
                raise ValueError("its name is not DIGIT_SPEAKER_INDEX.wav")
            samples = read_wave(recordings[name])
        except ValueError as error:
            raise DataError(f"{folder}: {name}: {error}") from error
        parts[int(match[2]) < TESTED].append((log_mel(samples), int(match[1])))
    images = {part: np.stack([image for image, _ in entries]) for part, entries in parts.items()}
    labels = {part: np.array([label for _, label in entries], np.int64) for part, entries in parts.items()}
    return Dataset(
        name="fsdd",
        train_images=images[False],
        train_labels=labels[False],
        test_images=images[True],
        test_labels=labels[True],
        classes=tuple("0123456789"),
        low=0.0,
        high=STEPS,
        scale=1.0,
    )
