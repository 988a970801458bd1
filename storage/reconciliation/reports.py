"""Reports of the reconciliation: begun, moved on page by page, finished. Functions run in the caller's transaction."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from domain.reconciliation import Colour
from storage.books.sealing import SEALED_TABLES, head
from storage.tables import reconciliation_findings, reconciliations


@dataclass(frozen=True, slots=True)
class FindingRow:
    """Something that is not green. `book` is where it was found: sale, stripe, circle, chain or rule."""

    colour: Colour
    book: str
    subject: str
    code: str
    why: str


def ask(conn: Connection, who: str, now: datetime) -> int:
    """Want a report; the one that is under way serves too. Returns its number."""
    report_id = unfinished(conn)
    if report_id is None:
        wanted = insert(reconciliations).values(asked_by=who[:64], started_at=now, phase="asked")
        report_id = conn.scalar(wanted.returning(reconciliations.c.id))
    assert report_id is not None
    return report_id


def unfinished(conn: Connection) -> int | None:
    """The report that was asked for or is under way; None when there is none."""
    query = select(reconciliations.c.id).where(reconciliations.c.finished_at.is_(None))
    found: int | None = conn.scalar(query.order_by(reconciliations.c.id.desc()).limit(1))
    return found


def begin(conn: Connection, now: datetime) -> int:
    """Start the report that was asked for or left unfinished by a process that died, anew; else the daily one."""
    report_id = unfinished(conn)
    heads = {of.chain: [end.number, end.digest] for of in SEALED_TABLES for end in [head(conn, of.chain)]}
    fresh = {"started_at": now, "phase": "listing", "done": 0, "heads": json.dumps(heads)}
    if report_id is None:
        report_id = conn.scalar(
            insert(reconciliations).values(asked_by="schedule", **fresh).returning(reconciliations.c.id)
        )
    else:
        conn.execute(delete(reconciliation_findings).where(reconciliation_findings.c.reconciliation_id == report_id))
        zero = {"green": 0, "explained": 0, "red": 0}
        conn.execute(update(reconciliations).where(reconciliations.c.id == report_id).values(**fresh, **zero))
    assert report_id is not None
    return int(report_id)


def move(conn: Connection, report_id: int, phase: str, done: int, **columns: Any) -> None:
    """Say how far a report is: what shows while it runs."""
    conn.execute(
        update(reconciliations).where(reconciliations.c.id == report_id).values(phase=phase, done=done, **columns)
    )


def add(conn: Connection, report_id: int, green: int, found: Sequence[FindingRow]) -> None:
    """Count a page: green sales, and what was found."""
    by_colour = Counter(one.colour for one in found)
    r = reconciliations.c
    conn.execute(
        update(reconciliations)
        .where(r.id == report_id)
        .values(
            green=r.green + green,
            explained=r.explained + by_colour[Colour.EXPLAINED],
            red=r.red + by_colour[Colour.RED],
        )
    )
    if found:
        conn.execute(
            insert(reconciliation_findings),
            [
                {
                    "reconciliation_id": report_id,
                    "colour": one.colour,
                    "book": one.book,
                    "subject": one.subject[:255],
                    "code": one.code,
                    "why": one.why[:2000],
                }
                for one in found
            ],
        )


def finish(conn: Connection, report_id: int, figures: dict[str, Any], now: datetime) -> None:
    """End a report. What earlier ones explained goes; what they found red stays."""
    f = reconciliation_findings.c
    conn.execute(delete(reconciliation_findings).where(f.reconciliation_id < report_id, f.colour == Colour.EXPLAINED))
    conn.execute(
        update(reconciliations)
        .where(reconciliations.c.id == report_id)
        .values(phase="finished", finished_at=now, figures=json.dumps(figures))
    )


def last_started(conn: Connection) -> datetime | None:
    """When the newest report began; None before the first."""
    found: datetime | None = conn.scalar(
        select(reconciliations.c.started_at).order_by(reconciliations.c.id.desc()).limit(1)
    )
    return found


def latest_finished(conn: Connection) -> Row[Any] | None:
    query = select(reconciliations).where(reconciliations.c.finished_at.is_not(None))
    return conn.execute(query.order_by(reconciliations.c.id.desc()).limit(1)).one_or_none()


def page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` reports, newest first, with ids below `before`."""
    query = select(reconciliations).order_by(reconciliations.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(reconciliations.c.id < before)).all()


def by_id(conn: Connection, report_id: int) -> Row[Any] | None:
    return conn.execute(select(reconciliations).where(reconciliations.c.id == report_id)).one_or_none()


def findings(conn: Connection, report_id: int, colour: Colour | None, after: int, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` findings of a report with ids above `after`, of one colour or of both."""
    f = reconciliation_findings.c
    query = select(reconciliation_findings).where(f.reconciliation_id == report_id, f.id > after)
    if colour is not None:
        query = query.where(f.colour == colour)
    return conn.execute(query.order_by(f.id).limit(limit)).all()


def reasons(conn: Connection, report_id: int) -> dict[str, dict[str, int]]:
    """How often each reason occurs in a report, by colour."""
    f = reconciliation_findings.c
    counts = select(f.colour, f.code, func.count()).where(f.reconciliation_id == report_id).group_by(f.colour, f.code)
    found: dict[str, dict[str, int]] = {}
    for colour, code, rows in conn.execute(counts.order_by(f.colour, f.code)):
        found.setdefault(colour, {})[code] = rows
    return found
