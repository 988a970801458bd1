"""Outflows of the platform wallet that nothing explains: a person says what they were, and no more than is so."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection

from agent.web.admin.treasury_bodies import Acceptance, Adoption, Outflow, OutflowPart, Outflows, OwedPayout
from agent.web.audit import audited
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import Rejected, RequestError, Retryable
from domain.evidence import PackedOutflow
from domain.money import format_usdc
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts.upkeep import Payer
from storage.recovery import adoption_by_hand
from storage.recovery.dues_paid import may_have_paid
from storage.store import Store
from storage.treasury.outflows import accept_orphan, orphan_row, orphan_rows, tell_adopted

FindOrder = Callable[[adoption_by_hand.SentOrder], Awaitable[bool]]
"""Whether Circle lists an order that was sent. Raises Retryable or Rejected while it can't be asked."""
ReadPacked = Callable[[str], Awaitable[PackedOutflow | None]]
"""What a finalized transaction with a receipt of ours paid to whom; None for any other. Raises Retryable."""


class AdminOutflows:
    """Accepted as the operator's own, or adopted by payouts. Neither says that money has arrived: the chain does."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, payer: Payer, read_packed: ReadPacked, find_order: FindOrder
    ) -> None:
        self._store, self._clock, self._ids, self._payer = store, clock, ids, payer
        self._read_packed, self._find_order = read_packed, find_order
        self._packed: dict[str, PackedOutflow | None] = {}
        """By signature; what is final stays as it is."""

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
                errors=(409, 503),
            ),
        ]

    async def outflows(self, call: Call) -> Outflows:
        asked = call.asked(Paging)
        shown = await self._store.read(lambda conn: _outflows(conn, asked))
        return Outflows(items=[await self._with_parts(one) for one in shown.items], next=shown.next)

    async def _with_parts(self, shown: Outflow) -> Outflow:
        if shown.counterparty is not None:
            return shown
        try:
            packed = await self._packed_as(shown.signature)
        except Retryable:
            return shown
        if packed is None:
            return shown
        parts = await self._store.read(lambda conn: [_part(conn, *leg, packed) for leg in packed.legs])
        return shown.model_copy(update={"parts": parts})

    async def _packed_as(self, signature: str) -> PackedOutflow | None:
        if signature not in self._packed:
            self._packed[signature] = await self._read_packed(signature)
        return self._packed[signature]

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
            if not accept_orphan(conn, movement_id, wish.reason, now):
                raise RequestError(404, "outflow_not_found", f"there is no unexplained outflow {movement_id}")
            return _outflows(conn, Paging())

        return await self._store.write(audited(call, "accept", "outflow", movement_id, now, write, wish.reason))

    async def adopt(self, call: Call) -> Outflows:
        movement_id, now, uuid = call.row_id("movement_id"), self._clock.now(), self._ids.uuid()
        wish, packed = call.taken(Adoption), await self._packed_of(movement_id)
        await self._refuse_listed(movement_id, wish.payout_ids)

        def write(conn: Connection) -> Outflows:
            named, payer = wish.payout_ids, self._payer
            if packed is None:
                adoption_by_hand.adopt(conn, movement_id, named, payer, uuid, now)
            else:
                adoption_by_hand.adopt_packed(conn, movement_id, packed, named, payer, self._ids.uuid, now)
            tell_adopted(conn, movement_id, named, wish.reason, now)
            return _outflows(conn, Paging())

        try:
            return await self._store.write(audited(call, "adopt", "outflow", movement_id, now, write, wish.reason))
        except Retryable as error:
            raise RequestError(409, "may_be_on_its_way", str(error)) from None

    async def _refuse_listed(self, movement_id: int, payout_ids: list[int]) -> None:
        """An order that was sent and has not been heard of since may be at Circle, which then pays it."""
        order = await self._store.read(lambda conn: adoption_by_hand.sent_order(conn, movement_id, payout_ids))
        if order is None:
            return
        try:
            is_listed = await self._find_order(order)
        except (Retryable, Rejected) as error:
            raise RequestError(
                503, "circle_unreadable", f"Circle can't be asked for {order.reference}: {error}"
            ) from None
        if is_listed:
            why = f"Circle has {order.reference}, which is to pay them: wait until its outcome is known"
            raise RequestError(409, "may_be_on_its_way", why)

    async def _packed_of(self, movement_id: int) -> PackedOutflow | None:
        row: Any = await self._store.read(lambda conn: orphan_row(conn, movement_id))
        if row is None or row.counterparty is not None:
            return None
        try:
            return await self._packed_as(row.signature)
        except Retryable as error:
            raise RequestError(503, "chain_unreadable", f"the chain can't be read now: {error}") from None


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
        parts=[],
    )


def _part(conn: Connection, owner: str, amount: int, packed: PackedOutflow) -> OutflowPart:
    found = adoption_by_hand.may_be_of(conn, owner, packed.block_time)
    return OutflowPart(owner=owner, amount=format_usdc(amount), payouts=[_owed(one) for one in found])


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
