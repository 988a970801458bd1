"""The operator's short commands: `status`, `db upgrade`, `invite create|list`."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")]
Note = Annotated[str, typer.Option(help="For your own records.")]

database = typer.Typer(help="The database.", no_args_is_help=True)
invites = typer.Typer(help="Invite codes.", no_args_is_help=True)


def status(as_json: AsJson = False) -> None:
    """Show queues, batches, what waits for a person, and the platform wallet. Works without the daemon too."""
    from agent.cli.looking import run_command
    from agent.cli.operations import show_status

    run_command(show_status(as_json), as_json)


@database.command("upgrade")
def upgrade(
    grant_to: Annotated[
        str | None,
        typer.Option(help="PostgreSQL, run as the tables' owner: the daemon's role, which gets the least it needs."),
    ] = None,
    grant_intake_to: Annotated[
        str | None, typer.Option(help="The same for the role of `intake`, which may only store Stripe's events.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this version's tables. The daemon must be stopped."""
    from agent.cli.looking import run_command
    from agent.cli.operations import upgrade_database

    run_command(upgrade_database(as_json, grant_to, grant_intake_to), as_json)


@invites.command("create")
def create_invite(
    uses: Annotated[
        int | None, typer.Option(min=1, help="How many may sign up with it; unlimited if left out.")
    ] = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Make an invite code. It is stored hashed and shown only now."""
    from agent.cli.looking import run_command
    from agent.cli.operations import make_invite

    run_command(make_invite(uses, note, as_json), as_json)


@invites.command("list")
def list_invites(as_json: AsJson = False) -> None:
    """Show the invite codes there are by their notes, and how often each can still be used. Works without the daemon
    too."""
    from agent.cli.looking import run_command
    from agent.cli.people_acts import show_invites

    run_command(show_invites(as_json), as_json)
