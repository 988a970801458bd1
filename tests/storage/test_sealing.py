"""The ledger's chain in the database: sealed in pages, and every way to touch a row is found, on both databases."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, delete, insert, select, text, update

from domain.hash_chain import Fault, Head, Tampering
from domain.ledger import sale_paid
from storage.append_only import append_only_triggers
from storage.books.ledger import post
from storage.books.sealing import LATE_ROWS, LEDGER, check_page, head, next_seals, unsealed_page, write_seals
from storage.store import Store
from storage.tables import ledger_entries, ledger_postings, seals

NOW = datetime(2026, 11, 16, tzinfo=UTC)
GUARDED = ("ledger_entries", "ledger_postings", "seals")


def book(conn: Connection, *numbers: int) -> None:
    for number in numbers:
        post(conn, sale_paid(f"pi_{number}", 300 + number), NOW)


def seal_all(conn: Connection, page: int = 2) -> int:
    """In pages of two; the number of rows sealed."""
    total = 0
    while found := next_seals(conn, LEDGER, page):
        write_seals(conn, LEDGER.chain, found, NOW)
        total += len(found)
    return total


def first_fault(conn: Connection) -> Fault | None:
    at = Head()
    while True:
        checked = check_page(conn, LEDGER, at, 2)
        at = checked.head
        if checked.done:
            break
    after: int | None = None
    fault = checked.fault
    while fault is None:
        unsealed = unsealed_page(conn, LEDGER, after, 2)
        fault, after = unsealed.fault, unsealed.last_id
        if after is None:
            break
    return fault


def unguarded(conn: Connection, touch: Callable[[Connection], object]) -> None:
    """What somebody can do who owns the database: take the triggers away, touch, put them back."""
    for table in GUARDED:
        if conn.dialect.name == "postgresql":
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        else:
            conn.execute(text(f"DROP TRIGGER {table}_no_update"))
            conn.execute(text(f"DROP TRIGGER {table}_no_delete"))
    touch(conn)
    for table in GUARDED:
        if conn.dialect.name == "postgresql":
            conn.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        else:
            for statement in append_only_triggers([table], "sqlite"):
                conn.execute(text(statement))


async def test_rows_are_sealed_in_pages_once_and_the_chain_holds(store: Store) -> None:
    await store.write(lambda conn: book(conn, 1, 2, 3, 4, 5))
    assert await store.write(seal_all) == 5
    assert await store.write(seal_all) == 0
    await store.write(lambda conn: book(conn, 6))
    assert (await store.read(lambda conn: unsealed_page(conn, LEDGER, None, 100))).waiting == 1
    assert await store.write(seal_all) == 1
    assert (await store.read(lambda conn: head(conn, LEDGER.chain))).number == 6
    assert await store.read(first_fault) is None


def _fourth(conn: Connection) -> int:
    found = conn.scalar(select(ledger_entries.c.id).where(ledger_entries.c.key == "paid:pi_4"))
    assert found is not None
    return int(found)


TOUCHES: dict[str, tuple[Tampering, Callable[[Connection], object]]] = {
    "an entry's subject": (
        Tampering.ALTERED,
        lambda conn: conn.execute(
            update(ledger_entries).where(ledger_entries.c.id == _fourth(conn)).values(subject="pi_else")
        ),
    ),
    "a posting's amount": (
        Tampering.ALTERED,
        lambda conn: conn.execute(
            update(ledger_postings)
            .where(ledger_postings.c.entry_id == _fourth(conn))
            .values(amount=ledger_postings.c.amount * 2)
        ),
    ),
    "a posting more": (
        Tampering.ALTERED,
        lambda conn: conn.execute(
            insert(ledger_postings).values(entry_id=_fourth(conn), account="sales", asset="usd_cents", amount=1)
        ),
    ),
    "a posting gone": (
        Tampering.ALTERED,
        lambda conn: conn.execute(
            delete(ledger_postings).where(
                ledger_postings.c.entry_id == _fourth(conn), ledger_postings.c.account == "sales"
            )
        ),
    ),
    "an entry gone": (
        Tampering.MISSING,
        lambda conn: (
            conn.execute(delete(ledger_postings).where(ledger_postings.c.entry_id == _fourth(conn))),
            conn.execute(delete(ledger_entries).where(ledger_entries.c.key == "paid:pi_4")),
        ),
    ),
    "its seal gone": (
        Tampering.MISSING,
        lambda conn: conn.execute(delete(seals).where(seals.c.number == 4)),
    ),
}


@pytest.mark.parametrize("what", TOUCHES)
async def test_whatever_is_touched_is_found_at_its_row(store: Store, what: str) -> None:
    await store.write(lambda conn: book(conn, 1, 2, 3, 4, 5))
    await store.write(seal_all)
    kind, touch = TOUCHES[what]
    fourth = await store.read(_fourth)
    await store.write(lambda conn: unguarded(conn, touch))
    fault = await store.read(first_fault)
    assert fault is not None
    named = fourth + 1 if what == "its seal gone" else fourth
    assert (fault.kind, fault.row_id) == (kind, named)


async def test_a_row_slipped_in_among_sealed_ones_is_named_and_never_sealed(store: Store) -> None:
    late = {"id": LATE_ROWS + 50, "key": "late", "kind": "x", "subject": "s", "created_at": NOW}
    await store.write(lambda conn: conn.execute(insert(ledger_entries), [late]).rowcount)
    await store.write(seal_all)
    slipped = {"id": 7, "key": "slipped", "kind": "x", "subject": "s", "created_at": NOW}
    await store.write(lambda conn: conn.execute(insert(ledger_entries), [slipped]).rowcount)
    assert await store.write(seal_all) == 0
    fault = await store.read(first_fault)
    assert fault is not None
    assert (fault.kind, fault.row_id) == (Tampering.INSERTED, 7)


async def test_a_row_whose_transaction_was_slower_than_the_sealing_is_sealed_after_later_ones(store: Store) -> None:
    for row_id in (8, 7):
        row = {"id": row_id, "key": f"k{row_id}", "kind": "x", "subject": "s", "created_at": NOW}
        await store.write(lambda conn, row=row: conn.execute(insert(ledger_entries), [row]).rowcount)  # type: ignore[misc]
        assert await store.write(seal_all) == 1
    assert await store.read(first_fault) is None
