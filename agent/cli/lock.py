"""The database under its lock, for commands that work while no daemon runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.cli.client import CommandFailed
from config.logs import configure_logging
from config.settings import Settings, SettingsError, load_settings
from domain.errors import PaymentSystemError
from ports.system import SystemClock
from storage import schema
from storage.engines.opening import open_store
from storage.recovery.restoring import take_up
from storage.store import Store


@asynccontextmanager
async def locked_store(*, any_schema: bool = False) -> AsyncIterator[tuple[Settings, Store]]:
    """The settings and the opened database, this process alone on it, at this version's schema unless it takes
    `any_schema`. Raises CommandFailed."""
    try:
        settings = load_settings()
        configure_logging("ERROR", settings.confidential, as_json=False)
        store = open_store(settings.database_url.get_secret_value(), patient=any_schema)
        await store.start()
    except (SettingsError, PaymentSystemError) as error:
        raise CommandFailed(str(error)) from None
    try:
        if not any_schema:
            await store.read(schema.check)
            now = SystemClock().now()
            await store.write(lambda conn: take_up(conn, now))
        yield settings, store
    except PaymentSystemError as error:
        raise CommandFailed(str(error)) from None
    finally:
        await store.stop()
