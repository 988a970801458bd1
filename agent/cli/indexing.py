"""What the chain says: `index status`, `index backfill`."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")]

index = typer.Typer(help="What the chain says, and how far it is read.", no_args_is_help=True)


@index.command("status")
def status(as_json: AsJson = False) -> None:
    """Show RPC endpoints, cursors, balances against the books, open signatures, what the chain is like, NFTs.

    Works without the daemon too.
    """
    from agent.cli.index_commands import show
    from agent.cli.looking import run_command

    run_command(show(as_json), as_json)


@index.command("backfill")
def backfill(
    from_signature: Annotated[
        str | None, typer.Option(help="Read again what was finalized in this transaction's slot and after.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Read again the whole history.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read the platform wallet's history again and book what is missing; nothing is booked twice.

    In the daemon where it runs, which goes on when this command is ended; else here, with the database's lock.
    Ends with 0 when all was read, 1 when it can't be.
    """
    from agent.cli.index_commands import read_again
    from agent.cli.looking import run_command

    run_command(read_again(from_signature, everything, as_json), as_json)
