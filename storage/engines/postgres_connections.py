"""How every PostgreSQL connection of ours is opened, and what its errors mean."""

from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from storage.errors import StoreBusy, StoreUnavailable

CONNECT_TIMEOUT_SECONDS = 5
COMMAND_TIMEOUT_SECONDS = 20
"""For an answer that never comes (a dead network). Longer than `statement_timeout`: a live server speaks first."""
DAEMON, UPGRADE = "payment-agent", "payment-agent upgrade"
"""Who a session says that it is."""
SERVER_SETTINGS = {
    "application_name": DAEMON,
    "timezone": "UTC",
    "synchronous_commit": "on",
    "statement_timeout": "10s",
    "lock_timeout": "100ms",
    "idle_in_transaction_session_timeout": "10s",
}
"""`synchronous_commit=on` because an answered write is durable; the timeouts bound what one stuck session can hold.

`lock_timeout` is short because a group locks rows in no order, so two groups of two processes may block each other;
the server's own detector would let both stand for a second. Whoever is refused runs alone, with
PATIENT_LOCK_TIMEOUT."""
PATIENT_LOCK_TIMEOUT = "5s"
PORT = 5432
_TARGET = "target_session_attrs"
WRITE_SETTINGS = SERVER_SETTINGS
APPEND_SETTINGS = {**SERVER_SETTINGS, "lock_timeout": PATIENT_LOCK_TIMEOUT}
"""An append waits only for another one with the same key, whose transaction is that one statement."""
READ_SETTINGS = {
    **SERVER_SETTINGS,
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "repeatable read",
}
"""One view for all statements of a read, as on SQLite; a read that writes is refused."""

_RETRYABLE = {"40001", "40P01"}
"""serialization_failure, deadlock_detected: nothing was written, the same function may simply run again."""
_LOCK_REFUSED = "55P03"
_BUSY = {_LOCK_REFUSED, "57014"}
"""lock_not_available, query_canceled (statement_timeout)."""
RERUNS_MAX = 10
"""Of one function that meets serialization failures or deadlocks, before its caller is told StoreBusy."""
_UNAVAILABLE_CLASSES = {"08", "53", "57", "58", "F0"}
"""Connection, resources (disk full, too many connections), operator intervention, system error, bad config file."""
_UNAVAILABLE = {"25006", "25P03", "25P04", "3D000", "28000", "28P01", "40003", "XX001", "XX002"}
"""A standby, our own session timeouts, no such database, refused login, a COMMIT of unknown outcome, corrupted data or
index."""
_SESSION_GONE = "08003"
"""connection_does_not_exist: asyncpg's own word for a session that ended while it waited for an answer."""
_SAYS = {
    "08P01": "it understands no session settings, as a pooler between does: connect to the server itself",
    "25006": "it is a standby",
    "25P03": "this process stood still in a transaction for too long",
    "28000": "it refuses the login",
    "28P01": "it refuses the login",
    "3D000": "there is no such database",
    "53100": "its disk is full",
    "53200": "it is out of memory",
    "53300": "it has no connection left (max_connections)",
    "57P01": "it was shut down, or an administrator ended the session",
    "57P02": "one of its processes crashed",
    "57P03": "it is starting or stopping",
    _SESSION_GONE: "the session ended in the middle of an operation",
}


def engine_arguments(url: URL, settings: dict[str, str], *, patient: bool = False) -> tuple[URL, dict[str, Any]]:
    """The URL for asyncpg and its connect arguments; libpq's `sslmode` becomes asyncpg's `ssl`. Of several servers the
    primary is taken. `patient`: an upgrade, whose answers may take as long as the server lets them."""
    url = url.set(drivername="postgresql+asyncpg")
    arguments: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "command_timeout": None if patient else COMMAND_TIMEOUT_SECONDS,
        "server_settings": {**settings, "application_name": UPGRADE} if patient else settings,
    }
    sslmode = url.query.get("sslmode")
    if isinstance(sslmode, str):
        arguments["ssl"] = sslmode
    hosts = ",".join(url.normalized_query.get("host", ())).split(",")
    if _TARGET in url.query or len(hosts) > 1:
        arguments[_TARGET] = "primary"  # our reads are read-only sessions, which `read-write` would refuse
    if len(hosts) > 1 and "port" not in url.query:
        url = url.update_query_dict({"host": [host if ":" in host else f"{host}:{PORT}" for host in hosts]})
    return url.difference_update_query(["sslmode", _TARGET]), arguments


def sqlstate(error: BaseException) -> str:
    """The five-letter code, or nothing when the server did not speak. Of a session that ended, what the server said
    last, if that still came."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    found = _code(cause)
    while found == _SESSION_GONE and cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
        found = _code(cause) or _SESSION_GONE
    return found


def _code(error: BaseException | None) -> str:
    code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return code if isinstance(code, str) else ""


def reruns_allowed(error: BaseException) -> int:
    """How often one function alone may run again after this error: a refused lock is waited for once, patiently."""
    code = sqlstate(error)
    if code in _RETRYABLE:
        return RERUNS_MAX
    return 1 if code == _LOCK_REFUSED else 0


def as_unavailable(error: BaseException) -> StoreUnavailable | None:
    """What the callers are told when the database, not the function, is to blame; None when it is the function."""
    if isinstance(error, OSError | TimeoutError):
        return StoreUnavailable(f"the database does not answer ({type(error).__name__})")
    code = sqlstate(error)
    if code in _BUSY or code in _RETRYABLE:
        return StoreBusy(f"another transaction holds what this one needs (SQLSTATE {code})")
    if code in _UNAVAILABLE or code[:2] in _UNAVAILABLE_CLASSES:
        why = f": {_SAYS[code]}" if code in _SAYS else ""
        return StoreUnavailable(f"the database refuses work{why} (SQLSTATE {code})")
    return lost() if is_lost(error) else None


def is_lost(error: BaseException) -> bool:
    """Whether the session broke."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def standby() -> StoreUnavailable:
    return StoreUnavailable(f"the database refuses work: {_SAYS['25006']}")


def lost() -> StoreUnavailable:
    return StoreUnavailable("the connection to the database was lost")


def blames_one(error: BaseException) -> bool:
    """Whether one member of a group can be the cause (it waited for a lock, ran too long): the others may go on."""
    return sqlstate(error) in _BUSY | _RETRYABLE
