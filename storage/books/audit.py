"""Who of the operators did what to which subject, with its facts before and after. Functions run in the caller's
transaction: a change and its row are committed together or not at all."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Row, Table, insert, select

from domain.ledger import Asset, debt_of
from storage.tables import (
    audit_log,
    backups,
    batch_approvals,
    batches,
    chain_movements,
    circle_notifications,
    contents,
    conversion_orders,
    conversions,
    invites,
    jobs,
    ledger_balances,
    payouts,
    purchases,
    reconciliations,
    stripe_events,
    switches,
    tokens,
    users,
)

T = TypeVar("T")
_WORK = ("state", "attempts", "error_code")
_FACTS: Mapping[str, tuple[Table, tuple[str, ...]]] = {
    "purchase": (purchases, ("status", "status_reason", "hold_reason", "refunded_amount", "released_at")),
    "user": (users, ("email", "wallet_provider", "wallet_state", "wallet_address")),
    "invite": (invites, ("uses_left", "note")),
    "token": (tokens, ("name", "role", "expires_at", "revoked_at")),
    "content": (contents, ("title", "taken_down_at")),
    "batch": (batches, ("status", "paused", "pause_reason", "digest", "planned_amount")),
    "conversion": (conversions, ("usd_cents", "expected_usdc", "note", "received", "withdrawn_at")),
    "debt": (users, ("username",)),
    "conversion_order": (conversion_orders, ("state", "amount", "destination_address", "note", "circle_transfer_id")),
    "backup": (backups, ("kind", "name", "size_bytes", "sha256")),
    "reconciliation": (reconciliations, ("asked_by", "phase")),
    "outflow": (chain_movements, ("signature", "amount", "kind")),
    "deposit": (chain_movements, ("signature", "amount", "unexplained", "own_amount")),
    "switch": (switches, ("is_on", "reason", "set_by")),
    "jobs": (jobs, ("kind", "subject", *_WORK)),
    "stripe_events": (stripe_events, ("event_id", *_WORK)),
    "circle_notifications": (circle_notifications, ("notification_id", *_WORK)),
}
"""What of a subject is written down, by its kind. Never a secret, a hash of one or a body."""


@dataclass(frozen=True, slots=True)
class Act:
    """An operator's act. `subject` is the row's id, or the name of what has none; `reason` is his own words."""

    actor: str
    remote: str
    request_id: str
    action: str
    kind: str
    subject: str
    reason: str | None = None


def audited(act: Act, now: datetime, change: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """The change with its row in the audit log, both or neither."""

    def run(conn: Connection) -> T:
        before = facts(conn, act.kind, act.subject)
        result = change(conn)
        record(conn, act, before, now)
        return result

    return run


def born(act: Act, now: datetime, make: Callable[[Connection], int]) -> Callable[[Connection], int]:
    """As `audited`, for a change that makes the subject: its row's id becomes the act's subject."""

    def run(conn: Connection) -> int:
        row_id = make(conn)
        made = Act(act.actor, act.remote, act.request_id, act.action, act.kind, str(row_id), act.reason)
        record(conn, made, None, now)
        return row_id

    return run


def record(conn: Connection, act: Act, before: Mapping[str, Any] | None, now: datetime) -> None:
    """Write one row; the facts after are read here."""
    after = facts(conn, act.kind, act.subject)
    conn.execute(
        insert(audit_log).values(
            at=now,
            actor=act.actor[:64],
            remote=act.remote[:64],
            request_id=act.request_id[:64],
            action=act.action,
            kind=act.kind,
            subject=act.subject[:128],
            reason=act.reason,
            before=_text(before),
            after=_text(after),
        )
    )


def facts(conn: Connection, kind: str, subject: str) -> dict[str, Any] | None:
    """The subject's facts now; None when there is no such row."""
    if kind not in _FACTS:
        return None
    table, names = _FACTS[kind]
    key: Column[Any] = table.c.name if table is switches else table.c.id
    if table is not switches and not subject.isdigit():
        return None
    wanted = subject if table is switches else int(subject)
    row = conn.execute(select(*(table.c[name] for name in names)).where(key == wanted)).one_or_none()
    if row is None:
        return None
    found = dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's public name for a row by column)
    return found | _beside(conn, kind, subject)


def _beside(conn: Connection, kind: str, subject: str) -> dict[str, Any]:
    """What belongs to the subject and lies in other tables."""
    if kind == "purchase":
        rows = conn.execute(
            select(payouts.c.id, payouts.c.state, payouts.c.amount)
            .where(payouts.c.purchase_id == int(subject))
            .order_by(payouts.c.id)
        )
        return {"payouts": [f"{row.id}: {row.state} {row.amount}" for row in rows]}
    if kind == "debt":
        his = (ledger_balances.c.account == debt_of(int(subject))) & (ledger_balances.c.asset == Asset.USDC)
        return {"debt": conn.scalar(select(ledger_balances.c.amount).where(his)) or 0}
    if kind == "batch":
        mine = batch_approvals.c.batch_id == int(subject)
        return {"approvals": list(conn.scalars(select(batch_approvals.c.approver).where(mine)))}
    return {}


def _text(found: Mapping[str, Any] | None) -> str | None:
    return None if found is None else json.dumps(found, default=_plain, sort_keys=True, ensure_ascii=False)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def page(
    conn: Connection,
    before: int | None,
    limit: int,
    *,
    actor: str | None = None,
    kind: str | None = None,
    subject: str | None = None,
) -> Sequence[Row[Any]]:
    """Up to `limit` acts, newest first, with ids below `before`."""
    query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
    for column, wanted in ((audit_log.c.actor, actor), (audit_log.c.kind, kind), (audit_log.c.subject, subject)):
        if wanted is not None:
            query = query.where(column == wanted)
    return conn.execute(query if before is None else query.where(audit_log.c.id < before)).all()
