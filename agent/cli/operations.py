"""What the operator's short commands do."""

from typing import Any, TypeVar

import orjson
import typer
from pydantic import BaseModel, ValidationError

from agent.cli import texts
from agent.cli.client import CommandFailed
from agent.cli.looking import asker, looker
from agent.web.admin.people_bodies import Invite, NewInvite

M = TypeVar("M", bound=BaseModel)
BATCHES_SHOWN = 5
PARKED_SHOWN = 20


async def show_status(as_json: bool) -> int:
    async with looker() as look:
        status, gate = await look.status(), await look.gate_is_open()
        batches, parked = await look.batches(limit=BATCHES_SHOWN), await look.parked(PARKED_SHOWN)
    if as_json:
        print_json(
            {
                **status.model_dump(mode="json"),
                "start_gate_open": gate,
                "batches": [batch.model_dump(mode="json") for batch in batches],
                "parked": parked.model_dump(mode="json"),
            }
        )
    else:
        typer.echo("\n".join(texts.status_lines(status, gate, batches, parked)))
    return 0


async def upgrade_database(as_json: bool, role: str | None = None, intake_role: str | None = None) -> int:
    from agent.cli.lock import locked_store
    from storage import privileges, schema

    async with locked_store(any_schema=True) as (_, store):
        before = await store.read(schema.revision)
        await store.write(lambda conn: schema.upgrade(conn, None if as_json else _has_run))
        after = await store.read(schema.revision)
        if role is not None:
            await store.write(lambda conn: privileges.grant(conn, role))
        if intake_role is not None:
            await store.write(lambda conn: privileges.grant_intake(conn, intake_role))
    if as_json:
        print_json({"before": before, "after": after, "granted_to": role, "granted_intake_to": intake_role})
        return 0
    moved = f"went from schema {before or 'none'} to {after}" if before != after else f"is at schema {after} already"
    typer.echo(f"The database {moved}.")
    if role is not None:
        typer.echo(f"{role} has the daemon's rights and no others.")
    if intake_role is not None:
        typer.echo(f"{intake_role} may store Stripe's events, and nothing else.")
    return 0


def _has_run(number: str, name: str) -> None:
    typer.echo(f"  {number} {name}")


async def make_invite(uses: int | None, note: str, as_json: bool) -> int:
    wish = checked(NewInvite, uses=uses, note=note)
    async with asker(alone=True) as asks:
        made = await asks.ask("POST", "/admin/api/invites", Invite, body=wish)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        typer.echo(made.code)
    return 0


def checked(model: type[M], **values: Any) -> M:
    """The request's body; what its model refuses is told by the option's name."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise CommandFailed(f"{_OPTIONS.get(str(problem['loc'][0]), problem['loc'][0])}: {problem['msg']}") from None


_OPTIONS = {
    "uses": "--uses",
    "note": "--note",
    "usd_cents": "--usd",
    "expected_usdc": "--usdc",
    "amount": "--usdc",
    "name": "--name",
    "role": "--role",
    "days": "--days",
    "reason": "--reason",
    "digest": "--digest",
    "ids": "IDS",
}


def print_json(document: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
