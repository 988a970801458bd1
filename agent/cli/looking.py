"""How commands run: to an exit code, and, where they only look, against the database itself when no daemon runs."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import orjson
import typer

from agent.cli.client import AdminClient, Asker, CommandFailed, DaemonDown, Looker
from config.admin_access import load_admin_access
from config.settings import SettingsError

FAILED = 1


def run_command(command: Coroutine[Any, Any, int], as_json: bool = False) -> None:
    """Run a command to its exit code; what it can't do is told on standard error, and with --json as a document too."""
    try:
        code = asyncio.run(_ended_in_order(command))
    except asyncio.CancelledError:
        code = 128 + signal.SIGTERM
    except (CommandFailed, SettingsError) as error:
        typer.echo(f"error: {error}", err=True)
        if as_json:
            typer.echo(orjson.dumps({"outcome": "error", "exit_code": FAILED, "error": str(error)}).decode())
        code = FAILED
    raise typer.Exit(code)


async def _ended_in_order(command: Coroutine[Any, Any, int]) -> int:
    """A service manager's SIGTERM ends it as Ctrl-C does: what it has begun is cleared away."""
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await command


@asynccontextmanager
async def looker() -> AsyncIterator[Looker]:
    """The daemon if one answers at all, else the database under its lock. Raises CommandFailed."""
    async with AdminClient(load_admin_access()) as client:
        down = await _why_down(client)
        if down is None:
            yield client
            return
    async with instead_of(down) as alone:
        yield alone


@asynccontextmanager
async def asker(*, alone: bool) -> AsyncIterator[Asker]:
    """The daemon; or, for commands that may work `alone` and with none running, the database under its lock.

    Raises CommandFailed: DaemonDown for a command that needs the daemon.
    """
    async with AdminClient(load_admin_access()) as client:
        down = await _why_down(client) if alone else None
        if down is None:
            yield client
            return
    from agent.cli.desk import Desk
    from agent.cli.lock import locked_store

    try:
        async with locked_store() as (settings, store):
            yield Desk(settings, store)
    except CommandFailed as error:
        raise CommandFailed(f"{down}; nor can this work without it, on the database alone:\n{error}") from None


async def _why_down(client: AdminClient) -> DaemonDown | None:
    try:
        await client.batches(limit=1)
    except DaemonDown as down:
        return down
    return None


@asynccontextmanager
async def instead_of(down: DaemonDown) -> AsyncIterator[Looker]:
    """The database under its lock, because no daemon runs. Raises CommandFailed, naming both reasons."""
    from agent.cli.alone import working_alone

    try:
        async with working_alone() as alone:
            yield alone
    except CommandFailed as error:
        raise CommandFailed(f"{down}; nor can this work without it, on the database alone:\n{error}") from None
