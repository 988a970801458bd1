"""With the last edition of a work its open Sessions end, and when it is taken down, those that open a moment later too;
nobody else's do."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import URL, Connection, select, update

from domain.states import RefundState
from storage import work
from storage.engines.postgres import PostgresStore
from storage.queues import Queue
from storage.sales import checkouts, returns, session_ends
from storage.sales.checkouts import Wanted
from storage.sales.contents import set_taken_down
from storage.sales.returns import RefundSeen
from storage.store import Store
from storage.tables import contents, jobs
from tests.sales import START, Sales
from tests.storage.replicas import replica, until_it_waits

LATER = START + timedelta(hours=1)


def opens(conn: Connection, shop: Sales, content: int, name: str, *, answered: bool = True) -> int:
    """Somebody's checkout of a work; `answered`: Stripe has made the Session."""
    wanted = Wanted(str(shop.uuid()), str(shop.uuid()), content, shop.user(conn, name), LATER)
    made = checkouts.begin(conn, wanted, 300, {}, START)
    if answered:
        checkouts.opened(conn, made.id, f"cs_{name}", "https://checkout.stripe.com/x", START)
    return made.id


def limited(conn: Connection, shop: Sales, editions: int) -> int:
    content = shop.content(conn, shop.user(conn, f"author{editions}"))
    conn.execute(update(contents).where(contents.c.id == content).values(editions=editions))
    return content


def ending(conn: Connection) -> list[str]:
    return list(conn.scalars(select(jobs.c.subject).where(jobs.c.kind == session_ends.KIND).order_by(jobs.c.id)))


async def test_the_last_edition_ends_the_open_sessions_of_its_work_alone(store: Store) -> None:
    shop = Sales("platform-usdc")

    def story(conn: Connection) -> tuple[list[int], list[str], list[str], list[str]]:
        scarce, other = limited(conn, shop, 2), limited(conn, shop, 5)
        mine = [opens(conn, shop, scarce, name) for name in ("ann", "bob")]
        opens(conn, shop, other, "cy")
        waits = opens(conn, shop, scarce, "dan", answered=False)
        shop.paid(conn, scarce, shop.user(conn, "eve"))
        before = ending(conn)
        shop.paid(conn, scarce, shop.user(conn, "fay"))
        sold = ending(conn)
        checkouts.opened(conn, waits, "cs_dan", "https://checkout.stripe.com/x", START)
        return [*mine, waits], before, sold, ending(conn)

    mine, before, sold, after = await store.write(story)
    assert (before, sold, after) == ([], [str(one) for one in mine[:2]], [str(one) for one in mine])


async def test_a_session_is_left_open_where_an_edition_has_come_back_or_its_time_is_over(store: Store) -> None:
    shop = Sales("platform-usdc")

    def story(conn: Connection) -> list[str | None]:
        only = limited(conn, shop, 1)
        mine = opens(conn, shop, only, "ann")
        sale = shop.paid(conn, only, shop.user(conn, "eve"))
        found = [session_ends.to_be_ended(conn, mine, at) for at in (START, LATER)]
        returns.record_refund(conn, sale, RefundSeen("re_1", 300, RefundState.SUCCEEDED, None), START)
        return [*found, session_ends.to_be_ended(conn, mine, START)]

    assert await store.write(story) == ["cs_ann", None, None]


@pytest.mark.parametrize("editions", [None, 3])
async def test_a_work_that_is_taken_down_ends_its_sessions_until_it_is_put_back(
    editions: int | None, store: Store
) -> None:
    shop = Sales("platform-usdc")

    def story(conn: Connection) -> tuple[list[int], list[str], list[str], list[str | None]]:
        work, other = shop.content(conn, shop.user(conn, "ada")), limited(conn, shop, 5)
        conn.execute(update(contents).where(contents.c.id == work).values(editions=editions))
        mine, waits = opens(conn, shop, work, "ann"), opens(conn, shop, work, "bob", answered=False)
        opens(conn, shop, other, "cy")
        set_taken_down(conn, work, True, "not his own", START)
        down = ending(conn)
        checkouts.opened(conn, waits, "cs_bob", "https://checkout.stripe.com/x", START)
        late, found = ending(conn), [session_ends.to_be_ended(conn, mine, START)]
        set_taken_down(conn, work, False, "it is", START)
        return [mine, waits], down, late, [*found, session_ends.to_be_ended(conn, mine, START)]

    mine, down, late, found = await store.write(story)
    assert (down, late) == ([str(mine[0])], [str(one) for one in mine])
    assert found == ["cs_ann", None]


async def test_a_session_whose_work_is_taken_down_again_while_it_is_looked_at_is_looked_at_once_more(
    store: Store,
) -> None:
    """Who looked had seen it for sale again, and was about to end the work on it."""
    shop = Sales("platform-usdc")

    def story(conn: Connection) -> tuple[int, list[str]]:
        work_id = limited(conn, shop, 2)
        mine = opens(conn, shop, work_id, "ann")
        set_taken_down(conn, work_id, True, "not his own", START)
        (claimed,) = work.claim(
            conn, Queue(jobs, frozenset({session_ends.KIND})), 1, "one", START, timedelta(seconds=30)
        )
        set_taken_down(conn, work_id, False, "it is", START)
        assert session_ends.to_be_ended(conn, mine, START) is None
        set_taken_down(conn, work_id, True, "not his own", START)
        work.finish(conn, claimed, START)
        return mine, ending(conn)

    mine, found = await store.write(story)
    assert found == [str(mine)]


@pytest.mark.parametrize("opens_first", [True, False])
async def test_a_session_that_opens_while_another_replica_takes_the_work_down_is_ended(
    opens_first: bool, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    shop = Sales("platform-usdc")

    def begun(conn: Connection) -> tuple[int, int]:
        work = limited(conn, shop, 2)
        return work, opens(conn, shop, work, "ann", answered=False)

    work, mine = await postgres_store.write(begun)

    def opening(conn: Connection) -> None:
        checkouts.opened(conn, mine, "cs_ann", "https://checkout.stripe.com/x", START)

    def taking_down(conn: Connection) -> None:
        set_taken_down(conn, work, True, "not his own", START)

    first, second = (opening, taking_down) if opens_first else (taking_down, opening)
    async with replica(postgres_url) as one:
        await one.run_sync(first)
        other = asyncio.create_task(postgres_store.write(second))
        await until_it_waits(other, postgres_url)
        await one.commit()
    await other
    assert await postgres_store.read(ending) == [str(mine)]
