"""How sessions with PostgreSQL are opened and handed out: with the settings that were asked for, alive, and on the
server of before."""

from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from storage.engines import compilations, postgres_connections
from storage.errors import StoreReplaced, StoreUnavailable

WAIT_SECONDS = 5.0
"""For a free session."""
_REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_HISTORY = """
SELECT system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
FROM pg_control_system()
"""
"""Which cluster this is, and on which timeline: a standby that takes over, and a recovery to a point in time, begin
another one."""


class Sessions:
    """Those of one store, for all of its pools. `any_server`: it may change."""

    def __init__(self, url: URL, *, patient: bool = False, any_server: bool = False) -> None:
        self._url, self._patient, self._any_server = url, patient, any_server
        self._history: str | None = None
        self._replaced = False

    def pool(self, size: int, settings: dict[str, str], *, autocommit: bool = False) -> AsyncEngine:
        url, arguments = postgres_connections.engine_arguments(self._url, settings, patient=self._patient)
        engine = create_async_engine(
            url,
            isolation_level="AUTOCOMMIT" if autocommit else None,
            connect_args={**arguments, "async_creator_fn": partial(self._open, arguments["server_settings"])},
            pool_size=size,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            hide_parameters=True,
            execution_options={"compiled_cache": compilations.OF_POSTGRESQL},
        )
        event.listen(engine.sync_engine, "checkout", self._hand_out)
        return engine

    async def _open(self, settings: dict[str, str], **arguments: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """A session that holds what is relied on. Raises StoreUnavailable."""
        try:
            session = await asyncpg.connect(**arguments)
        except _REFUSALS as error:
            raise _refusal(error) from error
        try:
            await self._check(session, settings)
        except BaseException as error:
            session.terminate()
            if isinstance(error, _REFUSALS):
                raise _refusal(error) from error
            raise
        return session

    async def _check(self, session: "asyncpg.Connection[asyncpg.Record]", settings: dict[str, str]) -> None:
        asked = ", ".join(f"current_setting('{name}') AS {name}" for name in settings)
        found = await session.fetchrow(f"SELECT pg_is_in_recovery() AS is_standby, {asked}") or {}
        if wrong := sorted(name for name in settings if found[name] != settings[name]):
            raise StoreUnavailable(
                f"what lies before the database keeps no session settings ({', '.join(wrong)}): "
                "DATABASE_URL has to name the server itself, not a pooler"
            )
        if self._any_server:
            return
        if found["is_standby"]:  # it would outlive the moment in which that one takes over
            raise postgres_connections.standby()
        history = await _history(session)
        self._history = self._history or history
        self._replaced = self._replaced or history not in (None, self._history)
        self._require_the_same()

    def _hand_out(self, adapted: Any, *_: object) -> None:
        """One that the server ended while it lay in the pool is exchanged, for nobody to run into."""
        self._require_the_same()
        if adapted.driver_connection.is_closed():
            raise DisconnectionError("the server has ended the session")

    def _require_the_same(self) -> None:
        if self._replaced:
            raise StoreReplaced(
                "another server has taken the database over, and may lack what was committed last; "
                "the next start finds out what is missing"
            )


async def _history(session: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    """None where the server does not tell, as some that are rented don't."""
    try:
        found: str | None = await session.fetchval(_HISTORY)
    except asyncpg.PostgresError:
        if session.is_closed():
            raise
        return None
    return found


def _refusal(error: BaseException) -> StoreUnavailable:
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return StoreUnavailable("the database cannot be reached: no server that DATABASE_URL names is the primary")
    known = postgres_connections.as_unavailable(error)
    return known or StoreUnavailable(f"the database cannot be reached ({type(error).__name__})")
