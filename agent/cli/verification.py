"""What `verify` does: asks for page after page of each rule, from the daemon or from the database itself."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import typer

from agent.cli.client import Looker
from agent.cli.looking import looker
from agent.cli.texts import counted, plain
from agent.web.books_bodies import BadRow, Rule

BROKEN = 3
"""Exit code: a rule does not hold."""
Show = Callable[[Rule, int], None]
"""Told which rule is being checked, and how many rows of it have been looked at."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule after all its pages."""

    rule: Rule
    looked: int
    finding: BadRow | None


async def run(as_json: bool) -> int:
    verdicts: list[Verdict] = []
    async with looker() as look:
        rules = await look.rules()
        with _progress(len(rules)) as show:
            for rule in rules:
                verdict = await _checked(look, rule, show)
                verdicts.append(verdict)
                if not as_json:
                    typer.echo(line(verdict))
    broken = [verdict for verdict in verdicts if verdict.finding is not None]
    code = BROKEN if broken else 0
    if as_json:
        typer.echo(orjson.dumps(_document(verdicts, code), option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(summary(verdicts))
    return code


async def _checked(look: Looker, rule: Rule, show: Show) -> Verdict:
    looked, after = 0, None
    while True:
        page = await look.rule_page(rule.name, after)
        looked += page.looked
        show(rule, looked)
        if page.after is None:
            return Verdict(rule, looked, page.finding)
        after = page.after


def line(verdict: Verdict) -> str:
    """One rule in one line; a broken one with its first bad row."""
    rule, numbers = verdict.rule, ", ".join(verdict.rule.invariants)
    if verdict.finding is None:
        return f"  holds   {rule.name} ({numbers}): {counted(verdict.looked, 'row')}"
    return f"  BROKEN  {rule.name} ({numbers}): {plain(verdict.finding.row)}: {plain(verdict.finding.why)}"


def summary(verdicts: list[Verdict]) -> str:
    broken = [verdict for verdict in verdicts if verdict.finding is not None]
    rows = counted(sum(verdict.looked for verdict in verdicts), "row")
    if not broken:
        return f"All {len(verdicts)} rules hold over {rows}."
    lines = [f"{len(broken)} of {len(verdicts)} rules are broken:"]
    lines += [
        f"  {plain(one.rule.says)}: not so at {plain(one.finding.row)}" for one in broken if one.finding is not None
    ]
    return "\n".join([*lines, "Pause sends, keep a copy of the database, and look at the rows named."])


def _document(verdicts: list[Verdict], code: int) -> dict[str, Any]:
    return {
        "outcome": "broken" if code else "holds",
        "exit_code": code,
        "rules": [
            {
                **verdict.rule.model_dump(),
                "rows": verdict.looked,
                "finding": None if verdict.finding is None else verdict.finding.model_dump(),
            }
            for verdict in verdicts
        ],
    }


@contextmanager
def _progress(rules: int) -> Iterator[Show]:
    """A bar on standard error where somebody watches; nothing else."""
    if not sys.stderr.isatty():
        yield lambda rule, looked: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, seen = bar.add_task("", total=rules), list[str]()

        def show(rule: Rule, looked: int) -> None:
            if rule.name not in seen:
                seen.append(rule.name)
            bar.update(task, description=f"{rule.name}: {counted(looked, 'row')}", completed=len(seen) - 1)

        yield show
