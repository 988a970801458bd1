"""One batch under the operator's eyes: its plan item by item, approval by digest, pause; the switch for all sends."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from agent.web.admin.batch_bodies import (
    Approval,
    BatchDetail,
    BatchRow,
    ChangePage,
    ChangeQuery,
    PlanChange,
    PlannedItem,
)
from agent.web.admin.treasury_bodies import SendsSwitch
from agent.web.audit import audited
from agent.web.bodies import Paging, Reason
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import RequestError
from domain.money import format_usdc
from ports.clock import Clock
from storage.operation.switches import SENDS_PAUSED, turn, why_on
from storage.payouts import approvals, batches
from storage.store import Store
from storage.tables import batch_items, payouts, users
from storage.tables import batches as batches_table
from storage.treasury.funding import shortage


class AdminBatches:
    """Approval, pause and the plan itself. Nothing here can mark money as sent."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def endpoints(self) -> list[Endpoint]:
        viewer, operator, root = Access.VIEWER, Access.OPERATOR, "/admin/api"
        one = f"{root}/batches/{{batch_id}}"
        return [
            Endpoint("GET", one, viewer, self.batch, "A batch's plan", BatchDetail, query=Paging),
            Endpoint(
                "GET",
                f"{one}/changes",
                viewer,
                self.changes,
                "Where what is sent differs from the plan, by payout",
                ChangePage,
                query=ChangeQuery,
            ),
            Endpoint(
                "POST",
                f"{one}/approve",
                Access.APPROVER,
                self.approve,
                "Approve exactly this plan, by its digest",
                BatchRow,
                takes=Approval,
                errors=(409,),
            ),
            Endpoint(
                "POST", f"{one}/pause", operator, self.pause, "Stop a batch", BatchRow, takes=Reason, errors=(409,)
            ),
            Endpoint("POST", f"{one}/resume", operator, self.resume, "Let it go on", BatchRow),
            Endpoint("GET", f"{root}/sends", viewer, self.sends, "Whether sends are paused", SendsSwitch),
            Endpoint("POST", f"{root}/sends/pause", operator, self.stop, "Stop every send", SendsSwitch, takes=Reason),
            Endpoint("POST", f"{root}/sends/resume", operator, self.go_on, "Let sends go on", SendsSwitch),
        ]

    async def batch(self, call: Call) -> BatchDetail:
        asked, batch_id = call.asked(Paging), call.row_id("batch_id")

        def look(conn: Connection) -> BatchDetail:
            row, items = _required(conn, batch_id), _items(conn, batch_id, asked.before, asked.limit)
            return BatchDetail(
                batch=batch_row(conn, row),
                items=items,
                next=items[-1].payout_id if len(items) == asked.limit else None,
                changes=[_change(one) for one in approvals.changes(conn, batch_id)],
            )

        return await self._store.read(look)

    async def changes(self, call: Call) -> ChangePage:
        asked, batch_id = call.asked(ChangeQuery), call.row_id("batch_id")

        def look(conn: Connection) -> list[approvals.Change]:
            _required(conn, batch_id)
            return approvals.changes(conn, batch_id, asked.limit, asked.after or 0)

        found = await self._store.read(look)
        return ChangePage(
            items=[_change(one) for one in found], next=found[-1].payout_id if len(found) == asked.limit else None
        )

    async def approve(self, call: Call) -> BatchRow:
        digest, now = call.taken(Approval).digest, self._clock.now()
        batch_id, made_by = call.row_id("batch_id"), call.bearer.created_by if call.bearer else ""

        def write(conn: Connection) -> None:
            approvals.require_another_person(conn, batch_id, call.operator, made_by)
            approvals.approve(conn, batch_id, digest, call.operator, now)

        return await self._change(call, "approve", write)

    async def pause(self, call: Call) -> BatchRow:
        reason, now, batch_id = call.taken(Reason).reason, self._clock.now(), call.row_id("batch_id")

        def write(conn: Connection) -> None:
            batches.require_unsettled(conn, batch_id)
            batches.set_paused(conn, batch_id, reason, now)

        return await self._change(call, "pause", write, reason)

    async def resume(self, call: Call) -> BatchRow:
        now, batch_id = self._clock.now(), call.row_id("batch_id")
        return await self._change(call, "resume", lambda conn: batches.set_paused(conn, batch_id, None, now))

    async def _change(
        self, call: Call, action: str, change: Callable[[Connection], None], reason: str | None = None
    ) -> BatchRow:
        batch_id, now = call.row_id("batch_id"), self._clock.now()

        def write(conn: Connection) -> BatchRow:
            _required(conn, batch_id)
            change(conn)
            return batch_row(conn, _required(conn, batch_id))

        return await self._store.write(audited(call, action, "batch", batch_id, now, write, reason))

    async def sends(self, _: Call) -> SendsSwitch:
        return SendsSwitch(paused=await self._store.read(lambda conn: why_on(conn, SENDS_PAUSED)))

    async def stop(self, call: Call) -> SendsSwitch:
        return await self._turn(call, True, call.taken(Reason).reason)

    async def go_on(self, call: Call) -> SendsSwitch:
        return await self._turn(call, False, "resumed")

    async def _turn(self, call: Call, is_on: bool, reason: str) -> SendsSwitch:
        now = self._clock.now()

        def write(conn: Connection) -> SendsSwitch:
            turn(conn, SENDS_PAUSED, is_on, reason, call.operator, now)
            return SendsSwitch(paused=why_on(conn, SENDS_PAUSED))

        action = "pause_sends" if is_on else "resume_sends"
        return await self._store.write(audited(call, action, "switch", SENDS_PAUSED, now, write, reason))


def batch_row(conn: Connection, row: Any) -> BatchRow:
    """A batch with where its payouts stand."""
    outstanding, lacking = batches.outstanding(conn, row.id), shortage(conn, row.id)
    return BatchRow(
        id=row.id,
        uuid=row.uuid,
        key=row.key,
        status=row.status,
        paused=row.paused,
        pause_reason=row.pause_reason,
        digest=row.digest,
        cutoff_at=row.cutoff_at,
        grouping=row.grouping,
        rail=row.rail,
        payout_count=row.payout_count,
        planned_amount=format_usdc(row.planned_amount),
        approved_by=list(approvals.approvers(conn, row.id)),
        settled_at=row.settled_at,
        created_at=row.created_at,
        payouts=batches.counts(conn, row.id),
        unpaid=format_usdc(outstanding.unpaid),
        uncovered=format_usdc(outstanding.uncovered),
        need=format_usdc(outstanding.unpaid + lacking.before),
        short=format_usdc(lacking.short),
    )


def _required(conn: Connection, batch_id: int) -> Any:
    row = conn.execute(select(batches_table).where(batches_table.c.id == batch_id)).one_or_none()
    if row is None:
        raise RequestError(404, "batch_not_found", f"there is no batch {batch_id}")
    return row


def _items(conn: Connection, batch_id: int, before: int | None, limit: int) -> list[PlannedItem]:
    """Frozen items, newest payout first."""
    conditions = [batch_items.c.batch_id == batch_id]
    if before is not None:
        conditions.append(batch_items.c.payout_id < before)
    rows = conn.execute(
        select(batch_items, payouts.c.purchase_id, payouts.c.state, payouts.c.reason, users.c.username)
        .select_from(batch_items.join(payouts).join(users, users.c.id == payouts.c.recipient_id))
        .where(*conditions)
        .order_by(batch_items.c.payout_id.desc())
        .limit(limit)
    )
    return [
        PlannedItem(
            payout_id=row.payout_id,
            purchase_id=row.purchase_id,
            creator=row.username,
            destination_address=row.destination_address,
            amount=format_usdc(row.amount),
            state=row.state,
            reason=row.reason,
        )
        for row in rows
    ]


def _change(one: approvals.Change) -> PlanChange:
    return PlanChange(
        payout_id=one.payout_id,
        payout=one.payout_uuid,
        planned=format_usdc(one.planned),
        now=format_usdc(one.now),
        state=one.state,
        reason=one.reason,
    )
