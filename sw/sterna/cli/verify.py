"""``sterna verify``: random networks on the Verilated accelerator, held against golden and the emulator."""

from importlib import import_module
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna.cli.opening import build
from sterna.cli.output import print_json, print_table, work
from sterna.spec.errors import InputError, ToolError


def verify(
    networks: Annotated[int, typer.Option(min=1, help="How many random networks.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the first network; the next one has the next seed.")] = 0,
    configuration: Annotated[
        list[str] | None,
        typer.Option(help="Build to verify, may be given again; by default all that are there for it."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Simulations at a time.")] = 2,
    waves: Annotated[Path | None, typer.Option(help="VCD file to write; with --networks 1.")] = None,
    coverage: Annotated[
        Path | None, typer.Option(help="Folder for the coverage of lines, toggles and kinds of layers.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run random networks of every kind on the simulated accelerator, with random stalls and power-up contents; compare
    every tensor with golden's and the counters with the emulator's. A failing seed can be run again by itself."""
    if waves is not None and networks != 1:
        raise InputError(f"--waves shows one network, not {networks}; mend: add --networks 1")
    try:
        verification = import_module("sterna.sim.verification")
        measured = import_module("sterna.sim.coverage")
        known = import_module("sterna.sim.configurations")
    except ImportError as error:
        raise ToolError(f"simulating a device needs more tools ({error}); mend: pip install 'sterna[sim]'") from error
    names = configuration or list(known.VERIFIED)
    for name in names:
        known.simulated(name)
    added = ("streamed", "layers", "tensors", "cycles", "memory_stalls")
    totals = {name: dict.fromkeys(("networks", "failed", *added), 0) for name in names}
    failures: list[dict[str, Any]] = []
    functional = measured.FunctionalCoverage(
        sorted({known.simulated(name).act_bits for name in names}), list(map(str, verification.SKIPS))
    )
    code = None if coverage is None else measured.CodeCoverage()
    with work() as shown:
        for name in sorted({names[at % len(names)] for at in range(seed, seed + networks)}):
            build(name, shown, waves=waves is not None, coverage=coverage is not None)
        with shown.counted("verify") as bar:
            seeds = range(seed, seed + networks)
            verdicts = verification.verify(seeds, names, jobs=jobs, waves=waves, coverage=code)
            for done, verdict in enumerate(verdicts, 1):
                bar(done, networks)
                total = totals[verdict.configuration]
                total["networks"] += 1
                total["failed"] += verdict.failure is not None
                for key in added:
                    total[key] += getattr(verdict, key)
                case = verification.make_case(verdict.seed, names)
                for skips in verification.skips_of(case) if verdict.failure is None else ():
                    functional.add(case.network, case.configuration, str(skips))
                if verdict.failure is not None:
                    failures.append({"seed": verdict.seed, "configuration": verdict.configuration,
                                     "failure": verdict.failure})  # fmt: skip
                    typer.echo(f"seed {verdict.seed} on {verdict.configuration}: {verdict.failure}", err=True)
    report: dict[str, Any] = {
        "seed": seed, "networks": networks, "failed": len(failures), "configurations": totals, "failures": failures,
        "functional": functional.summary(),
    }  # fmt: skip
    if coverage is not None and code is not None:
        report["code"] = code.summary()
        coverage.mkdir(parents=True, exist_ok=True)
        (coverage / "coverage.json").write_text(dumps(report, indent=1) + "\n")
        (coverage / "missed-lines.txt").write_text("".join(f"{line}\n" for line in code.missed_lines()))
    if json:
        print_json(report)
    else:
        _print(report, names)
        if failures:
            chosen = "".join(f" --configuration {name}" for name in configuration or [])
            first = failures[0]["seed"]
            typer.echo(f"see the first again: sterna verify --seed {first} --networks 1{chosen} --waves {first}.vcd")
    if failures:
        raise typer.Exit(1)


def _print(report: dict[str, Any], names: list[str]) -> None:
    first, last = report["seed"], report["seed"] + report["networks"] - 1
    print_table(f"seeds {first}…{last}: {report['failed']} of {report['networks']} networks failed",
                ["configuration", "networks", "failed", "streamed", "layers", "tensors", "cycles", "memory stalls"], [
        [name, *(str(value) for value in report["configurations"][name].values())] for name in names
    ])  # fmt: skip
    found = report["functional"]
    print_table("functional coverage: kind × precision × shape × skips", ["group", "covered", "of", "share"], [
        [group, str(hit), str(bins), f"{hit / bins:.1%}"] for group, (hit, bins) in found["groups"].items()
    ])  # fmt: skip
    if "code" in report:
        print_table("code coverage", ["module", "lines", "of", "share", "toggles", "of", "share"], [
            [module, *(cell for hit, points in (counts["line"], counts["toggle"])
                       for cell in (str(hit), str(points), f"{hit / points:.1%}" if points else "-"))]
            for module, counts in report["code"]["modules"].items()
        ])  # fmt: skip
