"""A deposit that an announced conversion took, and that was not its: a person says so, and the books follow."""

from uuid import UUID

import pytest
from sqlalchemy import URL, Connection, select

from domain.errors import RequestError
from domain.ledger import CONVERSION_CLEARING, OUTSIDE, Asset
from storage.books.ledger import balance
from storage.engines.postgres import PostgresStore
from storage.store import Store
from storage.tables import chain_movements, conversions, deposit_matches, ledger_entries, state_history
from storage.treasury import conversions as announcements
from storage.treasury import deposits, matches
from storage.treasury.conversions import Announced
from tests.sales import START
from tests.storage.replicas import at_once
from tests.storage.test_withdrawn_conversions import NOW, UNITS, announce, arrives, read, withdraw
from tests.verified import first_findings


def deposit_of(conn: Connection, signature: str = "deposit") -> int:
    found = conn.execute(select(chain_movements.c.id).where(chain_movements.c.signature == signature))
    return int(found.scalar_one())


def undo(conn: Connection, deposit_id: int, conversion_id: int, amount: int = UNITS) -> str | None:
    """The code of the refusal."""
    try:
        deposits.take_back(conn, deposit_id, conversion_id, amount, "it was a loan", NOW)
    except RequestError as error:
        return f"{error.status} {error.code}"
    return None


def received(conn: Connection) -> dict[int, tuple[int, bool]]:
    rows = conn.execute(select(conversions).order_by(conversions.c.id)).all()
    return {row.id: (row.received, row.settled_at is not None) for row in rows}


async def test_a_mistaken_announcement_gives_back_what_it_took_and_is_withdrawn(store: Store) -> None:
    def story(conn: Connection) -> None:
        mistaken = announce(conn)
        arrives(conn, UNITS)
        read(conn)
        assert withdraw(conn, mistaken) == "409 has_come"
        booked = conn.scalars(select(ledger_entries.c.key)).all()
        assert undo(conn, deposit_of(conn), mistaken) is None
        assert conn.scalars(select(ledger_entries.c.key)).all() == booked, "a match books nothing, nor does its end"
        assert (received(conn), deposits.unexplained_total(conn)) == ({mistaken: (0, False)}, UNITS)
        assert withdraw(conn, mistaken) is None
        told = conn.execute(select(state_history).where(state_history.c.machine == "deposit")).one()
        assert (told.before, told.after) == ("explained", "unexplained")
        assert told.reason == f"112.50 USDC of it were not conversion {mistaken}'s: it was a loan"
        meant = announce(conn, 2)
        assert received(conn) == {mistaken: (0, False), meant: (UNITS, True)}
        assert first_findings(conn) == {}

    await store.write(story)


async def test_it_is_another_announcements_at_once_and_never_the_first_ones_again(store: Store) -> None:
    def story(conn: Connection) -> None:
        first, second = announce(conn), announce(conn, 2)
        arrives(conn, UNITS)
        assert received(conn) == {first: (UNITS, True), second: (0, False)}
        assert undo(conn, deposit_of(conn), first) is None
        assert received(conn) == {first: (0, False), second: (UNITS, True)}
        assert undo(conn, deposit_of(conn), second) is None
        assert (received(conn), deposits.unexplained_total(conn)) == ({first: (0, False), second: (0, False)}, UNITS)
        arrives(conn, UNITS, "its own")
        assert received(conn) == {first: (UNITS, True), second: (0, False)}
        assert matches.of_conversions(conn, [first, second]) == {
            first: [(deposit_of(conn, "its own"), UNITS)],
            second: [],
        }
        assert first_findings(conn) == {}

    await store.write(story)


async def test_what_was_no_conversion_at_all_is_accepted_as_ones_own_and_the_real_one_still_comes(store: Store) -> None:
    def story(conn: Connection) -> None:
        meant = announce(conn)
        arrives(conn, UNITS, "loan", "a lender")
        loan = deposit_of(conn, "loan")
        assert undo(conn, loan, meant) is None
        assert not matches.is_known(conn, "a lender"), "nothing that he sends passes for a conversion by itself"
        deposits.accept_own(conn, loan, UNITS, "a loan", NOW)
        arrives(conn, UNITS - 1_000_000, "wire")
        assert received(conn) == {meant: (UNITS - 1_000_000, True)}
        assert balance(conn, OUTSIDE, Asset.USDC) == -UNITS
        assert balance(conn, CONVERSION_CLEARING, Asset.USDC) == 1_000_000 - UNITS
        assert first_findings(conn) == {}

    await store.write(story)


async def test_the_rest_of_a_deposit_joins_the_part_that_was_taken_before(store: Store) -> None:
    """The second deposit was more than was left of the conversion, of which the first one was not."""

    def story(conn: Connection) -> None:
        meant = announce(conn)
        arrives(conn, UNITS // 2, "first")
        arrives(conn, UNITS, "second")
        assert deposits.unexplained_total(conn) == UNITS // 2
        assert undo(conn, deposit_of(conn, "first"), meant, UNITS // 2) is None
        assert matches.of_conversions(conn, [meant]) == {meant: [(deposit_of(conn, "second"), UNITS)]}
        assert received(conn) == {meant: (UNITS, True)}
        assert deposits.unexplained_total(conn) == UNITS // 2
        assert first_findings(conn) == {}

    await store.write(story)


async def test_a_crumb_less_leaves_it_settled(store: Store) -> None:
    def story(conn: Connection) -> None:
        meant = announce(conn)
        arrives(conn, UNITS - 100, "wire", "exchange")
        conn.execute(conversions.update().values(settled_at=None))
        arrives(conn, 100, "crumb", "exchange")
        assert received(conn) == {meant: (UNITS, True)}
        assert undo(conn, deposit_of(conn, "crumb"), meant, 100) is None
        assert received(conn) == {meant: (UNITS - 100, True)}

    await store.write(story)


@pytest.mark.parametrize(("amount", "code"), [(UNITS - 1, "amount_differs"), (0, "amount_differs"), (UNITS, "")])
async def test_only_what_was_looked_at_is_undone_and_once(store: Store, amount: int, code: str) -> None:
    def story(conn: Connection) -> None:
        meant = announce(conn)
        arrives(conn, UNITS)
        deposit = deposit_of(conn)
        assert undo(conn, deposit, meant, amount) == (f"409 {code}" if code else None)
        if not code:
            assert undo(conn, deposit, meant, amount) == "409 undone_already"
        assert undo(conn, deposit, meant + 1) == "404 no_such_match"
        assert undo(conn, deposit + 1, meant) == "404 no_such_match"
        assert received(conn) == {meant: (0, False) if not code else (UNITS, True)}

    await store.write(story)


async def test_the_transaction_of_an_order_at_circle_mint_says_itself_whose_it_is(store: Store) -> None:
    def story(conn: Connection) -> None:
        named = Announced(str(UUID(int=1)), 11_250, UNITS, "Circle Mint transfer 1", "its-signature")
        conversion_id = announcements.announce(conn, named, START)
        arrives(conn, UNITS, "its-signature")
        assert undo(conn, deposit_of(conn, "its-signature"), conversion_id) == "409 ordered"
        assert received(conn) == {conversion_id: (UNITS, True)}

    await store.write(story)


async def test_two_who_undo_it_at_once_undo_it_once_and_a_deposit_that_comes_meanwhile_is_explained(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    ids: list[int] = []

    def begin(conn: Connection) -> None:
        ids.append(announce(conn))
        arrives(conn, UNITS)
        ids.append(deposit_of(conn))

    await postgres_store.write(begin)
    said: list[str | None] = []
    act = lambda conn: said.append(undo(conn, ids[1], ids[0]))  # noqa: E731
    await at_once(postgres_url, act, act)
    assert said == [None, "409 undone_already"]
    await postgres_store.write(lambda conn: conn.execute(deposit_matches.update().values(undone_at=None)))
    await postgres_store.write(lambda conn: conn.execute(conversions.update().values(received=UNITS, settled_at=NOW)))
    await postgres_store.write(lambda conn: conn.execute(chain_movements.update().values(unexplained=0)))
    await at_once(postgres_url, act, lambda conn: arrives(conn, UNITS, "another"))
    assert await postgres_store.read(received) == {ids[0]: (UNITS, True)}
    assert await postgres_store.read(deposits.unexplained_total) == UNITS
    assert await postgres_store.read(first_findings) == {}
