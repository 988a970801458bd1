"""Who lost the race for a last edition and has its NFT takes the edition of one who has none, and of nobody else."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import URL, Connection, select, update

from domain.states import RefundState
from storage.engines.postgres import PostgresStore
from storage.mints import minting
from storage.mints.minting import MintIntent
from storage.recovery import races
from storage.sales import refunds, returns
from storage.sales.purchases import SOLD_OUT
from storage.sales.returns import RefundSeen
from storage.store import Store
from storage.tables import contents, jobs, purchases
from tests.sales import PLATFORM, START, Sales
from tests.storage.replicas import replica, until_it_waits
from tests.verified import first_findings

MAKER = "the signature that made it"
MINT = MintIntent("wallet", PLATFORM, PLATFORM, "seed", "mint", "Still life #1", "RBLK", "ipfs://b")


def race(conn: Connection, editions: int, racers: int) -> list[int]:
    """Sales of a work that is scarce: the first ones hold its editions, the others have lost."""
    shop = Sales("account")
    content = shop.content(conn, shop.user(conn, "ada"))
    conn.execute(update(contents).where(contents.c.id == content).values(editions=editions))
    sessions = [shop.opened(conn, content, shop.user(conn, f"racer{number}")) for number in range(racers)]
    return [
        shop.pays(conn, session, START + timedelta(minutes=minute)) for minute, session in enumerate(sessions, start=1)
    ]


def held(conn: Connection) -> list[int]:
    return list(conn.scalars(select(purchases.c.id).where(purchases.c.edition_held).order_by(purchases.c.id)))


async def test_the_nft_of_a_loser_takes_the_edition_of_who_paid_last_and_he_is_to_be_refunded(store: Store) -> None:
    def story(conn: Connection) -> None:
        first, second, loser = race(conn, 2, 3)
        assert races.losers(conn) == [loser]
        assert [rival for rival, _ in races.rivals(conn, loser)] == [second, first]
        assert not races.let_win(conn, loser, None, MAKER, START)
        assert races.let_win(conn, loser, second, MAKER, START)
        assert (held(conn), races.losers(conn)) == ([first, loser], [second])
        reasons = conn.scalars(select(purchases.c.status_reason).order_by(purchases.c.id)).all()
        assert reasons == [None, SOLD_OUT, None]
        due = conn.execute(select(jobs.c.kind, jobs.c.subject).where(jobs.c.kind.in_(["mint", "refund"]))).all()
        assert {("mint", str(loser)), ("refund", str(second))} <= {(row.kind, row.subject) for row in due}
        assert not races.let_win(conn, loser, first, MAKER, START), "it has one"
        assert first_findings(conn) == {}

    await store.write(story)


@pytest.mark.parametrize("trace", ["mint under way", "refund under way", "refunded in part", "minted"])
async def test_no_edition_is_taken_from_a_sale_that_may_have_its_nft_or_whose_money_is_on_its_way_back(
    store: Store, trace: str
) -> None:
    def story(conn: Connection) -> None:
        rival, loser = race(conn, 1, 2)
        if trace == "mint under way":
            minting.intend(conn, rival, UUID(int=1), MINT, START)
        elif trace == "refund under way":
            refunds.intend(conn, rival, "asked for by an operator", 100, UUID(int=1), UUID(int=2), START)
        elif trace == "refunded in part":
            returns.record_refund(conn, rival, RefundSeen("re_1", 100, RefundState.SUCCEEDED, None), START)
        else:
            Sales("account").minted(conn, rival)
        assert races.rivals(conn, loser) == []
        assert not races.let_win(conn, loser, rival, MAKER, START)
        assert held(conn) == [rival]

    await store.write(story)


async def test_a_loser_whose_refund_was_asked_for_has_lost_for_good(store: Store) -> None:
    def story(conn: Connection) -> None:
        rival, loser = race(conn, 1, 2)
        refunds.intend_for_loser(conn, loser, 300, UUID(int=1), UUID(int=2), START)
        assert races.losers(conn) == []
        assert not races.let_win(conn, loser, rival, MAKER, START)

    await store.write(story)


async def test_two_losers_take_one_edition_once(postgres_store: PostgresStore, postgres_url: URL) -> None:
    rival, one, other = await postgres_store.write(lambda conn: race(conn, 1, 3))
    async with replica(postgres_url) as first, replica(postgres_url) as second:
        assert await first.run_sync(lambda conn: races.let_win(conn, one, rival, MAKER, START))
        waits = asyncio.create_task(second.run_sync(lambda conn: races.let_win(conn, other, rival, MAKER, START)))
        await until_it_waits(waits, postgres_url)
        await first.commit()
        assert not await waits
        await second.commit()
    assert await postgres_store.read(held) == [one]
