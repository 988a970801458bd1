"""What `reconcile` does: asks the daemon for a report, follows it, and prints what it found."""

from collections.abc import AsyncIterator

import orjson
import typer

from agent.cli.client import AdminClient, AnswerLost, CommandFailed, DaemonDown
from agent.cli.terminal import StandardTerminal
from agent.cli.texts import counted, plain
from agent.web.books_bodies import FindingPage, Report, ReportFinding, ReportPage
from config.admin_access import load_admin_access
from ports.system import SystemClock

PATH = "/admin/api/reconciliations"
RED = 3
"""Exit code: something is neither green nor explained."""
POLL_SECONDS = 1.0
SILENCE_SECONDS = 60.0
"""How long a daemon that restarts may be away before the command gives up."""


async def run(last: bool, explained: bool, as_json: bool) -> int:
    async with AdminClient(load_admin_access()) as client:
        report = await (_latest(client) if last else _new(client, as_json))
        red = [one async for one in _findings(client, report.id, "red")]
        rest = [one async for one in _findings(client, report.id, "explained")] if explained else []
    code = RED if report.red else 0
    if as_json:
        document = {
            **report.model_dump(mode="json"),
            "outcome": "red" if code else "explained" if report.explained else "green",
            "exit_code": code,
            "findings": [one.model_dump(mode="json") for one in (*red, *rest)],
        }
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n".join(lines(report, red, rest)))
    return code


async def _latest(client: AdminClient) -> Report:
    finished = [
        one
        for one in (await client.ask("GET", PATH, ReportPage, query={"limit": "2"})).items
        if one.finished_at is not None
    ]
    if not finished:
        raise CommandFailed("there is no report yet: run `python main.py reconcile` without --last")
    return finished[0]


async def _new(client: AdminClient, quiet: bool) -> Report:
    """Ask, and follow to the end; the daemon may restart meanwhile."""
    clock, terminal = SystemClock(), StandardTerminal(quiet=quiet)
    report = await client.ask("POST", PATH, Report)
    heard, said = clock.monotonic(), ""
    while report.finished_at is None:
        if report.phase != said and not quiet:
            said = report.phase
            terminal.say(f"  {said}…")
        await clock.sleep(POLL_SECONDS)
        try:
            report = await client.ask("GET", f"{PATH}/{report.id}", Report)
            heard = clock.monotonic()
        except (DaemonDown, AnswerLost):
            if clock.monotonic() - heard > SILENCE_SECONDS:
                raise
    return report


async def _findings(client: AdminClient, report_id: int, colour: str) -> AsyncIterator[ReportFinding]:
    after: int | None = 0
    while after is not None:
        query = {"colour": colour, "after": str(after)}
        page = await client.ask("GET", f"{PATH}/{report_id}/findings", FindingPage, query=query)
        for one in page.items:
            yield one
        after = page.next


def lines(report: Report, red: list[ReportFinding], explained: list[ReportFinding]) -> list[str]:
    """A report for people."""
    found = [
        f"Reconciliation {report.id}, {report.finished_at:%Y-%m-%d %H:%M} UTC, asked for by {plain(report.asked_by)}",
        f"  green      {counted(report.green, 'sale')}",
        f"  explained  {counted(report.explained, 'finding')}",
        *(f"    {rows} {code.replace('_', ' ')}" for code, rows in report.reasons.get("explained", {}).items()),
        f"  red        {counted(report.red, 'finding')}",
        *(f"    {_finding(one)}" for one in red),
    ]
    if explained:
        found += ["", "Explained:", *(f"  {_finding(one)}" for one in explained)]
    if red:
        found += ["", "Look at each sale with `python main.py trace PURCHASE_ID`; the runbook is ReconciliationRed."]
    return found


def _finding(one: ReportFinding) -> str:
    return f"{one.book} {plain(one.subject)} ({one.code.replace('_', ' ')}): {plain(one.why)}"
