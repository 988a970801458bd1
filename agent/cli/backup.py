"""`backup` and `restore`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.operating import AsJson


def backup(
    file: Annotated[Path | None, typer.Argument(help="Where the copy goes; must not exist yet.")] = None,
    external: Annotated[
        str | None, typer.Option(help="Take note of a backup made by other means: its name or place.")
    ] = None,
    started_at: Annotated[
        datetime | None,
        typer.Option(help="With --external: when that backup was begun, UTC.", formats=["%Y-%m-%dT%H:%M:%SZ"]),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database while the daemon runs, or alone, check the copy and write down that it exists."""
    from agent.cli.looking import run_command
    from agent.cli.safekeeping import back_up, tell_of

    if (file is None) == (external is None):
        raise typer.BadParameter("either FILE or --external NAME")
    if external is not None and started_at is None:
        raise typer.BadParameter("--external needs --started-at")
    if file is not None:
        run_command(back_up(file, as_json), as_json)
    elif external is not None and started_at is not None:
        run_command(tell_of(external, started_at, as_json), as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A copy made by `backup`.", exists=True, dir_okay=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    identity: Annotated[
        Path | None,
        typer.Option(help="The file with age's key, for an encrypted backup.", exists=True, dir_okay=False),
    ] = None,
    paused: Annotated[
        bool,
        typer.Option("--paused", help="Nothing is sent, also after the start checks, till a person resumes it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the database, with the daemon stopped. The next start reconciles before it sends.

    Exit codes: 0 restored, 1 refused or answered no, 2 nobody to ask and no --yes.
    """
    from agent.cli.looking import run_command
    from agent.cli.safekeeping import Wish, put_back
    from agent.cli.terminal import StandardTerminal

    terminal = StandardTerminal(quiet=as_json)
    run_command(put_back(file, terminal, Wish(yes, as_json, identity, paused)), as_json)
