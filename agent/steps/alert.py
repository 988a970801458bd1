"""Delivers one alert message. Chats know no idempotency key: a message whose answer was lost goes out once more, with
the same id in it, because an alert that is read twice does less harm than one that is not read."""

from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection

from domain.errors import OutcomeUnknown, Retryable
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage.operation import alerts
from storage.store import Store
from storage.work import Claim

EARLIER_FIRST = timedelta(seconds=30)
SOONEST, LATEST = timedelta(seconds=5), timedelta(minutes=15)
"""Between two tries: as long as the message is old. It is never given up: later ones wait for it."""
RUNBOOKS = "docs/runbooks"


class Chat(Protocol):
    async def post(self, text: str) -> None: ...


class AlertStep:
    """Kind `alert`, subject: id of the message."""

    def __init__(self, store: Store, clock: Clock, chat: Chat) -> None:
        self._store, self._clock, self._chat = store, clock, chat

    async def run(self, claim: Claim) -> Outcome:
        message_id = int(claim.subject)

        def look(conn: Connection) -> tuple[str | None, bool]:
            row = alerts.message(conn, message_id)
            if row is None or row.delivered_at is not None:
                return None, False
            state = "FIRING" if row.is_firing else "RESOLVED"
            text = f"[{state}] {row.name}: {row.text}\n{RUNBOOKS}/{row.name.lower()}.md ({row.uuid[:8]})"
            return text, alerts.earlier_waits(conn, row.name, message_id)

        text, waits = await self._store.read(look)
        if text is None:
            return Done()
        if waits:
            return Again(EARLIER_FIRST, "an earlier message of this alert goes first")
        try:
            await self._chat.post(text)
        except (Retryable, OutcomeUnknown) as error:
            age = self._clock.now() - claim.created_at
            asked = timedelta(seconds=getattr(error, "retry_after_seconds", None) or 0)
            return Again(max(asked, min(max(age, SOONEST), LATEST)), str(error))
        return Done(lambda conn: alerts.delivered(conn, message_id, self._clock.now()))

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
