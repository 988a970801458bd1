"""Writing and summing the double-entry ledger."""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from domain.ledger import Asset, Entry, balanced, imbalance
from storage.tables import ledger_balances, ledger_entries, ledger_postings


def post(conn: Connection, entry: Entry, now: datetime) -> bool:
    """Book an entry once: False when its key is already booked, and nothing is written then.

    Raises LedgerImbalance before anything is written. Runs in the caller's transaction.
    """
    balanced(entry)
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    entry_id = conn.scalar(
        dialect.insert(ledger_entries)
        .values(key=entry.key, kind=entry.kind, subject=entry.subject, created_at=now)
        .on_conflict_do_nothing()
        .returning(ledger_entries.c.id)
    )
    if entry_id is None:
        return False
    conn.execute(
        insert(ledger_postings),
        [{"entry_id": entry_id, "account": p.account, "asset": p.asset, "amount": p.amount} for p in entry.postings],
    )
    for posting in sorted(entry.postings, key=lambda p: (p.account, p.asset)):
        statement = dialect.insert(ledger_balances).values(
            account=posting.account, asset=posting.asset, amount=posting.amount
        )
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=[ledger_balances.c.account, ledger_balances.c.asset],
                set_={"amount": ledger_balances.c.amount + statement.excluded.amount},
            )
        )
    return True


def balance(conn: Connection, account: str, asset: Asset) -> int:
    """Running balance of one account in the asset's smallest unit; 0 when nothing was ever booked."""
    found = conn.scalar(
        select(ledger_balances.c.amount).where(ledger_balances.c.account == account, ledger_balances.c.asset == asset)
    )
    return int(found or 0)


def total_imbalance(conn: Connection) -> int:
    """Sum over assets of the absolute imbalance of all running balances; 0 when the ledger holds."""
    amounts: dict[Asset, list[int]] = defaultdict(list)
    for asset, amount in conn.execute(select(ledger_balances.c.asset, ledger_balances.c.amount)):
        amounts[Asset(asset)].append(amount)
    return imbalance(amounts)
