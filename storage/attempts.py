"""The attempts at one thing (a mint, a transfer, a group): at most one of them is not proven dead."""

import json
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, select

from domain.dead_attempts import EXPIRY, DeadAttempts
from domain.errors import Misuse
from domain.states import MintState, PackedState, TransferState
from storage.tables import watched_signatures

_DEAD = frozenset({MintState.DEAD, PackedState.DEAD, TransferState.DEAD})
_WATCH = select(watched_signatures).where(watched_signatures.c.signature == bindparam("of"))


def parted(conn: Connection, attempts: Select[Any], subject: int) -> tuple[Row[Any] | None, DeadAttempts]:
    """The attempt that is not dead, and those that are; `attempts` asks for those `of` the subject. Raises Misuse when
    two are not dead."""
    rows = conn.execute(attempts, {"of": subject}).all()
    live = [row for row in rows if row.state not in _DEAD]
    if len(live) > 1:
        raise Misuse(f"{len(live)} attempts at {subject} are under way at once")
    expired = sum(row.state in _DEAD and EXPIRY in json.loads(row.proof or "{}") for row in rows)
    return live[0] if live else None, DeadAttempts(len(rows) - len(live) - expired, expired)


def watch_of(conn: Connection, attempt: Row[Any] | None) -> Row[Any] | None:
    """What the indexer says of an attempt's signature; None before it has one."""
    if attempt is None or attempt.signature is None:
        return None
    return conn.execute(_WATCH, {"of": attempt.signature}).one_or_none()
