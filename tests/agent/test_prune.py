"""Sign-ins that ran out long ago are forgotten; whoever is signed in, or may still be asked about, is not."""

from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from agent.steps import prune
from agent.steps.prune import KEPT, PruneStep
from domain.keys import hash_secret
from domain.outcomes import Again, Done, Outcome
from storage import work
from storage.people import sessions, tokens
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs, users
from storage.tables import sessions as session_rows
from storage.tables import tokens as token_rows
from tests.web.shop import START, HandClock

LONG_AGO = START - KEPT - timedelta(seconds=1)
LATELY = START - KEPT + timedelta(seconds=1)
EXPIRED_TOKENS = 3 * prune.SLICE_ROWS


def sign_ins(conn: Connection) -> None:
    """A user's: long past, lately past, and valid; an operator's that ran out, and one that lasts."""
    conn.execute(
        insert(users).values(
            id=1,
            uuid="u-1",
            email="a@b.example",
            username="a",
            password_hash="x",
            wallet_state="none",
            created_at=START,
        )
    )
    for number in range(EXPIRED_TOKENS):
        tokens.issue(conn, f"old {number}", 1, LONG_AGO, START)
    tokens.issue(conn, "late", 1, LATELY, START)
    tokens.issue(conn, "valid", 1, START + KEPT, START)
    tokens.make(conn, tokens.NewToken("op", "Ada", "viewer", LONG_AGO, "settings"), START)
    ids = {row.token_hash: row.id for row in conn.execute(select(token_rows))}
    for secret, ends in (("old 0", LONG_AGO), ("op", LONG_AGO), ("late", LATELY), ("valid", START + KEPT)):
        sessions.begin(conn, f"cookie of {secret}", ids[hash_secret(secret)], ends, START)


async def pruned(store: Store, slices_most: int) -> Outcome:
    await store.write(lambda conn: work.revive(conn, "prune", "sign_ins", START))
    (claim,) = await store.write(lambda conn: work.claim(conn, Queue(jobs), 1, "w", START, timedelta(minutes=1)))
    return await PruneStep(store, HandClock(), slices_most).run(claim)


async def test_sign_ins_that_ran_out_a_month_ago_are_forgotten_in_slices_and_operators_tokens_never(
    store: Store,
) -> None:
    await store.write(sign_ins)
    left = select(token_rows.c.name, token_rows.c.expires_at)
    assert isinstance(await pruned(store, slices_most=1), Again)
    assert len(await store.read(lambda conn: conn.execute(left).all())) == EXPIRED_TOKENS + 3 - prune.SLICE_ROWS
    await store.write(lambda conn: conn.execute(delete(jobs)))
    assert isinstance(await pruned(store, slices_most=5), Done)
    assert sorted(await store.read(lambda conn: conn.execute(left).all())) == [
        ("", LATELY),
        ("", START + KEPT),
        ("Ada", LONG_AGO),
    ]
    assert len(await store.read(lambda conn: conn.execute(select(session_rows)).all())) == 2
    assert await store.read(lambda conn: sessions.find(conn, "cookie of valid", START)) is not None
