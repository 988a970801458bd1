"""What a person decides about a row of work stands in the history, also once the row itself is gone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from domain.states import WorkState
from storage.history import note
from storage.tables import jobs
from storage.work import revive

NAMES: Mapping[str, str] = {
    "jobs": "job",
    "stripe_events": "stripe_event",
    "circle_notifications": "circle_notification",
}
"""How the history calls what lies in these tables."""
SUBJECT_CHARS = 64


def tell(conn: Connection, source: str, row: Any, after: WorkState, why: str, now: datetime) -> None:
    """`row` as it was before. A job is named by what it does: its id may be another one's later."""
    subject = job_name(row.kind, row.subject) if source == jobs.name else str(row.id)
    note(conn, NAMES[source], subject, row.state, after, now, why)


def job_name(kind: str, subject: str | int) -> str:
    return f"{kind}:{subject}"[:SUBJECT_CHARS]


def run_again(conn: Connection, kind: str, subject: int, why: str, now: datetime) -> None:
    """A person wants this job to run, parked or not, or gone."""
    mine = (jobs.c.kind == kind) & (jobs.c.subject == str(subject))
    before = conn.scalar(select(jobs.c.state).where(mine))
    revive(conn, kind, subject, now)
    note(conn, NAMES[jobs.name], job_name(kind, subject), before, WorkState.DUE, now, why)
