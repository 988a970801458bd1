"""Alerts that go out directly: how each stands, and one message for each change, made in the same transaction."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, update

from domain.alerts import Finding, Funds
from storage.history import note
from storage.statements import insert_into
from storage.tables import alert_messages, alerts
from storage.treasury.chain_rows import reading
from storage.treasury.funding import lacking
from storage.work import enqueue


def funds(conn: Connection, usdc_least: int, sol_least: int) -> Funds:
    """The platform wallet's last readings, and what the waiting batches lack."""
    usdc, sol = reading(conn, "treasury_usdc"), reading(conn, "treasury_sol")
    return Funds(
        None if usdc is None else usdc.amount,
        usdc_least,
        None if sol is None else sol.amount,
        sol_least,
        lacking(conn),
    )


def record(conn: Connection, findings: Iterable[Finding], new_uuid: Callable[[], UUID], now: datetime) -> int:
    """Write down what changed, with a message and its job for each change; returns how many changed.

    An alert that was never judged counts as not firing, so that a healthy start says nothing. Idempotent.
    """
    return sum(_change(conn, found, new_uuid, now) for found in findings)


def _change(conn: Connection, found: Finding, new_uuid: Callable[[], UUID], now: datetime) -> bool:
    born = insert_into(alerts, conn.dialect.name).values(name=found.name, is_firing=False, changed_at=now)
    conn.execute(born.on_conflict_do_nothing(index_elements=[alerts.c.name]))
    moved = conn.execute(
        update(alerts)
        .where(alerts.c.name == found.name, alerts.c.is_firing.is_not(found.firing))
        .values(is_firing=found.firing, changed_at=now)
    )
    if moved.rowcount != 1:
        return False
    before, after = ("resolved", "firing") if found.firing else ("firing", "resolved")
    note(conn, "alert", found.name, before, after, now, found.text)
    values = {"uuid": str(new_uuid()), "name": found.name, "is_firing": found.firing, "text": found.text}
    made = conn.execute(insert(alert_messages).values(created_at=now, **values).returning(alert_messages.c.id))
    enqueue(conn, "alert", made.scalar_one(), now)
    return True


def message(conn: Connection, message_id: int) -> Row[Any] | None:
    return conn.execute(select(alert_messages).where(alert_messages.c.id == message_id)).one_or_none()


def earlier_waits(conn: Connection, name: str, message_id: int) -> bool:
    """Whether an earlier message of the same alert is still to be delivered."""
    statement = select(func.count()).where(
        alert_messages.c.name == name, alert_messages.c.id < message_id, alert_messages.c.delivered_at.is_(None)
    )
    return bool(conn.scalar(statement))


def delivered(conn: Connection, message_id: int, now: datetime) -> None:
    conn.execute(update(alert_messages).where(alert_messages.c.id == message_id).values(delivered_at=now))
