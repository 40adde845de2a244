"""Writes the results of ``sterna demo`` between the markers of README.md: ``python docs/results.py``.

With ``--check``, exits 1 if what the README holds is not what the demo gives now.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from marked import update

README = Path(__file__).parent.parent / "README.md"


def table(results: dict[str, Any]) -> str:
    """The results of ``sterna demo --json`` as Markdown."""
    accuracy, cycles, model = results["accuracy"], results["cycles_per_image"], results["cycle_model"]
    skipped, link = results["skipped"], results["link_bytes"]
    rows = [
        ("held-out accuracy: float / fake-quantised / golden / device",
         " / ".join(f"{accuracy[kind]:.2%}" for kind in ("float", "quantised", "golden", "device"))),
        ("images with every output equal to golden's", f"{results['equal_golden']} of {results['n']}"),
        ("requantiser values compared / differing",
         f"{results['conversion']['compared']} / {results['conversion']['differing']}"),
        ("cycles per image, dense (cycle model)", f"{cycles['dense']:.1f} ({model['dense']:.1f})"),
        ("cycles per image, with both skips (cycle model)", f"{cycles['with_skip']:.1f} ({model['with_skip']:.1f})"),
        ("issue slots skipped by weight blocks / by activations",
         f"{skipped['weight_blocks']:.1%} / {skipped['activations']:.1%}"),
        ("bits per weight, everything counted", f"{results['bits_per_weight']:.3f}"),
        ("bytes over the link to load", f"{link['load']}"),
    ]  # fmt: skip
    head = ["| `sterna demo` | digits-mlp on sim:icebreaker |", "|---|---|"]
    return "\n".join([*head, *(f"| {measure} | {value} |" for measure, value in rows)])


def measured() -> dict[str, Any]:
    """What the demo gives now."""
    sterna = Path(sys.executable).with_name("sterna")
    done = subprocess.run([sterna, "demo", "--json"], stdout=subprocess.PIPE, text=True, check=True)
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return results


if __name__ == "__main__":
    sys.exit(update(README, "results", "python docs/results.py", table(measured())))
