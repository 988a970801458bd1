"""What a row of work is about to do, as far as it is written down: an inbox row's body, a job's committed intent."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, literal, select

from storage.sales import refunds
from storage.tables import (
    batches,
    circle_notifications,
    group_attempts,
    jobs,
    mint_attempts,
    payouts,
    purchases,
    stripe_events,
    transfer_attempts,
    transfers,
    users,
)
from storage.work import BY_HAND

TEXT_MOST = 100_000
"""Characters of a body that is no JSON."""
_COLUMNS = ("id", "state", "attempts", "due_at", "created_at", "error_code", "last_error")
_SOURCES: Mapping[str, tuple[Table, Any, str]] = {
    "circle_notifications": (circle_notifications, literal("circle_notification"), "notification_id"),
    "jobs": (jobs, jobs.c.kind, "subject"),
    "stripe_events": (stripe_events, literal("stripe_event"), "event_id"),
}


def row(conn: Connection, source: str, row_id: int) -> Row[Any] | None:
    """One row of work with its `kind` and `subject`; None where there is none, of sources that don't exist too."""
    if source not in _SOURCES:
        return None
    table, kind, subject = _SOURCES[source]
    columns = (kind.label("kind"), table.c[subject].label("subject"), *(table.c[name] for name in _COLUMNS))
    return conn.execute(select(*columns).where(table.c.id == row_id)).one_or_none()


def payload(conn: Connection, source: str, row_id: int) -> Any:
    """A JSON value; None where nothing was committed yet."""
    if source != "jobs":
        table = _SOURCES[source][0]
        return read_body(conn.scalar(select(table.c.body).where(table.c.id == row_id)) or b"")
    job = conn.execute(select(jobs.c.kind, jobs.c.subject).where(jobs.c.id == row_id)).one()
    if not job.subject.isdigit():
        return None
    return _intent(conn, job.kind, int(job.subject))


def read_body(body: bytes) -> Any:
    """The JSON of a stored delivery; its text where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body[:TEXT_MOST].decode("utf-8", "replace")


def _intent(conn: Connection, kind: str, subject: int) -> Any:
    if kind in _SUBJECTS:
        table, names = _SUBJECTS[kind]
        return _first(conn, select(*(table.c[name] for name in names)).where(table.c.id == subject))
    if kind == "transfer":
        return _transfer(conn, subject)
    if kind == "mint":
        names = ("attempt", "state", "buyer_address", "mint_address", "name", "uri", "signature")
        tries = select(*(mint_attempts.c[name] for name in names)).where(mint_attempts.c.purchase_id == subject)
        return _first(conn, tries.order_by(mint_attempts.c.attempt.desc()))
    if kind.startswith("packed_"):
        names = ("group_id", "attempt", "state", "signature", "last_valid_block_height")
        tries = select(*(group_attempts.c[name] for name in names)).where(group_attempts.c.group_id == subject)
        return _first(conn, tries.order_by(group_attempts.c.attempt.desc()))
    if kind == "refund":
        open_one = refunds.under_way(conn, subject)
        return None if open_one is None else {"params": json.loads(open_one.params), "state": open_one.state}
    return None


_OF_PAYOUT = ("uuid", "purchase_id", "amount", "paid_amount", "netted_amount", "settled_amount", "signature")
_SUBJECTS: Mapping[str, tuple[Table, tuple[str, ...]]] = {
    "fee": (purchases, ("stripe_payment_intent_id", "stripe_charge_id", "gross_amount")),
    "refunds": (purchases, ("stripe_payment_intent_id", "stripe_charge_id", "gross_amount", "refunded_amount")),
    "wallet": (users, ("uuid", "wallet_state", "wallet_attempt", "wallet_challenge_id")),
    "batch": (batches, ("key", "status", "paused", "digest", "planned_amount")),
    **dict.fromkeys(BY_HAND, (payouts, _OF_PAYOUT)),
}
"""What a step asks with, where no attempt of its own is written down; of work by hand, the payout in question."""


def _transfer(conn: Connection, transfer_id: int) -> Any:
    """The last attempt with its exact body; the transfer alone before the first."""
    of_transfer = ("reference", "amount", "destination_address")
    of_attempt = ("attempt", "state", "idempotency_key", "circle_transaction_id", "body")
    query = (
        select(*(transfers.c[name] for name in of_transfer), *(transfer_attempts.c[name] for name in of_attempt))
        .outerjoin(transfer_attempts, transfer_attempts.c.transfer_id == transfers.c.id)
        .where(transfers.c.id == transfer_id)
        .order_by(transfer_attempts.c.attempt.desc())
    )
    found = _first(conn, query)
    return found and found | {"body": None if found["body"] is None else json.loads(found["body"])}


def _first(conn: Connection, query: Select[Any]) -> dict[str, Any] | None:
    found = conn.execute(query.limit(1)).one_or_none()
    return None if found is None else dict(found._mapping)  # noqa: SLF001 (SQLAlchemy's public name)
