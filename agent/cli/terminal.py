"""Where a command's lines go, who answers its question, and how waiting shows."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import typer

ShowProgress = Callable[[str, int, int], None]
"""Told what is going on, how much of it is done, and of how much."""


class Terminal(Protocol):
    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer."""
        ...

    def say(self, line: str) -> None: ...

    def ask(self, question: str) -> bool: ...

    def progress(self) -> AbstractContextManager[ShowProgress]: ...


class StandardTerminal:
    """The process's own streams. With `quiet` (for --json) standard output is left to the document."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    @property
    def can_ask(self) -> bool:
        return sys.stdin is not None and sys.stdin.isatty()

    def say(self, line: str) -> None:
        if not self._quiet:
            typer.echo(line)

    def ask(self, question: str) -> bool:
        """Yes or no; no when the input ends."""
        try:
            return typer.confirm(question, err=self._quiet)
        except typer.Abort:
            return False

    def progress(self) -> AbstractContextManager[ShowProgress]:
        stream = sys.stderr if self._quiet else sys.stdout
        return _bar(stderr=self._quiet) if stream.isatty() else _lines(self.say)


@contextmanager
def _bar(*, stderr: bool) -> Iterator[ShowProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=stderr)) as bar:
        task = bar.add_task("", total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)


@contextmanager
def _lines(say: Callable[[str], None]) -> Iterator[ShowProgress]:
    """A line for each change."""
    last = ""

    def show(text: str, done: int, total: int) -> None:
        nonlocal last
        line = f"{text}: {done} of {total} paid"
        if line != last:
            say(line)
        last = line

    yield show
