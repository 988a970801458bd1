"""Tables on the terminal: names and texts of strangers lose what could move the cursor, colour or turn a line."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.cli.texts import printable

WIDE = 160
"""Columns where output is no terminal: ids and signatures stay on their line."""


def console() -> Console:
    """Standard output, as wide as what is shown there."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDE)


def show_facts(out: Console, title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Names and values, below a title."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, style="dim"), Text(printable(value)))
    if title:
        out.print(Text(title, style="bold"))
    out.print(table)


def show_rows(out: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table below a title; nothing at all where there are no rows."""
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    if title:
        out.print()
        out.print(Text(title, style="bold"))
    out.print(table)
