"""The ledger against what it tells of: each row that moves value has its entry, as it must be, and each entry its row.

An entry is made anew from its row by the same pure function that booked it and compared posting by posting. So a bad
entry is named whether it is sealed yet or not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from domain import ledger
from domain.ledger import Asset, Entry, Posting
from domain.money import SHARE_WHOLE_BPS, cents_to_base_units
from domain.split import share_out
from domain.states import RefundState
from storage.payouts.settlements import entry_of
from storage.tables import (
    chain_movements,
    content_shares,
    contents,
    conversions,
    disputes,
    ledger_entries,
    ledger_postings,
    nettings,
    payouts,
    purchases,
    refunds,
    settlements,
)
from storage.treasury.movement_rows import MovementKind
from storage.verification.check import Check, Finding, by_rows

Postings = frozenset[Posting]


def _booked(conn: Connection, keys: Sequence[str]) -> dict[str, list[Posting]]:
    """Entries as they stand, by key."""
    found: dict[str, list[Posting]] = {
        key: [] for key in conn.scalars(select(ledger_entries.c.key).where(ledger_entries.c.key.in_(keys)))
    }
    rows = conn.execute(
        select(ledger_entries.c.key, ledger_postings.c.account, ledger_postings.c.asset, ledger_postings.c.amount)
        .join(ledger_postings, ledger_postings.c.entry_id == ledger_entries.c.id)
        .where(ledger_entries.c.key.in_(keys))
    )
    for row in rows:
        found[row.key].append(Posting(row.account, Asset(row.asset), row.amount))
    return found


def _compare(conn: Connection, expected: Iterable[tuple[str, Entry]], chunk: int = 400) -> Iterator[Finding]:
    """Entries (with the row that calls for each) that are missing or differ."""
    wanted = list(expected)
    for start in range(0, len(wanted), chunk):
        part = wanted[start : start + chunk]
        booked = _booked(conn, [entry.key for _, entry in part])
        for row, entry in part:
            if entry.key not in booked:
                yield Finding(row, f"its entry {entry.key} is missing in the ledger")
            elif sorted(map(_order, booked[entry.key])) != sorted(map(_order, entry.postings)):
                yield Finding(row, f"entry {entry.key} is not what the row calls for")


def _order(posting: Posting) -> tuple[str, str, int]:
    return posting.account, posting.asset, posting.amount


def _of_sales(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(purchases)
        .where(purchases.c.id.between(first, last), purchases.c.paid_at.is_not(None))
        .order_by(purchases.c.id)
    ).all()
    shares = shares_by_content(conn, {row.content_id for row in rows})
    owed = set(conn.scalars(select(payouts.c.purchase_id).where(payouts.c.purchase_id.between(first, last)).distinct()))
    yield from _compare(conn, (named for row in rows for named in _sale_entries(row, shares, row.id in owed)))


def _sale_entries(row: Row[Any], shares: Mapping[int, Mapping[int, int]], owed: bool) -> Iterator[tuple[str, Entry]]:
    name, payment_intent_id = f"purchases {row.id}", row.stripe_payment_intent_id
    yield name, ledger.sale_paid(payment_intent_id, row.gross_amount)
    if row.stripe_fee is not None:
        yield name, ledger.fee_final(payment_intent_id, row.gross_amount, row.stripe_fee)
    if owed:
        parts = share_out(row.creator_amount, shares[row.content_id])
        net = cents_to_base_units(row.net_after_stripe)
        yield name, ledger.sale_due(payment_intent_id, net, row.platform_amount, parts)


def shares_by_content(conn: Connection, content_ids: set[int]) -> dict[int, dict[int, int]]:
    """Recipient → basis points for each content; the author alone where no collaborators were named."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for row in conn.execute(select(content_shares).where(content_shares.c.content_id.in_(content_ids))):
        found[row.content_id][row.user_id] = row.share_bps
    for row in conn.execute(select(contents.c.id, contents.c.author_id).where(contents.c.id.in_(content_ids))):
        if row.id not in found:
            found[row.id] = {row.author_id: SHARE_WHOLE_BPS}
    return found


def _of_refunds(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(refunds, purchases.c.stripe_payment_intent_id)
        .join(purchases)
        .where(refunds.c.id.between(first, last))
        .order_by(refunds.c.id)
    ).all()
    failed = [f"refund:{row.uuid}" for row in rows if row.state == RefundState.FAILED]
    once = set(conn.scalars(select(ledger_entries.c.key).where(ledger_entries.c.key.in_(failed))))
    wanted = []
    for row in rows:
        if row.state == RefundState.SUCCEEDED or f"refund:{row.uuid}" in once:
            entry = ledger.refund_succeeded(row.uuid, row.stripe_payment_intent_id, row.amount)
            wanted.append((f"refunds {row.id}", entry))
        if f"refund:{row.uuid}" in once:
            back = ledger.refund_succeeded(f"{row.uuid}:failed", row.stripe_payment_intent_id, -row.amount)
            wanted.append((f"refunds {row.id}", back))
    yield from _compare(conn, wanted)


def _of_nettings(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(nettings, payouts.c.uuid)
        .join(payouts, payouts.c.id == nettings.c.payout_id)
        .where(nettings.c.id.between(first, last))
        .order_by(nettings.c.id)
    ).all()
    wanted = []
    for row in rows:
        name = f"nettings {row.id}"
        wanted.append((name, ledger.debt_netted(row.ledger_key, row.uuid, row.recipient_id, row.amount)))
        if row.undone_at is not None:
            key = f"{row.ledger_key}:undone"
            wanted.append((name, ledger.debt_netted(key, row.uuid, row.recipient_id, -row.amount)))
    yield from _compare(conn, wanted)


def _of_disputes(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """Their entries are differences: together they are what the dispute has taken."""
    rows = conn.execute(
        select(disputes, purchases.c.stripe_payment_intent_id)
        .join(purchases)
        .where(disputes.c.id.between(first, last))
        .order_by(disputes.c.id)
    ).all()
    for row in rows:
        found = conn.execute(
            select(ledger_postings.c.account, func.sum(ledger_postings.c.amount))
            .join(ledger_entries, ledger_entries.c.id == ledger_postings.c.entry_id)
            .where(
                ledger_entries.c.subject == row.stripe_payment_intent_id,
                ledger_entries.c.kind == "dispute_money",
                ledger_entries.c.key.startswith(f"dispute:{row.stripe_dispute_id}:", autoescape=True),
            )
            .group_by(ledger_postings.c.account)
        )
        sums = {account: int(amount) for account, amount in found}
        if (sums.get(ledger.SALES, 0), sums.get(ledger.STRIPE_FEES, 0)) != (row.withdrawn, row.fee):
            why = f"the ledger has {sums} for it, Stripe took {row.withdrawn} and a fee of {row.fee}"
            yield Finding(f"disputes {row.id}", why)


def _of_conversions(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(select(conversions).where(conversions.c.id.between(first, last)).order_by(conversions.c.id))
    yield from _compare(conn, (named for row in rows.all() for named in _conversion_entries(row)))


def _conversion_entries(row: Row[Any]) -> Iterator[tuple[str, Entry]]:
    name = f"conversions {row.id}"
    yield name, ledger.conversion_sent(row.uuid, row.usd_cents)
    if row.withdrawn_at is not None:
        yield name, ledger.conversion_withdrawn(row.uuid, row.usd_cents)


def _of_settlements(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(settlements, payouts.c.uuid)
        .join(payouts, payouts.c.id == settlements.c.payout_id)
        .where(settlements.c.id.between(first, last))
        .order_by(settlements.c.id)
    ).all()
    yield from _compare(conn, [(f"settlements {row.id}", entry_of(row, row.uuid)) for row in rows])


def _of_movements(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(chain_movements).where(chain_movements.c.id.between(first, last)).order_by(chain_movements.c.id)
    ).all()
    paid = _paid_by_signature(conn, [row.signature for row in rows if row.kind == MovementKind.PAYOUT])
    wanted = [(f"chain_movements {row.id}", entry) for row in rows for entry in _movement_entries(row, paid)]
    yield from _compare(conn, wanted)


def _movement_entries(row: Row[Any], paid: Mapping[str, Mapping[int, int]]) -> Iterator[Entry]:
    if row.asset == Asset.SOL:
        if row.kind == MovementKind.OTHER:
            yield ledger.sol_moved(row.signature, row.amount)
        else:
            yield ledger.network_cost(row.signature, row.kind, -row.amount)
    elif row.amount > 0:
        yield ledger.usdc_deposit(row.signature, row.amount)
        if row.own_amount:
            yield ledger.usdc_own(row.signature, row.own_amount)
    elif row.kind != MovementKind.PAYOUT:
        yield ledger.usdc_outside(row.signature, -row.amount)
    elif row.signature in paid:
        yield ledger.payouts_distributed(row.signature, paid[row.signature])


def _paid_by_signature(conn: Connection, signatures: Sequence[str]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    rows = select(payouts.c.signature, payouts.c.recipient_id, payouts.c.paid_amount).where(
        payouts.c.signature.in_(signatures), payouts.c.paid_amount > 0
    )
    for row in conn.execute(rows):
        found[row.signature][row.recipient_id] += row.paid_amount
    return found


def _between(key: str) -> Callable[[str], str]:
    """The id in a key such as `dispute:<id>:<cause>`, behind its first colon."""
    return lambda entry_key: entry_key.removeprefix(key).split(":")[0]


def _subject(row: Row[Any]) -> str:
    return str(row.subject)


Cause = tuple[Callable[[Row[Any]], str], Any, ColumnElement[bool] | None]
"""How an entry names what caused it, the column that holds the name, and what else must be true of that row."""
_SALE: Cause = (_subject, purchases.c.stripe_payment_intent_id, purchases.c.paid_at.is_not(None))
_OWED = purchases.c.minted_at.is_not(None) | purchases.c.released_at.is_not(None)
_MOVED: Cause = (_subject, chain_movements.c.signature, None)
CAUSES: Mapping[str, Cause] = {
    "sale_paid": _SALE,
    "fee_final": (_subject, purchases.c.stripe_payment_intent_id, purchases.c.stripe_fee.is_not(None)),
    "sale_due": (_subject, purchases.c.stripe_payment_intent_id, _OWED),
    "refund_succeeded": (lambda row: _between("refund:")(row.key), refunds.c.uuid, None),
    "dispute_money": (lambda row: _between("dispute:")(row.key), disputes.c.stripe_dispute_id, None),
    "due_changed": (_subject, payouts.c.uuid, None),
    "debt_netted": (lambda row: str(row.key).removesuffix(":undone"), nettings.c.ledger_key, None),
    "conversion_sent": (_subject, conversions.c.uuid, None),
    "conversion_withdrawn": (_subject, conversions.c.uuid, conversions.c.withdrawn_at.is_not(None)),
    **dict.fromkeys(
        ("settled_by_hand", "debt_repaid", "debt_forgiven"), (lambda row: str(row.key), settlements.c.ledger_key, None)
    ),
    "usdc_deposit": (_subject, chain_movements.c.signature, chain_movements.c.kind == MovementKind.DEPOSIT),
    "usdc_own": (_subject, chain_movements.c.signature, chain_movements.c.own_amount > 0),
    "usdc_outside": _MOVED,
    "usdc_outside_claimed": _MOVED,
    "payouts_distributed": (_subject, payouts.c.signature, payouts.c.paid_amount > 0),
    "network_mint": (_subject, chain_movements.c.signature, chain_movements.c.kind == MovementKind.MINT),
    "network_payout": (_subject, chain_movements.c.signature, chain_movements.c.kind == MovementKind.PAYOUT),
    "sol_moved": _MOVED,
    "sol_moved_claimed": _MOVED,
}
"""Every kind of entry (`domain/ledger.py`), and which row must be there for it."""


def _without_cause(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    e = ledger_entries.c
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for row in conn.execute(select(e.id, e.key, e.kind, e.subject).where(e.id.between(first, last)).order_by(e.id)):
        by_kind[row.kind].append(row)
    found = [finding for kind, rows in by_kind.items() for finding in _uncaused(conn, kind, rows)]
    yield from (finding for _, finding in sorted(found, key=lambda one: one[0]))


def _uncaused(conn: Connection, kind: str, rows: Sequence[Row[Any]]) -> Iterator[tuple[int, Finding]]:
    if kind not in CAUSES:
        yield rows[0].id, Finding(f"ledger_entries {rows[0].id}", f"no entry of ours is of the kind '{kind}'")
        return
    name_of, column, also = CAUSES[kind]
    names = {name_of(row) for row in rows}
    wanted = column.in_(names)
    known = set(conn.scalars(select(column).where(wanted if also is None else and_(wanted, also)).distinct()))
    for row in rows:
        if name_of(row) not in known:
            why = f"entry {row.key}: nothing in {column.table.name} is its cause"
            yield row.id, Finding(f"ledger_entries {row.id}", why)
            return


CAUSED = (
    Check(
        "entries-of-sales", ("I1", "I2"), "every payment, fee and due is booked as it is", by_rows(purchases, _of_sales)
    ),
    Check("entries-of-refunds", ("I1", "I2"), "every refund is booked as it is", by_rows(refunds, _of_refunds)),
    Check(
        "entries-of-disputes", ("I1", "I2"), "every dispute's money is booked as it is", by_rows(disputes, _of_disputes)
    ),
    Check("entries-of-nettings", ("I1",), "every use of a debt is booked as it is", by_rows(nettings, _of_nettings)),
    Check(
        "entries-of-settlements",
        ("I1", "I2"),
        "what people settled by hand is booked as it is",
        by_rows(settlements, _of_settlements),
    ),
    Check(
        "entries-of-conversions", ("I1",), "every conversion is booked as it is", by_rows(conversions, _of_conversions)
    ),
    Check(
        "entries-of-movements",
        ("I1", "I11"),
        "every movement on chain is booked as it is",
        by_rows(chain_movements, _of_movements),
    ),
    Check(
        "causes-of-entries", ("I1",), "every entry has the row that caused it", by_rows(ledger_entries, _without_cause)
    ),
)
