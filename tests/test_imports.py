"""Which package may import what, so that the driver installs without torch and without the hardware tools."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOFTWARE = sorted((ROOT / "sw" / "sterna").rglob("*.py"))


def imported(path):
    """Top-level packages that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", SOFTWARE, ids=lambda path: str(path.relative_to(ROOT)))
def test_software_never_imports_amaranth_and_torch_only_in_train_and_quant(path):
    packages = set(imported(path))
    assert not packages & {"amaranth", "amaranth_boards"}
    if path.relative_to(ROOT / "sw" / "sterna").parts[0] not in ("train", "quant"):
        assert "torch" not in packages


def test_golden_and_spec_load_without_torch_and_amaranth():
    check = "import sys, sterna; sterna.load; assert not {'torch', 'amaranth', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_exactly_one_root_has_a_top_module():
    tops = [root for root in ("hw", "sw", "sim") if (ROOT / root / "sterna" / "__init__.py").exists()]
    assert tops == ["sw"]
