"""Builds a board: synthesis once, place and route for each seed, the best one packed. Steps done are not done again."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from sterna.boards.board import Board
from sterna.flow.modules import Area, areas
from sterna.flow.plan import Plan, Step, make_plan
from sterna.flow.process import run_logged
from sterna.flow.report import Placement, count_cells, read_placement, resource_name
from sterna.spec.errors import FitError, ToolError

TIMEOUT = 3600.0
"""Seconds for one tool; synthesis takes half a minute, placing a full ECP5 many."""
DESIGN = "top.il"
"""What yosys reads."""
NETLIST = "top.json"
"""What yosys leaves."""
ROUTED = "routed.json"
"""The same after nextpnr, in the seed's folder."""

Progress = Callable[[str], None]

_UTILISATION = re.compile(r"Info:\s+(?P<resource>\w+):\s+(?P<used>\d+)/\s*(?P<available>\d+)\s+\d+%")
_NO_PLACE = "Unable to find legal placement"
_PLACED = {"--asc", "--textcfg", "--log"}
"""Options of nextpnr in Amaranth's command that name what it writes."""
_WRITTEN = {"--asc", "--textcfg", "--report", "--write"}
"""Those that later steps read."""


class _UnplacedError(ToolError):
    """A seed's bad luck."""


@dataclass(frozen=True)
class Built:
    """What a build gave; ``bitstream`` is that of the best placement."""

    board: Board
    folder: Path
    """Logs, netlist, and a folder for each seed."""
    cells: dict[str, int]
    """Of the netlist after synthesis."""
    placements: tuple[Placement, ...]
    """Best first."""
    bitstream: Path

    @property
    def best(self) -> Placement:
        return self.placements[0]

    def summary(self) -> dict[str, object]:
        """The result for scripts."""
        return {
            "board": self.board.name,
            "configuration": self.board.configuration.name,
            "bitstream": str(self.bitstream),
            "frequency": self.board.frequency,
            "cells": self.cells,
            "placements": [asdict(placement) for placement in self.placements],
        }


class Build:
    """A board's build below ``root`` / its name, in a folder named by the plan's digest."""

    def __init__(self, board: Board, *, root: Path, progress: Progress = lambda _: None):
        self.board = board
        self.home = root / board.name
        self._progress = progress
        progress("1/4 design")
        self._plan: Plan = make_plan(board)
        self.folder = self.home / self._plan.digest
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in self._plan.files.items():
            (self.folder / name).write_text(text)

    def synthesise(self) -> dict[str, int]:
        """Cells of the netlist. Raises :class:`ToolError` if yosys is missing or fails."""
        self._run("synthesis", self._plan.synthesis, "2/4 synthesis", [NETLIST])
        return count_cells(self.folder / NETLIST)

    @property
    def synthesiser(self) -> str:
        """Name and version of the tool that makes the netlist."""
        return self._plan.synthesis.tool.version

    def modules(self) -> list[Area]:
        """Cells of the netlist by module."""
        return areas(self.folder / NETLIST, self.folder / DESIGN)

    def place(self, seeds: Iterable[int]) -> list[Placement]:
        """The netlist placed and routed once for each seed, whether clocks are reached or not; best first.

        On a part that is nearly full nextpnr may find no place for all cells with one seed, and with the next it does:
        such seeds are left out unless none is left. Raises :class:`ToolError` if nextpnr is missing or fails,
        :class:`FitError` if the part is too small.
        """
        seeds = list(seeds)
        placements = []
        unplaced: list[_UnplacedError] = []
        for index, seed in enumerate(seeds, 1):
            name = f"seed-{seed}"
            (self.folder / name).mkdir(exist_ok=True)
            step = _with_seed(self._plan.place_and_route, seed, name)
            made = [after for before, after in pairwise(step.arguments) if before in _WRITTEN]
            try:
                self._run(f"{name}/place-and-route", step, f"3/4 place and route, seed {index} of {len(seeds)}", made)
            except _UnplacedError as error:
                unplaced.append(error)
                continue
            report = self.folder / name / "report.json"
            placements.append(read_placement(report, seed=seed, frequency=self.board.frequency))
        if unplaced and not placements:
            raise unplaced[0]
        return sorted(placements, key=lambda placement: (bool(placement.missed), -placement.frequency))

    def pack(self, placement: Placement) -> Path:
        """The bitstream of a placement."""
        name = f"seed-{placement.seed}"
        step = self._plan.packing
        arguments = tuple(f"{name}/{text}" if text.startswith("top.") else text for text in step.arguments)
        packed = self.folder / next(text for text in arguments if text.endswith((".bin", ".bit")))
        self._run(f"{name}/packing", Step(step.tool, arguments), "4/4 packing", [packed])
        bitstream = self.home / f"{self.board.name}{packed.suffix}"
        shutil.copyfile(packed, bitstream)
        return bitstream

    def _run(self, name: str, step: Step, text: str, made: Iterable[str | Path]) -> None:
        """Does a step, unless it was done with the same arguments and left what it ``made``; logs to ``name``.log."""
        log, done = self.folder / f"{name}.log", self.folder / f"{name}.done"
        key = hashlib.sha256("\n".join(step.arguments).encode()).hexdigest()
        if done.exists() and done.read_text() == key and all((self.folder / each).exists() for each in made):
            return
        log.write_text("")

        def line(said: str) -> None:
            if (count := _UTILISATION.search(said)) and int(count["used"]) > int(count["available"]):
                raise FitError(
                    f"{self.board.name} has {count['available']} {resource_name(count['resource'])}, the design needs "
                    f"{count['used']}; mend: a smaller configuration (log: {log})"
                )
            if said.startswith("Info: "):
                self._progress(f"{text}: {' '.join(said.split()[1:])[:60]}")

        self._progress(text)
        command = [*step.tool.command, *step.arguments]
        if code := run_logged(command, folder=self.folder, log=log, timeout=TIMEOUT, line=line):
            lines = log.read_text().splitlines()
            errors = [each for each in lines if "ERROR" in each] or lines[-1:] or ["no message"]
            kind = _UnplacedError if _NO_PLACE in errors[0] else ToolError
            raise kind(f"{step.tool.name} failed with exit code {code}: {errors[0].strip()} (log: {log})")
        done.write_text(key)


def _with_seed(step: Step, seed: int, folder: str) -> Step:
    """Outputs into the seed's folder; a missed clock is judged after all seeds, and not by nextpnr."""
    given = [text for text in step.arguments if text != "--quiet"]
    moved = [f"{folder}/{text}" if before in _PLACED else text for before, text in pairwise(["", *given])]
    further = ("--seed", str(seed), "--report", f"{folder}/report.json", "--write", f"{folder}/{ROUTED}",
               "--timing-allow-fail")  # fmt: skip
    return Step(step.tool, (*moved, *further))


def build_board(board: Board, *, root: Path, seeds: Iterable[int] = (1,), progress: Progress = lambda _: None) -> Built:
    """Design, synthesis, place and route with each seed, the best packed; a summary is left in ``build.json``.

    Raises :class:`ToolError` if a tool is missing or fails and if no placement reaches the clocks asked for,
    :class:`FitError` if the part is too small.
    """
    build = Build(board, root=root, progress=progress)
    for before in (*build.home.glob(f"{board.name}.bi[nt]"), build.home / "build.json"):
        before.unlink(missing_ok=True)  # a build that fails leaves none that flash would take for its own
    cells = build.synthesise()
    placements = build.place(seeds)
    if placements[0].missed:
        tried = "1 seed" if len(placements) == 1 else f"any of {len(placements)} seeds"
        raise ToolError(
            f"{board.name} misses its clock with {tried}: {'; '.join(placements[0].missed)}; "
            f"mend: more --seeds, or a lower frequency of the board (logs: {build.folder})"
        )
    built = Built(board, build.folder, cells, tuple(placements), build.pack(placements[0]))
    (build.home / "build.json").write_text(json.dumps(built.summary(), indent=1) + "\n")
    return built
