"""Wallets that users from before got after a backup was taken: Circle knows them, the restored rows do not.

Payouts and NFTs of these users would go to the address that they have given up.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, String, bindparam, cast, func, literal, select

from domain.states import WalletState, WorkState
from storage.history import advance
from storage.people import wallets
from storage.reading.vitals import HEARTBEAT
from storage.statements import ONE, fixed, insert_into
from storage.tables import cursors, jobs, users
from storage.work import enqueue

LISTING, LOOK = "wallet_listing", "wallet_look"
CLOCKS_APART = timedelta(days=1)
"""By so much our clock may have been ahead of Circle's when it told these rows the time."""


def look_for_all(conn: Connection, now: datetime) -> None:
    """Have it looked at Circle who has got a wallet, or asked for one, since these rows were copied. Idempotent."""
    born = conn.scalar(select(func.min(users.c.created_at)).where(_WITHOUT))
    if born is None:
        return
    alive = conn.scalar(select(cursors.c.moved_at).where(cursors.c.name == HEARTBEAT))
    enqueue(conn, LISTING, ((alive or born) - CLOCKS_APART).isoformat(), now)


def look_for(conn: Connection, uuids: Collection[str], now: datetime) -> None:
    """Have Circle asked for a wallet of each of these users who has none by these rows, and asked for none."""
    for user_id in conn.scalars(_OF_THESE, {"these": list(uuids)}).all():
        enqueue(conn, LOOK, user_id, now)


def look_for_each(conn: Connection, now: datetime) -> None:
    """`look_for` for everybody. Idempotent."""
    when = literal(now, jobs.c.due_at.type)
    values = literal(LOOK), cast(users.c.id, String), literal(WorkState.DUE.value), when, when.label("born")
    names = ["kind", "subject", "state", "due_at", "created_at"]
    wanted = insert_into(jobs, conn.dialect.name).from_select(names, select(*values).where(_WITHOUT))
    conn.execute(wanted.on_conflict_do_nothing())


_WITHOUT = users.c.wallet_state == fixed(WalletState.NONE)
_OF_THESE = (
    select(users.c.id).where(users.c.uuid.in_(bindparam("these", expanding=True)), _WITHOUT).order_by(users.c.id)
)


def is_looked_for(conn: Connection) -> bool:
    """Whether Circle has not told yet; what it refuses to tell of one user waits for a person."""
    return conn.scalar(_LOOKED_FOR) is not None


_LOOKED_FOR = (
    select(jobs.c.id)
    .where((jobs.c.kind == fixed(LISTING)) | ((jobs.c.kind == fixed(LOOK)) & (jobs.c.state == fixed(WorkState.DUE))))
    .limit(ONE)
)


def asked_before(conn: Connection, user_id: int, now: datetime) -> None:
    """Circle knows the user: he had asked for a wallet, and his set-up goes on. Nothing where he has asked since."""
    standing = select(users.c.wallet_state).where(users.c.id == user_id).with_for_update()
    if conn.scalar(standing) == WalletState.NONE:
        advance(conn, user_id, WalletState.QUEUED, now, "asked for after this copy was made: Circle knows of it")
        enqueue(conn, "wallet", user_id, now)


def found(conn: Connection, user_id: int, wallet_id: str, address: str, now: datetime) -> None:
    """He has his wallet. Idempotent."""
    asked_before(conn, user_id, now)
    wallets.ready(conn, user_id, wallet_id, address, now)
