"""The operator's view of work: status, queues, what waits or is parked and what it was about to do; retries."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from agent.web.admin import closing
from agent.web.admin.treasury import treasury_body
from agent.web.admin.work_bodies import (
    Closed,
    Closing,
    ManyWish,
    NotRetried,
    QueueRow,
    Queues,
    Retried,
    RetriedMany,
    Status,
    WorkDetail,
    WorkItem,
    WorkPage,
    WorkQuery,
)
from agent.web.audit import act, audited
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from agent.web.settings import WebSettings
from domain.errors import RequestError
from domain.money import USDC_DECIMALS, format_usdc, parse_decimal
from domain.states import WorkState
from ports.clock import Clock
from storage.books import audit
from storage.books.ledger import total_imbalance
from storage.operation import by_hand, retries, work_payload
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.payouts.held_orders import ORDERS_HELD
from storage.reading import operator_views, probes
from storage.store import Store
from storage.treasury.outflows import orphans

_STATES = {
    "parked": [WorkState.PARKED],
    "due": [WorkState.DUE],
    "open": [WorkState.DUE, WorkState.PARKED],
}
RETRIES_A_CALL = 500
"""One transaction's worth; whoever wants all asks again while there are more."""
_SUBJECTS = {"wallet": "user", "mint": "purchase", "distribution": "purchase"}


class AdminWork:
    """Endpoints under /admin/api that look at work and make it run again. `usdc_account`: the platform wallet's.
    `refused_keys`: services that do not take our key."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: WebSettings,
        usdc_account: str,
        refused_keys: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._store, self._clock = store, clock
        self._settings, self._account = settings, usdc_account
        self._refused_keys = refused_keys

    def endpoints(self) -> list[Endpoint]:
        viewer, operator, root = Access.VIEWER, Access.OPERATOR, "/admin/api"
        again = "Run failed work again: wallet (of a user), mint or distribution (of a purchase)"
        return [
            Endpoint("GET", f"{root}/status", viewer, self.status, "The state of everything in numbers", Status),
            Endpoint("GET", f"{root}/queues", viewer, self.queues, "What waits, by kind, and for how long", Queues),
            Endpoint("GET", f"{root}/work", viewer, self.work, "What waits or is parked", WorkPage, query=WorkQuery),
            Endpoint(
                "GET",
                f"{root}/work/{{source}}/{{row_id}}",
                viewer,
                self.work_row,
                "One row of jobs, stripe_events or circle_notifications with what it is about to do",
                WorkDetail,
            ),
            Endpoint(
                "POST",
                f"{root}/retry/{{kind}}/{{subject_id}}",
                operator,
                self.retry,
                again,
                Retried,
                status=202,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{root}/retry/{{kind}}",
                operator,
                self.retry_many,
                "Run many, or all, of a kind again; what can't be is told one by one",
                RetriedMany,
                status=202,
                takes=ManyWish,
            ),
            Endpoint(
                "POST",
                f"{root}/work/{{source}}/{{row_id}}/retry",
                operator,
                self.retry_row,
                "Run a parked row again: of jobs, stripe_events or circle_notifications",
                Retried,
                status=202,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{root}/work/{{source}}/{{row_id}}/close",
                operator,
                self.close_row,
                "A person has settled what a parked row is about: an event, or what he was asked to pay by hand",
                Closed,
                takes=Closing,
                errors=(409,),
            ),
        ]

    async def status(self, _: Call) -> Status:
        def look(conn: Connection) -> Status:
            return Status(
                live=self._settings.livemode,
                now=self._clock.now(),
                sends_paused=why_on(conn, SENDS_PAUSED),
                unexplained_outflow=bool(orphans(conn, limit=1)),
                orders_held=why_on(conn, ORDERS_HELD),
                refused_keys=list(self._refused_keys()),
                payouts=self._settings.payouts.body(),
                counts=operator_views.counts(conn),
                treasury=treasury_body(conn, self._account),
                ledger_imbalance=total_imbalance(conn),
            )

        return await self._store.read(look)

    async def queues(self, _: Call) -> Queues:
        now = self._clock.now()
        found = await self._store.read(probes.queues)
        return Queues(
            items=[
                QueueRow(
                    kind=queue.kind,
                    state=queue.state,
                    rows=queue.rows,
                    oldest_seconds=operator_views.age_seconds(queue.oldest_at, now),
                    overdue_seconds=operator_views.age_seconds(queue.due_at, now) if queue.state == "due" else 0,
                )
                for queue in found
            ]
        )

    async def work(self, call: Call) -> WorkPage:
        asked, now = call.asked(WorkQuery), self._clock.now()
        after = None
        if asked.after is not None:
            source, _, row_id = asked.after.partition(":")
            after = operator_views.Position(source, int(row_id))
        states = _STATES[asked.state]
        rows = await self._store.read(lambda conn: operator_views.work(conn, states, after, asked.limit, asked.kind))
        return WorkPage(
            items=[work_item(row.source, row.kind, row.subject, row, now) for row in rows],
            next=f"{rows[-1].source}:{rows[-1].id}" if len(rows) == asked.limit else None,
        )

    async def work_row(self, call: Call) -> WorkDetail:
        source, row_id, now = call.ids["source"], call.row_id("row_id"), self._clock.now()

        def look(conn: Connection) -> WorkDetail:
            row = work_payload.row(conn, source, row_id)
            if row is None:
                raise not_found("row of work")
            item = work_item(source, row.kind, row.subject, row, now)
            payload = work_payload.payload(conn, source, row_id)
            means = closing.meaning(conn, source, row)
            is_asked = means is not None and source == "jobs"
            wanted = format_usdc(by_hand.asked(conn, row.kind, row.subject)) if is_asked else None
            return WorkDetail(**item.model_dump(), payload=payload, asked=wanted, closing=means)

        return await self._store.read(look)

    async def retry(self, call: Call) -> Retried:
        kind, subject_id, now = call.ids["kind"], call.row_id("subject_id"), self._clock.now()
        again = _retry_of(kind)
        await self._store.write(
            audited(call, f"retry_{kind}", _SUBJECTS[kind], subject_id, now, lambda conn: again(conn, subject_id, now))
        )
        return Retried(kind=kind, id=subject_id)

    async def retry_many(self, call: Call) -> RetriedMany:
        kind, wish, now = call.ids["kind"], call.taken(ManyWish), self._clock.now()
        again = _retry_of(kind)
        if (wish.ids is None) == (not wish.all):
            raise RequestError(422, "invalid_request", "give either ids, or all")

        def write(conn: Connection) -> RetriedMany:
            chosen = wish.ids or retries.failed_ids(conn, kind, RETRIES_A_CALL + 1)
            done = RetriedMany(kind=kind, retried=[], refused=[], more=len(chosen) > RETRIES_A_CALL)
            for subject_id in dict.fromkeys(chosen[:RETRIES_A_CALL]):
                one = act(call, f"retry_{kind}", _SUBJECTS[kind], subject_id)
                before = audit.facts(conn, one.kind, one.subject)
                try:
                    again(conn, subject_id, now)
                except RequestError as error:
                    done.refused.append(NotRetried(id=subject_id, code=error.code, message=str(error)))
                    continue
                audit.record(conn, one, before, now)
                done.retried.append(subject_id)
            return done

        return await self._store.write(write)

    async def close_row(self, call: Call) -> Closed:
        source, row_id, now = _source(call), call.row_id("row_id"), self._clock.now()
        wish = call.taken(Closing)
        amount = None if wish.amount is None else parse_decimal(wish.amount, USDC_DECIMALS)

        def close(conn: Connection) -> None:
            retries.close_row(conn, source, row_id, amount, wish.reason, now)

        await self._store.write(audited(call, "close_row", source, row_id, now, close, wish.reason))
        return Closed(source=source, id=row_id, not_booked=closing.NOT_BOOKED.get(source))

    async def retry_row(self, call: Call) -> Retried:
        source, row_id, now = _source(call), call.row_id("row_id"), self._clock.now()
        await self._store.write(
            audited(call, "retry_row", source, row_id, now, lambda conn: retries.retry_row(conn, source, row_id, now))
        )
        return Retried(kind=source, id=row_id)


def _source(call: Call) -> str:
    source = call.ids["source"]
    if source not in retries.SOURCES:
        raise RequestError(404, "source_unknown", f"sources are {', '.join(retries.SOURCES)}")
    return source


def _retry_of(kind: str) -> retries.Retry:
    again = retries.RETRIES.get(kind)
    if again is None:
        raise RequestError(404, "retry_unknown", f"retries are of {', '.join(retries.RETRIES)}")
    return again


def work_item(source: str, kind: str, subject: str, row: Any, now: datetime) -> WorkItem:
    """A job or an inbox row."""
    return WorkItem(
        source=source,
        id=row.id,
        kind=kind,
        subject=subject,
        state=row.state,
        attempts=row.attempts,
        age_seconds=operator_views.age_seconds(row.created_at, now),
        due_at=row.due_at,
        error_code=row.error_code,
        error=row.last_error,
    )
