"""All verbs in one application."""

import typer

from sterna.cli.bench import bench
from sterna.cli.build import build, export, flash
from sterna.cli.compile import compile_model
from sterna.cli.curve import curve
from sterna.cli.demo import demo
from sterna.cli.doctor import doctor
from sterna.cli.evaluate import evaluate
from sterna.cli.import_model import import_model
from sterna.cli.output import guarded
from sterna.cli.plan import budget, sensitivity
from sterna.cli.prove import prove
from sterna.cli.run import run
from sterna.cli.simulate import simulate
from sterna.cli.train import train
from sterna.cli.verify import verify
from sterna.cli.zoo import zoo

app = typer.Typer(
    name="sterna",
    help="Ternary neural networks on small FPGAs: train, import, compile, simulate, build, infer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for name, verb in (
    ("doctor", doctor),
    ("train", train),
    ("import", import_model),
    ("compile", compile_model),
    ("simulate", simulate),
    ("verify", verify),
    ("build", build),
    ("flash", flash),
    ("export", export),
    ("prove", prove),
    ("eval", evaluate),
    ("run", run),
    ("demo", demo),
    ("sensitivity", sensitivity),
    ("budget", budget),
    ("curve", curve),
    ("zoo", zoo),
):
    app.command(name)(guarded(verb))
app.add_typer(bench, name="bench")
