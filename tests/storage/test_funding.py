"""A large deposit is handed out in slices, oldest payment first, whatever comes between two of them."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, func, select

from payouts.fund import FundStep
from storage import funding, work
from storage.inline import InlineStore
from storage.store import Store
from storage.tables import jobs, payouts
from tests.sales import START, Sales

ACCOUNT = "platform-usdc"
DUE = 2_350_000
MINUTE = timedelta(minutes=1)


class Fixed:
    """A clock that stands."""

    def now(self) -> datetime:
        return START

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""


def sell(conn: Connection, *minutes: int) -> None:
    """Sales paid at these minutes, in this order, and a deposit that carries all but one of them and a bit more."""
    sales = Sales(ACCOUNT)
    content, buyer = sales.content(conn, sales.user(conn, "ada")), sales.user(conn, "buyer")
    for minute in minutes:
        sales.sold(conn, content, buyer, START + minute * MINUTE)
    sales.deposit(conn, (len(minutes) - 1) * DUE + 1)


def released(conn: Connection) -> list[int]:
    """The minutes of the payments that are covered."""
    covered = select(payouts.c.paid_at).where(payouts.c.state == "pending_distribution").order_by(payouts.c.paid_at)
    return [(at - START) // MINUTE for at in conn.scalars(covered)]


def a_slice(conn: Connection) -> tuple[int, bool]:
    funded = funding.fund(conn, ACCOUNT, START, most=2)
    return funded.purchases, funded.is_done


async def test_each_slice_takes_the_oldest_and_one_that_is_lost_is_taken_again(store: Store) -> None:
    def dies(conn: Connection) -> None:
        assert a_slice(conn) == (2, True)
        raise RuntimeError("the process dies before the commit")

    await store.write(lambda conn: sell(conn, 3, 1, 4, 0, 2))
    assert (await store.write(a_slice), await store.read(released)) == ((2, False), [0, 1])
    with pytest.raises(RuntimeError):
        await store.write(dies)
    assert await store.read(released) == [0, 1]
    assert (await store.write(a_slice), await store.read(released)) == ((2, True), [0, 1, 2, 3])
    assert (await store.write(a_slice), await store.read(released)) == ((0, True), [0, 1, 2, 3])


async def test_the_job_comes_again_until_a_deposit_is_handed_out(inline_store: InlineStore) -> None:
    await inline_store.write(lambda conn: sell(conn, 0, 1, 2, 3))
    step, runs = FundStep(inline_store, Fixed(), ACCOUNT, most=1), 0

    def due(conn: Connection) -> list[work.Claim]:
        return work.claim(conn, work.Queue(jobs, frozenset({"fund"})), 1, "worker", START, MINUTE)

    while claims := await inline_store.write(due):
        outcome = await step.run(claims[0])

        def end(conn: Connection, claim: work.Claim = claims[0], commit: object = outcome.commit) -> None:
            assert callable(commit)
            commit(conn)
            work.finish(conn, claim, START)

        await inline_store.write(end)
        runs += 1
    moved = select(func.count()).where(payouts.c.state == "pending_distribution")
    assert (runs, await inline_store.read(lambda conn: conn.scalar(moved))) == (3, 3)
