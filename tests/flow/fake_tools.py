"""Tools that do nothing but leave the files that the real ones would, and say what they were asked."""

import json
import sys
from itertools import pairwise
from pathlib import Path

FMAX = {1: 41.5, 2: 38.0, 3: 44.25}


def yosys() -> int:
    kinds = {"a": "$scopeinfo", "a.b": "$scopeinfo", "a.b.c": "SB_LUT4", "a.b.d": "SB_DFFESR", "a.e": "SB_CARRY"}
    cells = {name: {"type": kind, "port_directions": {}, "connections": {}} for name, kind in kinds.items()}
    cells["a.b.c"] |= {"port_directions": {"O": "output"}, "connections": {"O": [2]}}
    cells["a.e"] |= {"port_directions": {"CI": "input"}, "connections": {"CI": [3]}}
    Path("top.json").write_text(json.dumps({"modules": {"top": {"cells": cells, "netnames": {}}}}))
    return 0


def nextpnr(arguments: list[str]) -> int:
    given = dict(pairwise(arguments))
    used = 6000 if Path("too-large").exists() else 4000
    print(f"Info: \t         ICESTORM_LC:    {used}/   5280    76%", flush=True)
    if Path("broken").exists():
        print("ERROR: no route")
        return 1
    if Path(f"no-place-{given['--seed']}").exists():
        print("ERROR: Unable to find legal placement for all cells, design is probably at utilisation limit.")
        return 125
    piece = {"type": "logic", "delay": 1.5}
    report = {
        "utilization": {"ICESTORM_LC": {"used": used, "available": 5280}, "SB_IO": {"used": 4, "available": 39}},
        "fmax": {} if Path("unconstrained").exists() else {
            "clk": {"achieved": FMAX[int(given["--seed"])], "constraint": 39.0},
            "lock": {"achieved": 200.0, "constraint": 39.0},
        },
        "critical_paths": [{"from": "posedge clk", "to": "posedge clk", "path": [
            piece | {"from": {"cell": "accelerator.core.lanes.tree_SB_DFF_Q"}},
            piece | {"from": {"cell": "accelerator.core.lanes.x.y"}},
            piece | {"from": {"cell": "accelerator.core.capture.held"}},
        ]}],
    }  # fmt: skip
    Path(given["--report"]).write_text(json.dumps(report))
    Path(given["--write"]).write_text("{}")
    Path(given["--asc"]).write_text(f"placed with seed {given['--seed']}\n")
    return 0


def icepack(arguments: list[str]) -> int:
    Path(arguments[1]).write_text("packed: " + Path(arguments[0]).read_text())
    return 0


def main() -> int:
    tool, arguments = sys.argv[1], sys.argv[2:]
    with Path("calls").open("a") as calls:
        calls.write(f"{tool}\n")
    if tool == "yosys":
        return yosys()
    return nextpnr(arguments) if tool == "nextpnr-ice40" else icepack(arguments)


if __name__ == "__main__":
    sys.exit(main())
