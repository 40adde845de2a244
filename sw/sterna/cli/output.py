"""What all verbs share: errors on one line, tables, JSON, progress on standard error."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from sterna.cli import INTERRUPTED
from sterna.spec.errors import SternaError

P = ParamSpec("P")
R = TypeVar("R")


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"sterna: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """Errors that the package raises on purpose, and those of the operating system, become one line and exit code 1;
    Ctrl-C becomes exit code 130."""

    @functools.wraps(verb)
    def guard(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return verb(*arguments, **options)
        except SternaError as error:
            _fail(str(error))
        except BrokenPipeError:  # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except ModuleNotFoundError as error:
            _fail(f"the Python package {error.name} is missing; mend: `sterna doctor` says how to get it")
        except MemoryError as error:
            _fail(f"out of memory: {str(error) or 'no details'}")
        except KeyboardInterrupt:
            _fail("interrupted", INTERRUPTED)

    return guard


def print_json(values: Any) -> None:
    """One line of JSON on standard output."""
    typer.echo(json.dumps(values, allow_nan=False))


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on standard output; all columns but the first are numbers."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 100).print(table)


class Work:
    """Progress of one verb: one bar a task. Silent where standard error is not a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def counted(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """A bar; call what is given with how many are done and of how many."""
        task = self._progress.add_task(text, total=None)
        yield lambda done, total: self._progress.update(task, completed=done, total=total)
        self._finish(task)

    @contextmanager
    def described(self, text: str) -> Iterator[Callable[[str], None]]:
        """A spinner; call what is given with what is being done."""
        task = self._progress.add_task(text, total=None)
        yield lambda what: self._progress.update(task, description=f"{text}: {what}")
        self._progress.update(task, description=text)
        self._finish(task)

    def _finish(self, task: Any) -> None:
        total = next(entry.total for entry in self._progress.tasks if entry.id == task)
        self._progress.update(task, completed=total or 1, total=total or 1)


@contextmanager
def work() -> Iterator[Work]:
    """Shows progress on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
               MofNCompleteColumn(), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Work(progress)
