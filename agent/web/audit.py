"""An operator's call as an act for the audit log."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from agent.web.endpoint import Call
from storage.books import audit
from storage.books.audit import Act

T = TypeVar("T")


def act(call: Call, action: str, kind: str, subject: str | int = "", reason: str | None = None) -> Act:
    """Who calls, from where, with which request, to do what to which subject (its kinds: `storage/books/audit.py`)."""
    request = call.request
    return Act(call.operator, request.remote, request.request_id, action, kind, str(subject), reason)


def audited(
    call: Call,
    action: str,
    kind: str,
    subject: str | int,
    now: datetime,
    change: Callable[[Connection], T],
    reason: str | None = None,
) -> Callable[[Connection], T]:
    """The change with its row in the audit log, both or neither."""
    return audit.audited(act(call, action, kind, subject, reason), now, change)


def born(
    call: Call,
    action: str,
    kind: str,
    now: datetime,
    make: Callable[[Connection], int],
    reason: str | None = None,
) -> Callable[[Connection], int]:
    """As `audited`, for a change that makes the subject and returns its row's id."""
    return audit.born(act(call, action, kind, reason=reason), now, make)
