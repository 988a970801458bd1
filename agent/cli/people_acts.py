"""What `token create|list|revoke` and `invite list` do."""

from typing import TypeVar

import typer

from agent.cli.looking import asker
from agent.cli.operations import checked, print_json
from agent.cli.tables import console, show_rows
from agent.web.admin.people_bodies import InvitePage, InviteRow, MadeToken, NewTokenBody, TokenPage, TokenRow

P = TypeVar("P", TokenPage, InvitePage)

ROOT, INVITES = "/admin/api/tokens", "/admin/api/invites"
PAGE = 100


async def make_token(name: str, role: str, days: int, as_json: bool) -> int:
    wish = checked(NewTokenBody, name=name, role=role, days=days)
    async with asker(alone=True) as asks:
        made = await asks.ask("POST", ROOT, MadeToken, body=wish)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        typer.echo(made.secret)
        until = f"{made.token.expires_at:%Y-%m-%d}"
        typer.echo(f"Token {made.token.id} of {name}, {role} until {until}. It is not shown again.", err=True)
    return 0


async def _pages(path: str, kind: type[P]) -> list[P]:
    """A whole list, page by page."""
    found: list[P] = []
    async with asker(alone=True) as asks:
        while not found or found[-1].next is not None:
            found.append(await asks.ask("GET", path, kind, query=_from(found[-1].next if found else None)))
    return found


async def show_tokens(as_json: bool) -> int:
    found = [row for page in await _pages(ROOT, TokenPage) for row in page.items]
    if as_json:
        print_json({"items": [row.model_dump(mode="json") for row in found]})
        return 0
    rows = [(str(row.id), row.name, row.role, _until(row), row.created_by or "settings") for row in found]
    show_rows(console(), "", ("id", "name", "role", "valid until", "made by"), rows)
    if not found:
        typer.echo("No tokens yet: make one with `python main.py token create`.")
    return 0


def _until(row: TokenRow) -> str:
    if row.revoked_at is not None:
        return f"revoked {row.revoked_at:%Y-%m-%d %H:%M}"
    return f"{row.expires_at:%Y-%m-%d %H:%M}" if row.valid else f"ended {row.expires_at:%Y-%m-%d}"


async def show_invites(as_json: bool) -> int:
    found = [row for page in await _pages(INVITES, InvitePage) for row in page.items]
    if as_json:
        print_json({"items": [row.model_dump(mode="json") for row in found]})
        return 0
    rows = [(str(row.id), row.note, _uses(row), f"{row.created_at:%Y-%m-%d %H:%M}") for row in found]
    show_rows(console(), "", ("id", "note", "uses left", "made"), rows)
    if not found:
        typer.echo("No invites yet: make one with `python main.py invite create`.")
    return 0


def _uses(row: InviteRow) -> str:
    return "unlimited" if row.uses_left is None else str(row.uses_left)


def _from(before: int | None) -> dict[str, str]:
    """The page of a list that begins there."""
    return {"limit": str(PAGE)} | ({} if before is None else {"before": str(before)})


async def revoke(token_id: int, as_json: bool) -> int:
    async with asker(alone=True) as asks:
        row = await asks.ask("POST", f"{ROOT}/{token_id}/revoke", TokenRow)
    if as_json:
        print_json(row.model_dump(mode="json"))
    else:
        typer.echo(f"Token {row.id} of {row.name} ended.")
    return 0
