"""``sterna simulate`` and the verbs on the Verilated accelerator."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sterna
from sterna.cli.verbs import app
from sterna.sim.networks import random_dense
from sterna.spec.model_file import save_network

NETWORK = random_dense(1, (64, 24, 10))


@pytest.mark.parametrize("served", ["socket", "pty"])
def test_a_served_device_is_open_to_other_programs_until_ctrl_c(served: str) -> None:
    command = [sys.executable, "-c", "from sterna.cli import main; main()", "simulate", "--serve", served, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    images = np.random.default_rng(0).integers(0, 17, (5, 64))
    for _ in range(2):
        with sterna.open(url) as device:
            device.load(NETWORK)
            assert (device.infer(images) == NETWORK.predict(images)).all()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert json.loads(output)["received"] > 0


def test_eval_on_the_simulation_counts_cycles_and_equals_golden(tmp_path: Path) -> None:
    save_network(NETWORK, tmp_path / "m.safetensors")
    arguments = ["eval", str(tmp_path / "m.safetensors"), "--on", "sim:icebreaker", "--limit", "20", "--json"]
    found = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert (found["n"], found["equal_golden"]) == (20, 20)
    slower = json.loads(CliRunner().invoke(app, [*arguments, "--no-activation-skip", "--no-block-skip"]).stdout)
    assert slower["cycles_per_image"] > found["cycles_per_image"] > 0


@pytest.mark.parametrize("option", [["--stalls", "5"], ["--seed", "1"], ["--power-up", "1"], ["--waves", "a.vcd"]])
def test_options_of_a_served_device_are_refused_without_one(option: list[str]) -> None:
    result = CliRunner().invoke(app, ["simulate", *option])
    assert result.exit_code == 1
    assert "of a device that --serve keeps open" in result.output
