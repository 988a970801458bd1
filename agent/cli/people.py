"""Who may operate, and users from before: `token create|list|revoke`, `users import`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.operating import AsJson

tokens = typer.Typer(help="Tokens of the operator's port, one for each person.", no_args_is_help=True)
users = typer.Typer(help="Users.", no_args_is_help=True)


class Role(StrEnum):
    """Each includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Option(help="Whose it is: approvals and the audit log know people by it.")],
    role: Annotated[
        Role, typer.Option(help="viewer looks; operator retries, holds, pauses; approver moves money too.")
    ] = Role.VIEWER,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Make a token and show it, this once: it is stored hashed. Works without the daemon too."""
    from agent.cli.looking import run_command
    from agent.cli.people_acts import make_token

    run_command(make_token(name, role.value, days, as_json), as_json)


@tokens.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """Show whose tokens there are, and until when. Works without the daemon too."""
    from agent.cli.looking import run_command
    from agent.cli.people_acts import show_tokens

    run_command(show_tokens(as_json), as_json)


@tokens.command("revoke")
def revoke_token(
    token_id: Annotated[int, typer.Argument(min=1, help="Its number, as `token list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """End a token at once, and the console's sessions with it. Works without the daemon too."""
    from agent.cli.looking import run_command
    from agent.cli.people_acts import revoke

    run_command(revoke(token_id, as_json), as_json)


@users.command("import")
def import_users(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with a header line, UTF-8.")],
    passwords: Annotated[
        Path | None, typer.Option(help="New file for the users' first passwords; needed unless --dry-run.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")] = False,
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="Import the good lines although there are bad ones.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring over users from before, with the wallets they have.

    Columns: email, username, wallet_provider (external or web3auth), wallet_address, web3auth_sub; email and
    wallet_address are needed. Every bad line is told with its number. Unless --skip-errors is given, one bad line stops
    all before anything is changed. The same file again changes nothing. Works without the daemon too.

    Exit codes: 0 all lines are good, 1 some are not, or it can't be done.
    """
    from agent.cli.looking import run_command
    from agent.cli.user_import import Wishes, run

    run_command(run(Wishes(file, passwords, dry_run, skip_errors, as_json)), as_json)
