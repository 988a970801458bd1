"""What it means to close a row of work, in words, for who is about to and for who has."""

from typing import Any

from sqlalchemy import Connection

from domain.states import WorkState
from storage.operation import by_hand
from storage.tables import circle_notifications, jobs, stripe_events
from storage.work import BY_HAND

BOOKED = "Closing books the amount as paid to the creator beside the payout: all that is asked for now."
UNBOOKED = (
    "A person closed this while closing booked nothing, so the books still owe it to the creator. If he was paid then, "
    "close it once more with that amount: nothing is to be paid again. If he was not, pay him first."
)
NOT_BOOKED = {
    stripe_events.name: (
        "Closing books nothing: what Stripe tells by this event stays out of the books, and so out of what creators "
        "are owed. Settle it at Stripe. Where money has moved there, each reconciliation names that in red until it is "
        "booked; a replay of the event books it as soon as it can be."
    ),
    circle_notifications.name: (
        "Closing books nothing, and nothing is lost by it: a notification is a hint, and what it tells of is asked of "
        "Circle anyway."
    ),
}
"""By the table of what came in: what its closing leaves out of the books."""


def meaning(conn: Connection, source: str, row: Any) -> str | None:
    """None of what can't be closed."""
    if source == jobs.name and row.kind in BY_HAND and by_hand.is_unbooked(conn, row):
        return UNBOOKED
    if row.state != WorkState.PARKED:
        return None
    if source == jobs.name:
        return BOOKED if row.kind in BY_HAND else None
    return NOT_BOOKED[source]
