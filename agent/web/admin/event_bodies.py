"""Bodies of the operator's endpoints for webhook deliveries."""

from typing import Annotated

from pydantic import Field, JsonValue

from agent.web.bodies import Answer, Line, Moment, Paging
from domain.states import WorkState


class EventQuery(Paging):
    """`event_id` is the sender's own (`evt_…`)."""

    state: WorkState | None = None
    type: Annotated[Line, Field(min_length=1, max_length=100)] | None = None
    event_id: Annotated[Line, Field(min_length=1, max_length=255)] | None = None


class EventRow(Answer):
    id: int
    source: str
    event_id: str
    type: str
    state: WorkState
    attempts: int
    error_code: str | None
    error: str | None
    due_at: Moment
    created_at: Moment


class EventPage(Answer):
    items: list[EventRow]
    next: int | None


class EventDetail(EventRow):
    """`body` is what the sender signed: JSON, or text where it is none."""

    body: JsonValue
