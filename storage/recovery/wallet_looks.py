"""Wallets that users from before got after a backup was taken: Circle knows them, the restored rows do not.

Payouts and NFTs of these users would go to the address that they have given up.
"""

from datetime import datetime

from sqlalchemy import Connection, String, cast, literal, select

from domain.states import WalletState, WorkState
from storage.history import advance
from storage.people import wallets
from storage.statements import ONE, fixed, insert_into
from storage.tables import jobs, users
from storage.work import enqueue

KIND = "wallet_look"


def look_for_all(conn: Connection, now: datetime) -> None:
    """Have Circle asked for a wallet of each user who has none by these rows, and asked for none. Idempotent."""
    when = literal(now, jobs.c.due_at.type)
    values = literal(KIND), cast(users.c.id, String), literal(WorkState.DUE.value), when, when.label("born")
    wanted = select(*values).where(users.c.wallet_state == fixed(WalletState.NONE))
    names = ["kind", "subject", "state", "due_at", "created_at"]
    conn.execute(insert_into(jobs, conn.dialect.name).from_select(names, wanted).on_conflict_do_nothing())


def is_looked_for(conn: Connection) -> bool:
    """Whether Circle has not told yet of one of them; what it refuses to tell waits for a person."""
    return conn.scalar(_LOOKED_FOR) is not None


_LOOKED_FOR = select(jobs.c.id).where(jobs.c.kind == fixed(KIND), jobs.c.state == fixed(WorkState.DUE)).limit(ONE)


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
