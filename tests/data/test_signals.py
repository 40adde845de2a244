"""Speech, sensors and text: how recordings, rows and bytes become what networks take."""

import io
import json
import os
import re
import tarfile
import wave
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from sterna import data
from sterna.data import fsdd, log_mel, nab, skab, source, text
from sterna.data.dataset import Dataset
from sterna.data.metric import ACCURACY, RECONSTRUCTION_AUC, area_under_curve, bits_per_byte
from sterna.data.source import RemoteFile
from sterna.data.windows import any_within, standardised, windows
from sterna.spec.errors import DataError

FOLDER = os.environ.get(source.DATA_VARIABLE)


@pytest.mark.skipif(not FOLDER, reason="STERNA_DATA does not name a folder of data sets")
@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("fsdd", (2700, 49, 16, 1), (300, 49, 16, 1)),
        ("skab", (4439, 16, 8, 1), (20639, 16, 8, 1)),
        ("skab_valve2", (4439, 16, 8, 1), (2652, 16, 8, 1)),
        ("nab", (3371, 32, 1, 1), (19250, 32, 1, 1)),
        ("nab_ambient", (1059, 32, 1, 1), (6146, 32, 1, 1)),
    ],
)
def test_a_local_folder_gives_the_published_recordings(name, train, test):
    folder = {"nab_ambient": "nab", "skab_valve2": "skab"}.get(name, name)
    if not (Path(FOLDER) / folder).is_dir():
        pytest.skip(f"STERNA_DATA has no {folder}")
    loaded = data.load(name, FOLDER)
    assert (loaded.train_images.shape, loaded.test_images.shape) == (train, test)
    assert np.array_equal(loaded.input.quantise(loaded.test_images), loaded.test_images)
    assert set(loaded.test_labels.tolist()) == set(range(len(loaded.classes)))
    assert data.fetch("fsdd", FOLDER) == Path(FOLDER) / "fsdd"


# Metrics


def labelled(images: np.ndarray, labels: list[int], **fields: object) -> Dataset:
    return Dataset(
        name="made", train_images=images, train_labels=np.array(labels), test_images=images,
        test_labels=np.array(labels), classes=("a", "b"), low=0, high=4, scale=1, **fields,
    )  # fmt: skip


def test_accuracy_is_the_share_of_largest_outputs_at_the_label():
    made = labelled(np.zeros((3, 1, 1, 1), np.uint8), [0, 1, 1])
    assert made.metric is ACCURACY
    assert made.metric.outputs(made) == 2
    assert made.metric(np.array([[1.0, 0], [1, 0], [0, 1]]), made) == pytest.approx(2 / 3)


def test_what_is_reproduced_worse_counts_as_anomalous():
    images = np.array([0, 4, 2, 2], np.uint8).reshape(4, 1, 1, 1)
    made = labelled(images, [0, 0, 1, 1], metric=RECONSTRUCTION_AUC)
    assert made.metric.outputs(made) == 1
    assert made.metric(np.array([[0.0], [1], [0], [1]]), made) == 1.0
    assert made.metric(np.array([[1.0], [0], [0.5], [0.5]]), made) == 0.0
    assert made.metric(np.array([[0.5], [0.5], [0], [1]]), made) == 0.5


def test_the_area_counts_pairs_and_halves_ties():
    scores = np.random.default_rng(1).integers(0, 5, 60).astype(float)
    positive = np.random.default_rng(2).random(60) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    assert area_under_curve(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)
    with pytest.raises(DataError, match="0 positives and 60 negatives: a curve needs both"):
        area_under_curve(scores, np.zeros(60, np.bool_))


def test_a_byte_of_256_equally_likely_ones_costs_eight_bits():
    assert bits_per_byte(float(np.log(256))) == pytest.approx(8)


# Windows


def test_rows_become_steps_of_the_references_deviation_and_are_cut_off():
    reference = np.array([[0.0, 5], [2, 5]])  # means 1 and 5, deviations 1 and 0
    rows = np.array([[1.0, 5], [7, 5.1], [-50, 4]])
    found = standardised(rows, reference, np.array([0.5, 0.6]))
    assert found.tolist() == [[0, 0], [127, 4], [-127, -35]]
    assert found.dtype == np.int8
    assert not standardised(reference[:, 1:], reference[:, 1:], np.zeros(1)).any()


def test_a_window_holds_its_rows_and_is_anomalous_if_any_of_them_is():
    rows = np.arange(10, dtype=np.int8).reshape(5, 2)
    found = windows(rows, 3, 2)
    assert found.shape == (2, 3, 2, 1)
    assert np.array_equal(found[1, :, :, 0], rows[2:])
    assert any_within(np.array([0, 0, 0, 1, 0], np.bool_), 3, 1).tolist() == [0, 1, 1]


# SKAB

HEADER = "datetime;" + ";".join(skab.SENSORS)


def run_of(count: int, anomalous: range | None = None) -> str:
    lines = [HEADER + (";anomaly;changepoint" if anomalous is not None else "")]
    for row in range(count):
        flags = "" if anomalous is None else f";{float(row in anomalous)};0.0"
        lines.append(f"2020-03-09 10:14:33;{';'.join(str((row * k) % 7) for k in range(1, 9))}{flags}")
    return "\n".join(lines) + "\n"


def test_a_run_has_eight_sensors_and_perhaps_labels():
    rows, flags = skab.parse_run(run_of(3), labelled=False)
    assert rows.shape == (3, 8)
    assert rows[1].tolist() == [1, 2, 3, 4, 5, 6, 0, 1]
    assert not flags.any()
    assert skab.parse_run(run_of(3, range(1, 2)), labelled=True)[1].tolist() == [False, True, False]
    with pytest.raises(ValueError, match=r"columns are 'datetime;.*'; expected 'datetime;.*;anomaly;changepoint'"):
        skab.parse_run(run_of(3), labelled=True)
    with pytest.raises(ValueError, match="values that are not finite"):
        skab.parse_run(run_of(2).replace(";6;", ";nan;"), labelled=False)


def place(folder: Path, sources: dict[str, RemoteFile], contents: dict[str, str]) -> dict[str, RemoteFile]:
    """Writes files, and gives their sources with these contents' digests."""
    found = {}
    for file, content in contents.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        found[file] = RemoteFile(url=sources[file].url, sha256=source.sha256_of(path))
    return found


def test_the_anomaly_free_file_trains_and_labelled_runs_test(tmp_path: Path, monkeypatch):
    files = {
        "data/anomaly-free/anomaly-free.csv": run_of(850),
        "data/valve1/0.csv": run_of(450, range(420, 430)),
        "data/other/1.csv": run_of(420, range(0)),
    }
    monkeypatch.setitem(skab.SOURCES, "skab", place(tmp_path / "skab", skab.SOURCES["skab"], files))
    loaded = data.load("skab", tmp_path)
    assert loaded.train_images.shape == (2 * 193, 16, 8, 1)
    assert loaded.test_images.shape == (35 + 5, 16, 8, 1)
    assert loaded.test_labels.sum() == 25  # windows that begin at rows 405 to 429
    assert not loaded.train_labels.any()
    assert loaded.metric is RECONSTRUCTION_AUC


def test_a_run_that_is_no_run_is_named(tmp_path: Path, monkeypatch):
    files = {"data/anomaly-free/anomaly-free.csv": "a;b\n"}
    monkeypatch.setitem(skab.SOURCES, "skab", place(tmp_path / "skab", skab.SOURCES["skab"], files))
    with pytest.raises(DataError, match=r"anomaly-free\.csv: columns are 'a;b'; expected"):
        data.load("skab", tmp_path)


# NAB


def test_of_rows_with_the_same_time_the_first_counts():
    times, rows = nab.parse_series(
        "timestamp,value\n2013-12-02 21:15:00,1\n2013-12-02 21:15:00,2\n2013-12-02 21:20:00,3"
    )
    assert times == [datetime(2013, 12, 2, 21, 15), datetime(2013, 12, 2, 21, 20)]
    assert rows.tolist() == [[1.0], [3.0]]
    with pytest.raises(ValueError, match="columns are 'time'; expected 'timestamp,value'"):
        nab.parse_series("time\n")


def test_the_first_rows_train_and_published_windows_label_the_rest(tmp_path: Path, monkeypatch):
    (series,) = [file for file in nab.SOURCES["nab"] if file.endswith("csv")]
    lines = [f"2014-01-{1 + row // 24:02d} {row % 24:02d}:00:00,{row % 5}" for row in range(400)]
    spans = [["2014-01-05 00:00:00.000000", "2014-01-05 03:00:00.000000"]]
    files = {
        series: "\n".join(["timestamp,value", *lines]),
        "combined_windows.json": json.dumps({f"realKnownCause/{series}": spans}),
    }
    monkeypatch.setitem(nab.SOURCES, "nab", place(tmp_path / "nab", nab.SOURCES["nab"], files))
    loaded = data.load("nab", tmp_path)
    assert loaded.train_images.shape == (60 - 31, 32, 1, 1)
    assert loaded.test_images.shape == (340 - 31, 32, 1, 1)
    assert np.flatnonzero(loaded.test_labels).tolist() == list(range(96 - 60 - 31, 99 - 60 + 1))


def test_a_series_that_the_labels_do_not_know_is_refused(tmp_path: Path, monkeypatch):
    (series,) = [file for file in nab.SOURCES["nab"] if file.endswith("csv")]
    files = {series: "timestamp,value\n2014-01-01 00:00:00,1", "combined_windows.json": "{}"}
    monkeypatch.setitem(nab.SOURCES, "nab", place(tmp_path / "nab", nab.SOURCES["nab"], files))
    with pytest.raises(DataError, match=re.escape(series)):
        data.load("nab", tmp_path)


def test_both_series_lie_in_one_folder_and_are_fetched_by_their_own_names(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"no nab_ambient in .*; get it with: python -m sterna\.data nab_ambient --data"
    ):
        data.load("nab_ambient", tmp_path)


# Speech


def wave_of(samples: np.ndarray, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def tone(hertz: float, samples: int) -> np.ndarray:
    return (1000 * np.sin(2 * np.pi * hertz * np.arange(samples) / log_mel.RATE)).astype(np.int16)


def test_clips_are_padded_on_both_sides_or_cut_to_their_middle():
    assert np.flatnonzero(log_mel.fitted(np.ones(3, np.int16))).tolist() == [3998, 3999, 4000]
    assert log_mel.fitted(np.arange(8004, dtype=np.int16)).tolist() == list(range(2, 8002))
    assert len(log_mel.fitted(np.zeros(0, np.int16))) == log_mel.SAMPLES


def test_a_tone_is_loudest_in_its_band_and_silence_is_zeros():
    centres = [int(log_mel.mel_filters()[band].argmax()) * log_mel.RATE / log_mel.FRAME for band in (4, 9, 14)]
    for band, hertz in zip((4, 9, 14), centres, strict=True):
        features = log_mel.log_mel(tone(hertz, 4000))
        assert features.shape == (49, 16, 1)
        assert features.dtype == np.uint8
        assert features[24, :, 0].argmax() == band
        assert features.max() == 127
        assert not features[:11].any()
    assert not log_mel.log_mel(np.zeros(100, np.int16)).any()


def test_loudness_does_not_matter():
    quiet, loud = tone(500, 8000), 8 * tone(500, 8000)
    assert np.array_equal(log_mel.log_mel(quiet), log_mel.log_mel(loud))


@pytest.fixture
def spoken(tmp_path: Path, monkeypatch) -> Path:
    recordings = {
        f"{digit}_ann_{index}.wav": wave_of(tone(200 + 100 * digit, 500 + index))
        for digit in (0, 1)
        for index in (4, 5)
    }
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for name, content in recordings.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(fsdd, "SHA256", fsdd.digest(recordings))
    return tmp_path


def test_indices_up_to_four_are_held_out(spoken: Path):
    loaded = data.load("fsdd", spoken)
    assert (loaded.train_labels.tolist(), loaded.test_labels.tolist()) == ([0, 1], [0, 1])
    assert loaded.input.shape == (49, 16, 1)


def test_recordings_are_read_from_an_archive_as_well(spoken: Path):
    folder = spoken / "fsdd"
    wanted = data.load("fsdd", spoken)
    with tarfile.open(folder / "recordings.tar.xz", "w:xz") as archive:
        archive.add(folder / "recordings", "recordings")
    (folder / "recordings").rename(folder / "away")
    assert np.array_equal(data.load("fsdd", spoken).train_images, wanted.train_images)
    (folder / "recordings.tar.xz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="fsdd: "):
        data.load("fsdd", spoken)


def test_missing_recordings_name_the_command_that_gets_them(tmp_path: Path):
    text = f"no fsdd in {tmp_path}; get it with: git clone --depth 1 {fsdd.REPOSITORY} {tmp_path / 'fsdd'}"
    for function in (data.load, data.fetch):
        with pytest.raises(DataError, match=re.escape(text)):
            function("fsdd", tmp_path)


def test_other_recordings_are_refused(spoken: Path, monkeypatch):
    (spoken / "fsdd" / "recordings" / "2_ann_7.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"have SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}; delete them"):
        data.load("fsdd", spoken)
    monkeypatch.setattr(fsdd, "digest", lambda _: fsdd.SHA256)
    with pytest.raises(DataError, match=r"2_ann_7\.wav: no WAV file"):
        data.load("fsdd", spoken)
    (spoken / "fsdd" / "recordings" / "2_ann_7.wav").rename(spoken / "fsdd" / "recordings" / "two.wav")
    with pytest.raises(DataError, match=r"two\.wav: its name is not DIGIT_SPEAKER_INDEX\.wav"):
        data.load("fsdd", spoken)


def test_another_rate_is_refused():
    with pytest.raises(ValueError, match="1 channels of 2 bytes at 16000 Hz; expected 1 of 2 at 8000"):
        fsdd.read_wave(wave_of(tone(100, 10), 16000))


# Text


def test_text_is_cut_into_pieces_that_follow_each_other(tmp_path: Path, monkeypatch):
    written = bytes(range(200))
    folder = tmp_path / text.FOLDER
    folder.mkdir()
    (folder / "tinyshakespeare.txt").write_bytes(written)
    remote = RemoteFile(url=None, sha256=source.sha256_of(folder / "tinyshakespeare.txt"))
    monkeypatch.setitem(text.SOURCES, "tinyshakespeare", {"tinyshakespeare.txt": remote})
    loaded = data.load_text(data_dir=tmp_path)
    assert [len(piece) for piece in (loaded.train, loaded.validation, loaded.test)] == [180, 10, 10]
    assert b"".join(piece.tobytes() for piece in (loaded.train, loaded.validation, loaded.test)) == written


def test_a_missing_text_names_the_command_and_an_unknown_one_the_known(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"no tinyshakespeare in .*; get it with: python -m sterna\.data tinyshakespeare"
    ):
        data.load_text(data_dir=tmp_path)
    with pytest.raises(DataError, match="no data set 'bible'; known: tinyshakespeare, tinystories_942k"):
        data.load_text("bible")
    with pytest.raises(DataError, match=r"tinystories_942k is not published; put tinystories_942k\.txt into .*text by"):
        data.fetch("tinystories_942k", tmp_path)
