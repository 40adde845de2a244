"""Results that were kept: read strictly, held against what rows should reach, drawn, and written into the docs."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sterna.cli.verbs import app
from sterna.spec.errors import DataError
from sterna.train.curve import STYLES, draw, family_of, lines, of_task, plot
from sterna.train.results import Kept, aims, gaps_closed, read, table
from sterna.train.rows import ROWS, Reach
from sterna.train.text_presets import TEXT_PRESETS

DOCS = Path(__file__).parents[2] / "docs"

DENSE = Kept(
    row="mnist-cnn", seeds=[0, 1], accuracy=[0.99, 0.994], median=0.992, fp32_median=0.995, bits_per_weight=2.0,
    metric="accuracy", dataset="mnist", fp32=[0.995, 0.995], weights=28368, command="sterna bench train",
)  # fmt: skip
HALF = dataclasses.replace(DENSE, row="mnist-cnn-50", median=0.985, accuracy=[0.98, 0.99])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kept in (DENSE, HALF):
        (tmp_path / f"train-{kept.row}.json").write_text(json.dumps(dataclasses.asdict(kept)))
    return tmp_path


def test_rows_are_read_by_name_and_what_is_none_is_refused(folder: Path) -> None:
    assert read(folder) == {"mnist-cnn": DENSE, "mnist-cnn-50": HALF}
    (folder / "train-x.json").write_text("{}")
    with pytest.raises(DataError, match=r"train-x\.json does not hold accuracy, bits_per_weight, command"):
        read(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"row": 1}, {"metric": None}, {"dataset": []}, {"command": 0}, {"weights": 0}, {"weights": 2.5},
        {"seeds": 0}, {"seeds": ["0", "1"]}, {"accuracy": []}, {"accuracy": [0.99]}, {"accuracy": [0.99, None]},
        {"fp32": "0.99"}, {"fp32": [float("nan"), 0.9]}, {"seeds": [], "accuracy": [], "fp32": []},
        {"median": "0.9"}, {"fp32_median": None}, {"bits_per_weight": float("inf")},
    ],
)  # fmt: skip
def test_a_file_with_values_that_no_training_gives_is_refused(changes: dict[str, object], folder: Path) -> None:
    (folder / "train-x.json").write_text(json.dumps(dataclasses.asdict(DENSE) | changes))
    with pytest.raises(DataError, match=r"train-x\.json does not hold .*: not true: "):
        read(folder)
    result = CliRunner().invoke(app, ["curve", str(folder)])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"row": 1}', "[" * 100_000])
def test_a_file_that_is_no_row_is_refused(text: str, folder: Path) -> None:
    (folder / "train-x.json").write_text(text)
    with pytest.raises(DataError, match=r"train-x\.json does not hold "):
        read(folder)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    for folder, text in ((tmp_path / "nowhere", "is no folder of"), (tmp_path, "holds no train-ROW.json file")):
        result = CliRunner().invoke(app, ["curve", str(folder)])
        assert result.exit_code == 1
        assert result.stderr.startswith(f"sterna: {folder} {text}")


def test_margins_are_what_a_median_is_better_than_it_had_to_be() -> None:
    reach = Reach(least=0.99, below_float=0.001, below_row=("mnist-cnn", 0.005))
    found = aims(reach, HALF, {"mnist-cnn": DENSE})
    assert [aim.text for aim in found] == [
        "≥ 0.99",
        "at most 0.001 worse than fp32",
        "at most 0.005 worse than mnist-cnn",
    ]
    assert [aim.margin for aim in found] == pytest.approx([-0.005, -0.009, -0.002])
    assert not any(aim.reached for aim in found)
    assert len(aims(reach, HALF, {})) == 2


def test_of_bits_per_byte_less_is_better() -> None:
    text = dataclasses.replace(DENSE, metric="bits per byte", median=2.5, fp32_median=2.3)
    found = aims(Reach(least=2.6, below_float=0.1), text, {})
    assert found[0].text == "≤ 2.6"
    assert [aim.margin for aim in found] == pytest.approx([0.1, -0.1])
    assert [aim.reached for aim in found] == [True, False]


def test_equal_is_not_better_but_it_is_at_least() -> None:
    (better,) = aims(Reach(below_row=("mnist-cnn", 0.0)), DENSE, {"mnist-cnn": DENSE})
    assert (better.text, better.margin, better.reached) == ("better than mnist-cnn", 0, False)
    (least,) = aims(Reach(least=DENSE.median), DENSE, {})
    assert (least.margin, least.reached) == (0, True)


def test_the_table_names_shortfalls() -> None:
    lines = table({"mnist-cnn-50": HALF, "mnist-cnn": DENSE}).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith(
        "| `mnist-cnn` | mnist, accuracy | **0.9920** (0.9900, 0.9940) | 0.9950 | 28368 × 2.00 |"
    )
    assert lines[3].endswith("| at most 0.005 worse than mnist-cnn | -0.0020 short |")


def test_the_share_of_a_gap_that_is_closed_counts_in_the_metrics_direction() -> None:
    def row(name: str, median: float, metric: str) -> Kept:
        return dataclasses.replace(DENSE, row=name, median=median, fp32_median=0.9, metric=metric)

    for metric, ternary, other in (("accuracy", 0.8, 0.85), ("bits per byte", 1.0, 0.95)):
        pair = {"a": row("a", ternary, metric), "a-power-of-three": row("a-power-of-three", other, metric)}
        assert gaps_closed(pair) == {"a": pytest.approx(0.5)}
    assert gaps_closed({"a": row("a", 0.8, "accuracy")}) == {}
    no_loss = {"a": row("a", 0.95, "accuracy"), "a-power-of-three": row("a-power-of-three", 0.9, "accuracy")}
    assert gaps_closed(no_loss) == {}
    noise = {"a": row("a", 0.897, "accuracy"), "a-power-of-three": row("a-power-of-three", 0.899, "accuracy")}
    assert gaps_closed(noise) == {}  # its seeds differ by 0.004


def test_curves_are_drawn_and_listed(folder: Path, tmp_path: Path) -> None:
    draw([DENSE, HALF], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    run = CliRunner().invoke
    out = tmp_path / "plots"
    found = json.loads(run(app, ["curve", str(folder), "-o", str(out), "--json"]).stdout)
    assert [Kept(**each) for each in found] == [HALF, DENSE]
    assert [path.name for path in out.iterdir()] == ["mnist.svg"]
    assert "0.9800…0.9900" in run(app, ["curve", str(folder), "--data", "mnist"]).stdout
    failed = run(app, ["curve", str(folder), "--data", "digits"])
    assert failed.exit_code == 1
    assert failed.stderr == "sterna: no results of digits; there are some of: mnist\n"


def test_the_size_of_the_packed_model_is_listed(folder: Path) -> None:
    assert DENSE.packed_bytes == 28368 * 2 / 8
    assert "7092" in CliRunner().invoke(app, ["curve", str(folder)]).stdout


def test_every_family_has_its_own_colour_and_marker() -> None:
    assert {family_of(name) for name in ROWS} < STYLES.keys()
    colours, markers = zip(*STYLES.values(), strict=True)
    assert len(set(colours)) == len(set(markers)) == len(STYLES)


@pytest.mark.parametrize("dataset", sorted(of_task(read(DOCS / "results"), None)))
def test_in_a_plot_a_family_keeps_its_colour_between_sizes_and_shares_it_with_none(dataset: str) -> None:
    rows = of_task(read(DOCS / "results"), dataset)[dataset]
    for axes in plot(rows).axes:
        colours: dict[str, set[Any]] = {}
        for line in axes.containers:
            colours.setdefault(str(line.get_label()), set()).add(line[0].get_color())
        assert colours.keys() == {"fp32", *(family_of(kept.row) for kept in rows)}
        assert all(len(each) == 1 for each in colours.values())
        assert len(set.union(*colours.values())) == len(colours)


def test_a_line_goes_through_the_sizes_of_one_kind_of_topology() -> None:
    tasks = of_task(read(DOCS / "results"), None)
    sizes = {family: [point.size for point in points] for family, points in lines(tasks["tinyshakespeare"])}
    assert (
        sizes["fp32"]
        == sizes["twn"]
        == [TEXT_PRESETS[f"text-bytelm-{n}"].parameters for n in ("30k", "100k", "300k", "1m")]
    )
    presets = [[point.preset for point in points] for family, points in lines(tasks["mnist"]) if family == "twn"]
    assert sorted(presets) == [["mnist-cnn"], ["mnist-tfc", "mnist-sfc"]]


def test_no_results_at_all_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape("no results of any data set; there are some of: none")):
        of_task(read(tmp_path), None)


def test_the_page_holds_what_was_kept() -> None:
    subprocess.run([sys.executable, DOCS / "training.py", "--check"], check=True, timeout=120)
    assert read(DOCS / "results").keys() <= ROWS.keys()
