"""SKAB, the Skoltech anomaly benchmark (Katser and Kozitsin 2020): a water-circulation rig, eight sensors at 1 Hz.

A model learns from the anomaly-free file and is held against runs that are labelled row by row: 30 of them in ``skab``;
the four of the second valve, ``skab_valve2``, are for choosing hyperparameters. Every run has its
own set points, so each is measured in the mean and standard deviation of its first 400 rows, which the benchmark holds
to be normal (by the labels they are, but for 296 of ``other/2``) and which are not scored. The anomaly-free file is
measured likewise, 400 rows at a time. An image is a window of 16 rows; it is anomalous if any of its rows is.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sterna.data.dataset import Dataset
from sterna.data.metric import RECONSTRUCTION_AUC
from sterna.data.source import RemoteFile, locate
from sterna.data.windows import STEPS, any_within, standardised, windows
from sterna.spec.errors import DataError

LENGTH = 16
"""Rows of a window."""
REFERENCE = 400
"""First rows of a run."""
LEAST_SPREAD = 0.05
"""Smallest standard deviation of a sensor that is believed, as a share of that in the anomaly-free file."""

SENSORS = (
    "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage",
    "Volume Flow RateRMS",
)  # fmt: skip
_LABELS = ("anomaly", "changepoint")
_NORMAL = "anomaly-free/anomaly-free"

_DIGESTS = {
    "anomaly-free/anomaly-free": "7641a8742957100ef424dd97adfb3eeab27d4d180645fe2b3c49b7f7146ae9a6",
    "other/1": "3beaf861bdfe9b4f4eff8e7567c1dd3f506fbd0ce667fc9399d04bd2dc70623d",
    "other/2": "951c326bf36366fa7615b8f28d22f80b3878036069a690f42b3e223737a6a8d1",
    "other/3": "f3c19a89f74f62a475c246b9263f161f7a734dd88304de803939cebaa55c7ebd",
    "other/4": "56ca23f4eb61d1347d079eb9a35c60a59b8b64e160c00dd0c2ec69e0df0b2a4b",
    "other/5": "7347b326df3a92c0810c69add0e5621939af7a1c1cb4755081d088e72d36920f",
    "other/6": "eb8f05622a62c855040ea358b87be35fb1a4a3720ba0610569bab384db4b6e04",
    "other/7": "1bee14f49bfc817ba2c335fb427baa71153d8f8ab52e72652f15f74e4b77daec",
    "other/8": "12c138ed99c198e0a7ece886fe01bfd16bbdde206fad6c5d74322b6b9d6488d0",
    "other/9": "11c4514b0bc706acff637fea6707ad9258ac878fe9dff3d0b11d2b618d94d8ea",
    "other/10": "72683644f6f17689f619076a66a9ec02cbc0502bd669924c4c33951d1bdad9b0",
    "other/11": "98a2fff3b6516205ae2e12f2dd30d7f08465fe4321a1bd5cf823396985ecb37b",
    "other/12": "b0882efbcf2669223ae78bee61c9f10074a9b2375f0e86b8957ae5ce4aad1e72",
    "other/13": "b3f1da02064d11234836a9fa1a2536bb0d3b6c6998ab60b0b71869b98e94d860",
    "other/14": "c7f361e55397cc9efd4a76b6876111eda79b650d10aeb007342ca5972152eaef",
    "valve1/0": "16af3f71313a23dd33d9b7b8065d836d05c3f9257588881cc7fbe07c076d9dc8",
    "valve1/1": "fe4493bf805baef4e6dfb864094275d8cc2ea80a16b3735e2752b18b6aefd812",
    "valve1/2": "90492413469261886c8896c327241448df5da73fd7739cabfec8dd82de3c0ce4",
    "valve1/3": "cb6afea108eddfd8447307e405f86bbb764b8d8e9130d7849a46e1303e19b8b2",
    "valve1/4": "983aed9dc09991a57911091373c580e1b86d06aa983cd51678f108fd8d709654",
    "valve1/5": "78974991ec87b7f9b9b6b2944f4b525468a9beb36c59b06cd7650d9a15eca14a",
    "valve1/6": "97469c0e0c9c0e0ee5d30794f1f36c6785df5816a112a8b16c59637e8c894685",
    "valve1/7": "ca2c9c6d6fa302c642acec6fbedac495bd12fececeee0a755d45a54e340e0f30",
    "valve1/8": "0c4afb92248b5b35b4c9d734a91ed8318346901f04579074903730569e60416c",
    "valve1/9": "2aa1ae1b2ff505caecda24802b877dc686924bbbeeb7e7db4faa261efb5ed5bd",
    "valve1/10": "ee16be8e4b870c779491e3d1dc9e0ecbfaf29eb013e032abff7a33f2cbbfe2ad",
    "valve1/11": "89660fae4ed5c918db014409bbbc29f498fd99c7e956fab2620d18dea700a973",
    "valve1/12": "90adfa9bc86d4556e6a4ce734436fd5685af79c189cd9828f8df75a7f468ce07",
    "valve1/13": "d6cb6a97437215d3066a87e1fcc5fa4e68017629c043c5315920e3cf1060841c",
    "valve1/14": "5f0bb9bc33c5e6c259263e32e25915c4d24c82b0a94554d48808626da05c1d71",
    "valve1/15": "75cc86ab25d7091eee024739fa06d048753480d5d7d1507077231cab4f1b7a7e",
    "valve2/0": "a6670e7a68c7c6ba62c649bd9d350633e80db624578e9529f2b736ced5e32bde",
    "valve2/1": "b35d27f664eb0851ab73e5eb06633404c7eeaf532edff7e40c68eb9379f2012b",
    "valve2/2": "2c3005cf28b88db715b7f4694e826ff252cba4dbb1eba679b040961f80477e60",
    "valve2/3": "86927555d5c523e587d41500bd5dee4e2468289ec1b988ac17755aeae697d7f8",
}

_BASE = "https://raw.githubusercontent.com/waico/SKAB/master/data/"

FOLDER = "skab"
"""Of both."""

SOURCES = {
    name: {
        f"data/{run}.csv": RemoteFile(url=f"{_BASE}{run}.csv", sha256=digest)
        for run, digest in _DIGESTS.items()
        if run == _NORMAL or run.startswith("valve2/") == (name == "skab_valve2")
    }
    for name in ("skab", "skab_valve2")
}


def parse_run(text: str, *, labelled: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Parses a run: fields between semicolons, first the time, then the sensors, then, if labelled, two labels.

    Returns float64 (rows, 8) and bool (rows,), which is all False without labels. Raises :class:`ValueError` saying
    what is wrong.
    """
    first, *lines = text.splitlines()
    columns = ("datetime", *SENSORS, *(_LABELS if labelled else ()))
    if tuple(first.split(";")) != columns:
        raise ValueError(f"columns are {first!r}; expected {';'.join(columns)!r}")
    rows = np.array([line.split(";")[1:] for line in lines if line], np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(columns) - 1 or not np.isfinite(rows).all():
        raise ValueError(f"rows have shape {rows.shape}, or values that are not finite")
    return rows[:, : len(SENSORS)], rows[:, len(SENSORS)] == 1 if labelled else np.zeros(len(rows), np.bool_)


def load_skab(name: str, data_dir: Path | None) -> Dataset:
    """Windows of the anomaly-free file, every second, and all of the labelled runs; see :func:`sterna.data.load`."""
    runs = {}
    for file, remote in SOURCES[name].items():
        path = locate(FOLDER, file, remote, data_dir, name)
        try:
            runs[file] = parse_run(path.read_text(), labelled=_NORMAL not in file)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error
    normal, _ = runs.pop(f"data/{_NORMAL}.csv")
    least = LEAST_SPREAD * normal.std(axis=0)
    pieces = [normal[at : at + REFERENCE] for at in range(0, len(normal) - REFERENCE + 1, REFERENCE)]
    train = np.concatenate([windows(standardised(piece, piece, least), LENGTH, 2) for piece in pieces])
    images, labels = [], []
    for rows, anomalous in runs.values():
        images.append(windows(standardised(rows[REFERENCE:], rows[:REFERENCE], least), LENGTH, 1))
        labels.append(any_within(anomalous[REFERENCE:], LENGTH, 1))
    return Dataset(
        name=name,
        train_images=train,
        train_labels=np.zeros(len(train), np.int64),
        test_images=np.concatenate(images),
        test_labels=np.concatenate(labels),
        classes=("normal", "anomalous"),
        low=-STEPS,
        high=STEPS,
        scale=1.0,
        metric=RECONSTRUCTION_AUC,
    )
