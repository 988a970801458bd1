"""The ledger by itself: its chain, its balance, and its running balances."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, exists, func, select

from domain.hash_chain import Head
from storage.books.sealing import SEALED_TABLES, SealedTable, check_page, unsealed_page
from storage.tables import ledger_balances, ledger_entries, ledger_postings, reconciliations, seals
from storage.verification.check import PAGE_ROWS, Check, Finding, Page, at_once, by_rows

_ROWS_PHASE = "rows:"


def _chain(of: SealedTable) -> Callable[[Connection, str | None], Page]:
    """First along the seals, then through the rows for such as have none."""

    def look(conn: Connection, after: str | None) -> Page:
        if after is not None and after.startswith(_ROWS_PHASE):
            return _rows(conn, after.removeprefix(_ROWS_PHASE))
        number, _, digest = (after or "").partition(":")
        checked = check_page(conn, of, Head(int(number), digest) if after else Head(), PAGE_ROWS)
        looked = checked.head.number - (int(number) if after else 0)
        if checked.fault is not None:
            fault = checked.fault
            return Page(looked, Finding(f"{of.table.name} {fault.row_id}", f"{fault.kind}: {fault.why}"), None)
        return Page(looked, None, _ROWS_PHASE if checked.done else f"{checked.head.number}:{checked.head.digest}")

    def _rows(conn: Connection, last: str) -> Page:
        found = unsealed_page(conn, of, int(last) if last else None, PAGE_ROWS)
        if found.fault is not None:
            fault = found.fault
            return Page(0, Finding(f"{of.table.name} {fault.row_id}", f"{fault.kind}: {fault.why}"), None)
        return Page(0, None, None if found.last_id is None else f"{_ROWS_PHASE}{found.last_id}")

    return look


def _anchors(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """A chain that was rewritten whole, or cut off at its end, no longer has the heads that reports wrote down."""
    rows = conn.execute(
        select(reconciliations.c.id, reconciliations.c.heads)
        .where(reconciliations.c.id.between(first, last))
        .order_by(reconciliations.c.id)
    )
    for row in rows.all():
        for chain, (number, digest) in json.loads(row.heads).items():
            held = select(seals.c.digest).where(seals.c.chain == chain, seals.c.number == number)
            if number and conn.scalar(held) != digest:
                why = f"seal {number} of chain {chain} is not the one that the report wrote down"
                yield Finding(f"reconciliations {row.id}", why)


def _unbalanced(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    p = ledger_postings.c
    sums = (
        select(p.entry_id, p.asset, func.sum(p.amount).label("off"))
        .where(p.entry_id.between(first, last))
        .group_by(p.entry_id, p.asset)
        .having(func.sum(p.amount) != 0)
        .order_by(p.entry_id)
    )
    for row in conn.execute(sums):
        yield Finding(f"ledger_entries {row.entry_id}", f"its postings are off by {row.off} {row.asset}")
    empty = select(ledger_entries.c.id).where(
        ledger_entries.c.id.between(first, last), ~exists().where(p.entry_id == ledger_entries.c.id)
    )
    for entry_id in conn.scalars(empty):
        yield Finding(f"ledger_entries {entry_id}", "it has no postings")


def _running_balances(conn: Connection) -> Iterator[Finding]:
    """In one view, page by page: two sums for each account are held, whatever the number of postings."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    p = ledger_postings.c
    last = conn.scalar(select(func.max(p.id))) or 0
    for start in range(0, last, PAGE_ROWS):
        page = select(p.account, p.asset, func.sum(p.amount)).where(p.id > start, p.id <= start + PAGE_ROWS)
        for account, asset, amount in conn.execute(page.group_by(p.account, p.asset)):
            sums[account, asset] += int(amount)
    kept = select(ledger_balances).order_by(ledger_balances.c.account, ledger_balances.c.asset)
    for row in conn.execute(kept):
        booked = sums.pop((row.account, row.asset), 0)
        if booked != row.amount:
            why = f"the running balance is {row.amount} {row.asset}, the postings sum up to {booked}"
            yield Finding(f"ledger_balances {row.account}", why)
    for (account, asset), amount in sorted(sums.items()):
        if amount:
            yield Finding(f"ledger_balances {account}", f"it has no running balance for {amount} {asset} of postings")


def _asset_sums(conn: Connection) -> Iterator[Finding]:
    b = ledger_balances.c
    for row in conn.execute(select(b.asset, func.sum(b.amount).label("off")).group_by(b.asset).order_by(b.asset)):
        if row.off:
            yield Finding(f"ledger_balances {row.asset}", f"all accounts together are off by {row.off}")


BOOKS = (
    *(
        Check(
            f"chain-{of.chain}",
            ("I1",),
            f"no sealed row of {of.table.name} was altered, removed or slipped in",
            _chain(of),
        )
        for of in SEALED_TABLES
    ),
    Check(
        "anchors",
        ("I1",),
        "the chains still hold the heads that the reports wrote down",
        by_rows(reconciliations, _anchors),
    ),
    Check("entries-balance", ("I1",), "every entry sums to zero in each asset", by_rows(ledger_entries, _unbalanced)),
    Check(
        "running-balances", ("I1",), "every account's balance is the sum of its postings", at_once(_running_balances)
    ),
    Check("asset-sums", ("I1",), "all accounts sum to zero in each asset", at_once(_asset_sums)),
)
