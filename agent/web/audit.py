"""Who of the operators did what: one append-only row in the transaction that does it."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from agent.web.endpoint import Call
from storage.history import note

T = TypeVar("T")


def audited(
    call: Call, action: str, subject: str, now: datetime, change: Callable[[Connection], T]
) -> Callable[[Connection], T]:
    """The change with its row in the audit log (`state_history`, machine `operator`), both or neither."""
    who = f"{call.operator} from {call.request.remote or 'here'}"

    def run(conn: Connection) -> T:
        result = change(conn)
        note(conn, "operator", subject, None, action, now, who)
        return result

    return run
