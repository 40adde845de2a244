"""NAB, the Numenta anomaly benchmark (Lavin and Ahmad 2015): two temperature series with known failures.

``nab`` is a machine's, every five minutes, ``nab_ambient`` an office's, every hour. As in the benchmark, a model learns
from the first 15 %, in which no failure is labelled, and is held against the rest. Where a time comes twice (clocks
set back) the first row counts. An image is a window of 32 rows; it is anomalous if any of its rows lies in one of the
published windows.
"""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sterna.data.dataset import Dataset
from sterna.data.metric import RECONSTRUCTION_AUC
from sterna.data.source import RemoteFile, locate
from sterna.data.windows import STEPS, any_within, standardised, windows
from sterna.spec.errors import DataError

LENGTH = 32
"""Rows of a window."""
TRAINED = 0.15
"""Share of the series that is trained on."""

_BASE = "https://raw.githubusercontent.com/numenta/NAB/master/"
_WINDOWS = "combined_windows.json"
_SERIES = {
    "nab": "machine_temperature_system_failure.csv",
    "nab_ambient": "ambient_temperature_system_failure.csv",
}
_DIGESTS = {
    "nab": "92bf5b87fc7f9bba8ca0b7ec63ccaac8cb4a1371a258e8c29a10ae9c018d82a4",
    "nab_ambient": "230b68ccca20f59d562afd5d24ad52939c9b784386bed0054018358bf9120581",
}

FOLDER = "nab"
"""Of both."""

SOURCES = {
    name: {
        file: RemoteFile(url=f"{_BASE}data/realKnownCause/{file}", sha256=_DIGESTS[name]),
        _WINDOWS: RemoteFile(
            url=f"{_BASE}labels/{_WINDOWS}", sha256="1e1fbc4601321aad8d0f8b3784c8134299379f68f6c1f7777565f8ffd57ab6b1"
        ),
    }
    for name, file in _SERIES.items()
}


def parse_series(text: str) -> tuple[list[datetime], npt.NDArray[np.float64]]:
    """Parses ``timestamp,value`` rows; of rows with the same time the first is kept.

    Returns times and float64 (rows, 1). Raises :class:`ValueError` saying what is wrong.
    """
    first, *lines = text.splitlines()
    if first != "timestamp,value":
        raise ValueError(f"columns are {first!r}; expected 'timestamp,value'")
    rows: dict[datetime, float] = {}
    for line in lines:
        time, value = line.split(",")
        rows.setdefault(datetime.fromisoformat(time), float(value))
    return list(rows), np.array(list(rows.values()))[:, np.newaxis]


def load_nab(name: str, data_dir: Path | None) -> Dataset:
    """Windows before and after 15 % of the series; see :func:`sterna.data.load`."""
    paths = {file: locate(FOLDER, file, remote, data_dir, name) for file, remote in SOURCES[name].items()}
    file = _SERIES[name]
    try:
        times, rows = parse_series(paths[file].read_text())
        published = json.loads(paths[_WINDOWS].read_text())[f"realKnownCause/{file}"]
        spans = [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in published]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{paths[file]}: {error}") from error
    anomalous = np.array([any(start <= time <= end for start, end in spans) for time in times])
    cut = int(TRAINED * len(rows))
    steps = standardised(rows, rows[:cut], np.zeros(1))
    train = windows(steps[:cut], LENGTH, 1)
    return Dataset(
        name=name,
        train_images=train,
        train_labels=np.zeros(len(train), np.int64),
        test_images=windows(steps[cut:], LENGTH, 1),
        test_labels=any_within(anomalous[cut:], LENGTH, 1),
        classes=("normal", "anomalous"),
        low=-STEPS,
        high=STEPS,
        scale=1.0,
        metric=RECONSTRUCTION_AUC,
    )
