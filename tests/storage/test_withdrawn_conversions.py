"""An announcement that was a mistake is taken back while nothing has come for it, and only where that is known."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import URL, Connection, select

from domain.errors import RequestError
from domain.ledger import CONVERSION_CLEARING, STRIPE_BALANCE, Asset
from storage.books.ledger import balance
from storage.engines.postgres import PostgresStore
from storage.store import Store
from storage.tables import chain_movements, conversions, state_history
from storage.treasury import conversion_orders, movement_rows, movements
from storage.treasury import conversions as announcements
from storage.treasury.chain_rows import record_reading
from storage.treasury.conversion_orders import Wish
from storage.treasury.conversions import Announced
from tests.sales import PLATFORM, START
from tests.storage.replicas import at_once
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
NOW = START + timedelta(hours=1)
SLOT = 50
CENTS, UNITS = 11_250, 112_500_000


def announce(conn: Connection, number: int = 1, cents: int = CENTS) -> int:
    wish = Announced(str(UUID(int=number)), cents, cents * 10_000, f"wire {number}")
    return announcements.announce(conn, wish, START)


def arrives(conn: Connection, amount: int, signature: str = "deposit", sender: str | None = None) -> None:
    moved = movement_rows.Movement(signature, ACCOUNT, Asset.USDC, amount, SLOT, START, sender)
    movements.book_usdc(conn, moved, START)


def read(conn: Connection, amount: int | None = None) -> None:
    """The wallet's balance, a moment ago."""
    booked = movement_rows.movement_sum(conn, ACCOUNT, Asset.USDC)
    record_reading(conn, "treasury_usdc", booked if amount is None else amount, SLOT, NOW)


def withdraw(conn: Connection, conversion_id: int) -> str | None:
    """The code of the refusal."""
    try:
        announcements.withdraw(conn, conversion_id, ACCOUNT, "the wire was never made", NOW)
    except RequestError as error:
        return f"{error.status} {error.code}"
    return None


def dollars(conn: Connection) -> tuple[int, int]:
    return balance(conn, CONVERSION_CLEARING, Asset.USD), balance(conn, STRIPE_BALANCE, Asset.USD)


async def test_its_dollars_are_back_at_stripe_and_it_explains_and_promises_nothing_more(store: Store) -> None:
    def story(conn: Connection) -> None:
        mistaken, meant = announce(conn), announce(conn, 2)
        assert conversion_orders.on_its_way(conn) == 2 * UNITS
        read(conn)
        assert withdraw(conn, mistaken) is None
        assert (dollars(conn), conversion_orders.on_its_way(conn)) == ((CENTS, -CENTS), UNITS)
        arrives(conn, UNITS)
        received = dict(conn.execute(select(conversions.c.id, conversions.c.received)).all())
        assert received == {mistaken: 0, meant: UNITS}
        told = conn.execute(select(state_history).where(state_history.c.after == "withdrawn")).one()
        assert (told.subject, told.after, told.reason) == (str(mistaken), "withdrawn", "the wire was never made")
        read(conn)
        assert withdraw(conn, mistaken) == "409 withdrawn_already"
        assert withdraw(conn, meant) == "409 has_come"
        assert withdraw(conn, 99) == "404 conversion_not_found"
        assert first_findings(conn) == {}

    await store.write(story)


async def test_whether_something_has_come_must_be_known(store: Store) -> None:
    def story(conn: Connection) -> None:
        conversion_id = announce(conn)
        assert withdraw(conn, conversion_id) == "409 chain_unread", "the wallet was never read"
        record_reading(conn, "treasury_usdc", 0, SLOT, NOW - announcements.READ_WITHIN - timedelta(seconds=1))
        assert withdraw(conn, conversion_id) == "409 chain_unread", "it was read a while ago"
        read(conn, UNITS)
        assert withdraw(conn, conversion_id) == "409 chain_unread", "it holds what the books do not"
        assert dollars(conn) == (CENTS, -CENTS)
        arrives(conn, UNITS)
        read(conn)
        assert withdraw(conn, conversion_id) == "409 has_come"

    await store.write(story)


async def test_what_waits_for_an_order_at_circle_mint_may_have_come_for_it(store: Store) -> None:
    def story(conn: Connection) -> None:
        conversion_id = announce(conn)
        order = conversion_orders.propose(conn, Wish(UUID(int=9), UNITS, PLATFORM, "", "ada"), START)
        arrives(conn, UNITS)
        read(conn)
        assert conn.scalars(select(chain_movements.c.unexplained)).one() == UNITS
        assert withdraw(conn, conversion_id) == "409 may_have_come"
        conversion_orders.cancel(conn, order, "it was the other one's", NOW)
        assert withdraw(conn, conversion_id) == "409 has_come"

    await store.write(story)


async def test_what_an_order_at_circle_mint_became_is_nobodys_to_withdraw(store: Store) -> None:
    def story(conn: Connection) -> None:
        named = Announced(str(UUID(int=1)), CENTS, UNITS, "Circle Mint transfer 1", "its-signature")
        conversion_id = announcements.announce(conn, named, START)
        read(conn)
        assert withdraw(conn, conversion_id) == "409 ordered"

    await store.write(story)


async def test_a_deposit_that_comes_at_the_same_moment_is_explained_or_the_announcement_is_withdrawn(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    ids: list[int] = []

    def begin(conn: Connection) -> None:
        ids.append(announce(conn))
        read(conn)

    await postgres_store.write(begin)
    said: list[str | None] = []
    await at_once(postgres_url, lambda conn: arrives(conn, UNITS), lambda conn: said.append(withdraw(conn, ids[0])))
    assert said == ["409 has_come"]

    await postgres_store.write(lambda conn: ids.append(announce(conn, 2)))
    await postgres_store.write(read)
    await at_once(
        postgres_url,
        lambda conn: said.append(withdraw(conn, ids[1])),
        lambda conn: arrives(conn, UNITS, "another"),
    )
    assert said[1:] == [None]
    unexplained = select(chain_movements.c.unexplained).where(chain_movements.c.signature == "another")
    assert await postgres_store.read(lambda conn: conn.scalar(unexplained)) == UNITS
    assert await postgres_store.read(first_findings) == {}
