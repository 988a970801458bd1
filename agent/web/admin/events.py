"""Webhook deliveries on the operator's port: listed, read, worked on once more."""

from typing import Any

from agent.web.admin.event_bodies import EventDetail, EventPage, EventQuery, EventRow
from agent.web.audit import audited
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from ports.clock import Clock
from storage.operation import webhook_events
from storage.operation.work_payload import read_body
from storage.store import Store


class AdminEvents:
    """Endpoints under /admin/api/events; `source` is `stripe` or `circle`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def endpoints(self) -> list[Endpoint]:
        viewer, root = Access.VIEWER, "/admin/api/events/{source}"
        return [
            Endpoint("GET", root, viewer, self.events, "Deliveries of stripe or circle", EventPage, query=EventQuery),
            Endpoint("GET", f"{root}/{{event_id}}", viewer, self.event, "One delivery with its body", EventDetail),
            Endpoint(
                "POST",
                f"{root}/{{event_id}}/replay",
                Access.OPERATOR,
                self.replay,
                "Work on a delivery once more; whatever is done already stays done once",
                EventRow,
                status=202,
            ),
        ]

    async def events(self, call: Call) -> EventPage:
        source, asked = _source(call), call.asked(EventQuery)
        rows = await self._store.read(
            lambda conn: webhook_events.page(
                conn, source, asked.state, asked.type, asked.event_id, asked.before, asked.limit
            )
        )
        return EventPage(
            items=[EventRow(**_event(source, row)) for row in rows],
            next=rows[-1].id if len(rows) == asked.limit else None,
        )

    async def event(self, call: Call) -> EventDetail:
        source, row_id = _source(call), call.row_id("event_id")
        row = await self._store.read(lambda conn: webhook_events.one(conn, source, row_id))
        if row is None:
            raise not_found("delivery")
        return EventDetail(**_event(source, row), body=read_body(row.body))

    async def replay(self, call: Call) -> EventRow:
        source, row_id, now = _source(call), call.row_id("event_id"), self._clock.now()
        kind = webhook_events.INBOXES[source][0].name
        await self._store.write(
            audited(call, "replay", kind, row_id, now, lambda conn: webhook_events.replay(conn, source, row_id, now))
        )
        row = await self._store.read(lambda conn: webhook_events.one(conn, source, row_id))
        return EventRow(**_event(source, row))


def _source(call: Call) -> str:
    source = call.ids["source"]
    if source not in webhook_events.INBOXES:
        raise not_found("source; there are stripe and circle")
    return source


def _event(source: str, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": source,
        "event_id": row.foreign_id,
        "type": row.type,
        "state": row.state,
        "attempts": row.attempts,
        "error_code": row.error_code,
        "error": row.last_error,
        "due_at": row.due_at,
        "created_at": row.created_at,
    }
