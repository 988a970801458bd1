"""What `retry` and `events` do."""

import typer

from agent.cli.client import Asker, CommandFailed
from agent.cli.looking import FAILED, asker
from agent.cli.operations import checked, print_json
from agent.cli.tables import console, show_rows
from agent.cli.texts import counted, plain
from agent.web.admin.event_bodies import EventPage, EventRow
from agent.web.admin.work_bodies import ManyWish, NotRetried, RetriedMany

ROOT = "/admin/api"
CALLS_MOST = 1_000
"""Calls of 500 each: more work than that has another reason than bad luck."""


async def retry_many(kind: str, ids: list[int] | None, as_json: bool) -> int:
    """With `ids` None, all that has failed, call after call, until a call sets nothing going any more."""
    wish = checked(ManyWish, ids=ids, all=ids is None)
    retried: list[int] = []
    refused: dict[int, NotRetried] = {}
    async with asker(alone=False) as asks:
        for _ in range(CALLS_MOST):
            answer = await asks.ask("POST", f"{ROOT}/retry/{kind}", RetriedMany, body=wish)
            retried += answer.retried
            refused |= {one.id: one for one in answer.refused}
            if not answer.more or not answer.retried:
                break
    if as_json:
        print_json({"kind": kind, "retried": retried, "refused": [one.model_dump() for one in refused.values()]})
    else:
        for one in refused.values():
            typer.echo(f"{one.id}: {plain(one.message)}")
        typer.echo(f"{counted(len(retried), kind)} set going again, {len(refused)} refused")
    return FAILED if refused else 0


async def show_events(source: str, state: str | None, kind: str | None, limit: int, as_json: bool) -> int:
    query = {name: text for name, text in (("state", state), ("type", kind)) if text is not None}
    async with asker(alone=False) as asks:
        page = await asks.ask("GET", f"{ROOT}/events/{source}", EventPage, query={**query, "limit": str(limit)})
    if as_json:
        print_json(page.model_dump(mode="json"))
        return 0
    rows = [
        (str(one.id), f"{one.created_at:%Y-%m-%d %H:%M:%S}", one.type, one.event_id, one.state, one.error or "")
        for one in page.items
    ]
    show_rows(console(), "", ("no.", "stored", "type", "id", "state", "why"), rows)
    if not rows:
        typer.echo("No deliveries.")
    return 0


async def replay(source: str, event_id: str, as_json: bool) -> int:
    async with asker(alone=False) as asks:
        number = event_id if event_id.isascii() and event_id.isdigit() else await _number(asks, source, event_id)
        row = await asks.ask("POST", f"{ROOT}/events/{source}/{number}/replay", EventRow)
    if as_json:
        print_json(row.model_dump(mode="json"))
    else:
        typer.echo(f"{row.event_id} ({row.type}) is worked on once more.")
    return 0


async def _number(asks: Asker, source: str, event_id: str) -> str:
    page = await asks.ask("GET", f"{ROOT}/events/{source}", EventPage, query={"event_id": event_id, "limit": "1"})
    if not page.items:
        raise CommandFailed(f"no delivery {plain(event_id)} of {source} is stored")
    return str(page.items[0].id)
