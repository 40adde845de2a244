"""Runs a cocotb bench on a Verilated component; the executable comes from the same cache as the device's."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cocotb_tools.config
from amaranth.lib import wiring
from cocotb_tools.runner import get_runner

from sterna.flow.verilog import TOP, to_verilog
from sterna.sim.cache import cache_directory
from sterna.sim.verilate import Progress, quiet, verilate

_PARAMETERS = "STERNA_BENCH"


class BenchFailedError(AssertionError):
    """A bench failed; the text names its tests and shows the end of its log."""


def parameters() -> dict[str, Any]:
    """For use in a bench: the ``parameters`` given to :func:`run_bench`."""
    found: dict[str, Any] = json.loads(os.environ.get(_PARAMETERS, "{}"))
    return found


def _verdict(results: Path) -> tuple[list[str], list[str]]:
    """Names of the tests that passed, and those that did not with their messages, of a JUnit file."""
    passed, failed = [], []
    for case in ElementTree.parse(results).getroot().iter("testcase"):  # noqa: S314
        problems = [part for part in case if part.tag in {"failure", "error"}]
        name = case.get("name", "?")
        if problems:
            failed.append(f"{name}: {problems[0].get('error_msg') or problems[0].get('message') or 'failed'}")
        elif case.find("skipped") is None:
            passed.append(name)
    return passed, failed


def run_bench(
    component: wiring.Component,
    module: str,
    *,
    name: str = "bench",
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    testcase: str | None = None,
    internals: bool = False,
    waves: Path | None = None,
    progress: Progress = quiet,
) -> list[str]:
    """Runs the cocotb tests of ``module`` on ``component`` and returns the names of those that passed: at least one.

    * ``module``: import path of the bench, not named ``test_*``. ``testcase``: only this test of it.
    * ``seed``: cocotb's random seed. ``parameters``: values for the bench (JSON), see :func:`parameters`.
    * ``internals``: whether the bench sees signals below the top's ports (slower).
    * ``waves``: folder in which ``dump.vcd`` is written.

    Raises :class:`BenchFailedError` if a test fails, if the simulation ends without results or if no test ran,
    :class:`sterna.spec.errors.ToolError` if a build tool is missing or fails.
    """
    libraries = cocotb_tools.config.libs_dir
    executable = verilate(
        to_verilog(component),
        Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp",
        flags=["--vpi", "--timescale", "1ns/1ps", *(["--public-flat-rw"] if internals else []),
               "-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"],
        public=f'public_flat_rw -module "{TOP}" -var "*"\n',
        waves=waves is not None,
        name=name,
        progress=progress,
    )  # fmt: skip
    runs = cache_directory() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=runs) as folder:
        test_dir = waves or Path(folder)
        results, log = Path(folder) / "results.xml", Path(folder) / "bench.log"
        runner = get_runner("verilator")
        # The runner names the executable after the top module.
        build_dir = Path(folder) / "build"
        build_dir.mkdir()
        (build_dir / TOP).symlink_to(executable)
        ended = ""
        try:
            runner.test(
                test_module=module, hdl_toplevel=TOP, hdl_toplevel_lang="verilog", build_dir=build_dir,
                test_dir=test_dir, results_xml=str(results), seed=seed, testcase=testcase, waves=waves is not None,
                log_file=log, extra_env={_PARAMETERS: json.dumps(dict(parameters or {})), "COCOTB_ANSI_OUTPUT": "0"},
            )  # fmt: skip
        except (SystemExit, RuntimeError) as error:  # how the runner says that tests failed, or left no results
            ended = str(error)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-60:]) if log.exists() else "no log"
        if not results.exists():
            raise BenchFailedError(f"{module}: the simulation ended without results: {ended}\n{tail}")
        passed, failed = _verdict(results)
        if failed or not passed:
            reason = "; ".join(failed) if failed else "no test ran"
            raise BenchFailedError(f"{module}: {reason}\n{tail}")
        return passed
