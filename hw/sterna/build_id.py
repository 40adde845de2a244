"""Build id: which gateware, made by which tools, a device runs."""

import hashlib
from functools import lru_cache
from pathlib import Path

import amaranth

import sterna.gateware
import sterna.spec
from sterna.spec.configuration import Configuration


def build_id(configuration: Configuration, *toolchain: str) -> int:
    """First 8 bytes of the SHA-256 over the gateware's and the contracts' sources, the configuration, and the names and
    versions of the tools, as a little-endian number. Amaranth is always among them."""
    plan = [_sources().hex(), repr(configuration), f"amaranth {amaranth.__version__}", *toolchain]
    return int.from_bytes(hashlib.sha256("\n".join(plan).encode()).digest()[:8], "little")


@lru_cache(maxsize=1)
def _sources() -> bytes:
    digest = hashlib.sha256((Path(__file__).parent / "accelerator.py").read_bytes())
    for package in (sterna.gateware, sterna.spec):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()
