"""Writing and summing the double-entry ledger."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, bindparam, insert, select
from sqlalchemy.sql.dml import ReturningInsert

from domain.ledger import Asset, Entry, balanced, imbalance
from storage.statements import insert_into
from storage.tables import ledger_balances, ledger_entries, ledger_postings


def post(conn: Connection, entry: Entry, now: datetime) -> bool:
    """Book an entry once: False when its key is already booked, and nothing is written then.

    Raises LedgerImbalance before anything is written. Runs in the caller's transaction.
    """
    return bool(post_all(conn, [entry], now))


def post_all(conn: Connection, entries: Sequence[Entry], now: datetime) -> int:
    """Book each of these entries once, in their order; returns how many were new. Keys differ from one another.

    Raises LedgerImbalance before anything is written. Runs in the caller's transaction.
    """
    for entry in entries:
        balanced(entry)
    if not entries:
        return 0
    born = conn.execute(
        _entries(conn.dialect.name),
        [{"key": one.key, "kind": one.kind, "subject": one.subject, "created_at": now} for one in entries],
    )
    ids = {row.key: row.id for row in born}
    postings = [(ids[entry.key], posting) for entry in entries if entry.key in ids for posting in entry.postings]
    if not postings:
        return 0
    conn.execute(
        _POSTINGS,
        [{"entry_id": which, "account": p.account, "asset": p.asset, "amount": p.amount} for which, p in postings],
    )
    sums: dict[tuple[str, Asset], int] = defaultdict(int)
    for _, posting in postings:
        sums[posting.account, posting.asset] += posting.amount
    conn.execute(
        _balances(conn.dialect.name),
        [{"account": account, "asset": asset, "amount": amount} for (account, asset), amount in sorted(sums.items())],
    )
    return len(ids)


@cache
def _entries(dialect: str) -> ReturningInsert[Any]:
    born = insert_into(ledger_entries, dialect).on_conflict_do_nothing()
    return born.returning(ledger_entries.c.key, ledger_entries.c.id)


_POSTINGS = insert(ledger_postings)


@cache
def _balances(dialect: str) -> Insert:
    statement = insert_into(ledger_balances, dialect)
    return statement.on_conflict_do_update(
        index_elements=[ledger_balances.c.account, ledger_balances.c.asset],
        set_={"amount": ledger_balances.c.amount + statement.excluded.amount},
    )


def balance(conn: Connection, account: str, asset: Asset) -> int:
    """Running balance of one account in the asset's smallest unit; 0 when nothing was ever booked."""
    return int(conn.scalar(_BALANCE, {"of": account, "in": asset}) or 0)


_BALANCE = select(ledger_balances.c.amount).where(
    ledger_balances.c.account == bindparam("of"), ledger_balances.c.asset == bindparam("in")
)


def total_imbalance(conn: Connection) -> int:
    """Sum over assets of the absolute imbalance of all running balances; 0 when the ledger holds."""
    amounts: dict[Asset, list[int]] = defaultdict(list)
    for asset, amount in conn.execute(select(ledger_balances.c.asset, ledger_balances.c.amount)):
        amounts[Asset(asset)].append(amount)
    return imbalance(amounts)
