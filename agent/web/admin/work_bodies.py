"""Bodies of the operator's work: what waits, what it is about to do, and where everything stands in numbers."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from agent.web.admin.treasury_bodies import Treasury
from agent.web.bodies import Answer, Asked, Moment, Money, Reason, RowId, Usdc
from agent.web.payout_way import PayoutWayBody


class WorkQuery(Asked):
    """`after` is the `next` of the page before."""

    state: Literal["parked", "due", "open"] = "open"
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")] | None = None
    after: Annotated[str, Field(pattern=r"^[a-z_]{1,32}:[0-9]{1,18}$")] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class WorkItem(Answer):
    source: str
    id: int
    kind: str
    subject: str
    state: str
    attempts: int
    age_seconds: int
    due_at: Moment
    error_code: str | None
    error: str | None


class WorkPage(Answer):
    items: list[WorkItem]
    next: str | None


class WorkDetail(WorkItem):
    """`payload` is what was committed for it: a delivery's body, the exact request of the last attempt. `asked`: of
    what only a person can settle, the USDC that he is asked to pay now; null for all else. `closing`: what closing it
    means, in words; null of what can't be closed."""

    payload: JsonValue
    asked: Money | None
    closing: str | None


class QueueRow(Answer):
    """All rows of one kind in one state. `oldest_seconds` is the age of the oldest, `overdue_seconds` how long the
    first that is due has been."""

    kind: str
    state: str
    rows: int
    oldest_seconds: int
    overdue_seconds: int


class Queues(Answer):
    items: list[QueueRow]


class Retried(Answer):
    kind: str
    id: int
    state: Literal["due"] = "due"


class Closing(Reason):
    """`amount`: the USDC that was paid by hand, all of what is asked for now; left out for events, for which nothing
    is."""

    amount: Usdc | None = None


class Closed(Answer):
    """`not_booked`: of an event, what its closing leaves out of the books, in words."""

    source: str
    id: int
    state: Literal["done"] = "done"
    not_booked: str | None


class ManyWish(Asked):
    """Either `ids`, or `all` that has failed."""

    ids: Annotated[list[RowId], Field(min_length=1, max_length=500)] | None = None
    all: bool = False


class NotRetried(Answer):
    id: int
    code: str
    message: str


class RetriedMany(Answer):
    """`more`: there was more than one call takes; ask again."""

    kind: str
    retried: list[int]
    refused: list[NotRetried]
    more: bool


class Status(Answer):
    """`counts` are rows by state, for purchases, payouts, jobs and the two inboxes; `sends_paused` is the reason why an
    operator has stopped all sends, and `unexplained_outflow` stops them too. `orders_held`: why no order is begun at
    Circle. `refused_keys`: services that do not take our key; what needs it waits."""

    live: bool
    now: Moment
    sends_paused: str | None
    unexplained_outflow: bool
    orders_held: str | None
    refused_keys: list[str]
    payouts: PayoutWayBody
    counts: dict[str, dict[str, int]]
    treasury: Treasury
    ledger_imbalance: int
