"""The event log: what happened, frozen at that moment; read through the API for 30 days."""

import orjson

from sandbox.stripe_service.books import API_VERSION, Books, Json, Table
from sandbox.stripe_service.webhooks import Event, PostOffice

KEPT_SECONDS = 30 * 86_400
"""Stripe answers events of the last 30 days only."""


class EventLog:
    def __init__(self, books: Books, post_office: PostOffice) -> None:
        self._books = books
        self._post_office = post_office
        self.table = Table("event")
        """Rows are `{id, created, event}`."""
        self.request_id: str | None = None
        self.idempotency_key: str | None = None
        """The API request being answered: it stands in the events that it causes."""

    def emit(
        self, event_type: str, subject: Json, previous: Json | None = None, *, livemode: bool | None = None
    ) -> Event:
        """Freeze `subject` into a new event and send it off. `previous` holds the old values on `*.updated`."""
        step = max(1, self._post_office.switches.created_step_seconds)
        created = self._books.now_seconds() // step * step
        data: Json = {"object": orjson.loads(orjson.dumps(subject))}
        if previous is not None:
            data["previous_attributes"] = previous
        event = Event(
            self._books.ids.make("evt_1"),
            {
                "id": "",
                "object": "event",
                "api_version": API_VERSION,
                "created": created,
                "data": data,
                "livemode": self._books.account.livemode if livemode is None else livemode,
                "pending_webhooks": 0,
                "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
                "type": event_type,
            },
        )
        event.body["id"] = event.id
        self.table.prune(self._is_gone)
        self.table.add({"id": event.id, "created": created, "event": event})
        self._post_office.post(event)
        return event

    def forget_old(self) -> None:
        self.table.prune(self._is_gone)

    def find(self, event_id: str) -> Event | None:
        row = self.table.get(event_id)
        found: Event | None = row["event"] if row is not None else None
        return found

    def _is_gone(self, row: Json) -> bool:
        return bool(row["created"] < self._books.now_seconds() - KEPT_SECONDS)
