"""Outflows of the platform wallet that nothing explains: a person says what they were, and no more than is so."""

from typing import Any

from sqlalchemy import Connection

from agent.web.admin_treasury_bodies import Acceptance, Adoption, Outflow, Outflows, OwedPayout
from agent.web.audit import audited
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import RequestError
from domain.money import format_usdc
from ports.clock import Clock
from ports.ids import Ids
from storage import adoption_by_hand
from storage.dues_paid import may_have_paid
from storage.outflows import accept_orphan, orphan_row, orphan_rows
from storage.store import Store
from storage.upkeep import Payer


class AdminOutflows:
    """Accepted as the operator's own, or adopted by payouts. Neither says that money has arrived: the chain does."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, payer: Payer) -> None:
        self._store, self._clock, self._ids, self._payer = store, clock, ids, payer

    def endpoints(self) -> list[Endpoint]:
        root = "/admin/api/outflows"
        one = f"{root}/{{movement_id}}"
        return [
            Endpoint("GET", root, Access.VIEWER, self.outflows, "Unexplained outflows", Outflows, query=Paging),
            Endpoint(
                "POST",
                f"{one}/accept",
                Access.APPROVER,
                self.accept,
                "Say that an outflow was the operator's own",
                Outflows,
                takes=Acceptance,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{one}/adopt",
                Access.APPROVER,
                self.adopt,
                "Say which payouts an outflow has paid",
                Outflows,
                takes=Adoption,
                errors=(409,),
            ),
        ]

    async def outflows(self, call: Call) -> Outflows:
        asked = call.asked(Paging)
        return await self._store.read(lambda conn: _outflows(conn, asked))

    async def accept(self, call: Call) -> Outflows:
        movement_id, now = call.row_id("movement_id"), self._clock.now()
        wish = call.taken(Acceptance)

        def write(conn: Connection) -> Outflows:
            row = orphan_row(conn, movement_id)
            if row is not None and not wish.not_a_payout and may_have_paid(conn, row.counterparty, row.block_time):
                raise RequestError(
                    409,
                    "may_be_a_payout",
                    "somebody whom this may have paid is still to be paid, and would be paid once more: say which of "
                    "his payouts it was (adopt), hold those sales first, or restore a newer backup; if none of it was "
                    "theirs, say so (not_a_payout)",
                )
            if not accept_orphan(conn, movement_id):
                raise RequestError(404, "outflow_not_found", f"there is no unexplained outflow {movement_id}")
            return _outflows(conn, Paging())

        return await self._store.write(audited(call, "accept", "outflow", movement_id, now, write, wish.reason))

    async def adopt(self, call: Call) -> Outflows:
        movement_id, now, uuid = call.row_id("movement_id"), self._clock.now(), self._ids.uuid()
        wish = call.taken(Adoption)

        def write(conn: Connection) -> Outflows:
            adoption_by_hand.adopt(conn, movement_id, wish.payout_ids, self._payer, uuid, now)
            return _outflows(conn, Paging())

        return await self._store.write(audited(call, "adopt", "outflow", movement_id, now, write, wish.reason))


def _outflows(conn: Connection, asked: Paging) -> Outflows:
    rows: list[Any] = list(orphan_rows(conn, asked.limit, asked.before))
    return Outflows(items=[_shown(conn, row) for row in rows], next=rows[-1].id if len(rows) == asked.limit else None)


def _shown(conn: Connection, row: Any) -> Outflow:
    found = adoption_by_hand.may_be_of(conn, row.counterparty, row.block_time)
    return Outflow(
        id=row.id,
        signature=row.signature,
        amount=format_usdc(-row.amount),
        counterparty=row.counterparty,
        slot=row.slot,
        block_time=row.block_time,
        may_be_a_payout=may_have_paid(conn, row.counterparty, row.block_time),
        payouts=[_owed(one) for one in found],
    )


def _owed(row: Any) -> OwedPayout:
    return OwedPayout(
        id=row.id,
        purchase_id=row.purchase_id,
        creator=row.username,
        state=row.state,
        unpaid=format_usdc(row.amount - row.netted_amount),
        netted=format_usdc(row.netted_amount),
        paid_at=row.paid_at,
    )
