"""Work that needs a person: `retry`, `events list|replay`."""

from enum import StrEnum
from typing import Annotated

import typer

from agent.cli.operating import AsJson

events = typer.Typer(help="Stored webhook deliveries.", no_args_is_help=True)


class Kind(StrEnum):
    WALLET = "wallet"
    MINT = "mint"
    DISTRIBUTION = "distribution"


class Source(StrEnum):
    STRIPE = "stripe"
    CIRCLE = "circle"


class State(StrEnum):
    DUE = "due"
    PARKED = "parked"
    DONE = "done"


def retry(
    kind: Annotated[Kind, typer.Argument(help="wallet (of users), mint or distribution (of purchases).")],
    ids: Annotated[list[int] | None, typer.Argument(min=1, help="Users' or purchases' numbers.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of this kind that has failed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run failed work again. What was paid or minted already is never done twice. Needs the daemon.

    Exit codes: 0 all were set going again, 1 some could not be, each told with its reason.
    """
    from agent.cli.looking import run_command
    from agent.cli.work_acts import retry_many

    if bool(ids) == every:
        raise typer.BadParameter("either IDS or --all")
    run_command(retry_many(kind.value, ids or None, as_json), as_json)


@events.command("list")
def list_events(
    source: Annotated[Source, typer.Argument(help="stripe or circle.")],
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only those of this type (charge.updated).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show deliveries, newest first. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.work_acts import show_events

    run_command(show_events(source.value, None if state is None else state.value, kind, limit, as_json), as_json)


@events.command("replay")
def replay_event(
    source: Annotated[Source, typer.Argument(help="stripe or circle.")],
    event_id: Annotated[str, typer.Argument(help="The sender's own id (evt_…), or the number that `list` shows.")],
    as_json: AsJson = False,
) -> None:
    """Work on a delivery once more. Whatever it did already stays done once. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.work_acts import replay

    run_command(replay(source.value, event_id, as_json), as_json)
