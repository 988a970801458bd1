"""Purchases under the operator's eyes: found by any id, seen in full; held, refunded, released."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from agent.web.admin.purchase_bodies import (
    AdminPurchase,
    Because,
    DisputeRow,
    HistoryRow,
    MintAttempt,
    MoneyWish,
    PackedAttempt,
    PostingRow,
    PurchaseLine,
    PurchasePage,
    PurchaseQuery,
    RefundAsked,
    RefundRow,
    RefundWish,
    TransferAttempt,
)
from agent.web.admin.work import work_item
from agent.web.admin.work_bodies import WorkItem
from agent.web.audit import audited
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from agent.web.settings import WebSettings
from agent.web.shelves import purchase_body
from domain.errors import RequestError
from domain.money import format_cents, format_usdc, parse_decimal
from domain.states import PurchaseStatus
from ports.clock import Clock
from ports.ids import Ids
from storage.operation import interventions
from storage.reading import operator_views, search, trace, views
from storage.reading.views import PurchaseView
from storage.store import Store


class AdminPurchases:
    """Endpoints under /admin/api/purchases. None of them can say that money was sent."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, settings: WebSettings) -> None:
        self._store, self._clock, self._ids, self._settings = store, clock, ids, settings

    def endpoints(self) -> list[Endpoint]:
        viewer, operator, approver, root = Access.VIEWER, Access.OPERATOR, Access.APPROVER, "/admin/api/purchases"
        one = f"{root}/{{purchase_id}}"
        moved, money = AdminPurchase, (409, 412)
        return [
            Endpoint("GET", root, viewer, self.find, "Find purchases", PurchasePage, query=PurchaseQuery),
            Endpoint("GET", one, viewer, self.purchase, "A purchase's life", AdminPurchase),
            Endpoint(
                "POST",
                f"{one}/hold",
                operator,
                self.hold,
                "Hold what is unpaid of it",
                moved,
                takes=Because,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{one}/unhold",
                operator,
                self.unhold,
                "End a hold that a person made",
                moved,
                takes=Because,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{one}/refund",
                approver,
                self.refund,
                "Give the buyer money back",
                RefundAsked,
                status=202,
                takes=RefundWish,
                errors=money,
            ),
            Endpoint(
                "POST",
                f"{one}/release",
                approver,
                self.release,
                "Let the creators be paid though the buyer has no wallet",
                moved,
                takes=MoneyWish,
                errors=money,
            ),
        ]

    async def find(self, call: Call) -> PurchasePage:
        asked = call.asked(PurchaseQuery)
        wish = search.PurchaseWish(**asked.model_dump(exclude={"before", "limit"}))
        found = await self._store.read(lambda conn: search.purchases_page(conn, wish, asked.before, asked.limit))
        return PurchasePage(
            items=[_line(view) for view in found], next=found[-1].row.id if len(found) == asked.limit else None
        )

    async def purchase(self, call: Call) -> AdminPurchase:
        purchase_id = call.row_id("purchase_id")
        return await self._store.read(lambda conn: self._shown(conn, purchase_id))

    def _shown(self, conn: Connection, purchase_id: int) -> AdminPurchase:
        view = views.purchase(conn, purchase_id)
        if view is None:
            raise not_found("purchase")
        row, found = view.row, trace.trace(conn, view.row)
        payout_ids = {payout.id for payout in view.payouts}
        transfer_ids = {payout.transfer_id for payout in view.payouts if payout.transfer_id is not None}
        return AdminPurchase(
            version=interventions.version(row, view.payouts),
            buyer_id=row.buyer_id,
            buyer_name=row.buyer_name,
            creators=_usdc(row.creator_amount),
            platform=_usdc(row.platform_amount),
            released_at=row.released_at,
            purchase=purchase_body(view),
            history=[history_row(change) for change in found.changes],
            mints=[mint_attempt(mint) for mint in found.mints],
            transfers=[transfer_attempt(transfer) for transfer in found.transfers],
            packed=[packed_attempt(one) for one in found.packed],
            refunds=[refund_row(refund) for refund in found.refunds],
            disputes=[_dispute(dispute) for dispute in found.disputes],
            postings=[posting_row(entry.row, line) for entry in found.entries for line in entry.postings],
            jobs=[self._job(job) for job in operator_views.jobs_of(conn, purchase_id, payout_ids, transfer_ids)],
        )

    def _job(self, job: Any) -> WorkItem:
        return work_item("jobs", job.kind, job.subject, job, self._clock.now())

    async def hold(self, call: Call) -> AdminPurchase:
        purchase_id, reason, now = call.row_id("purchase_id"), call.taken(Because).reason, self._clock.now()
        return await self._change(call, "hold", reason, lambda conn: interventions.hold(conn, purchase_id, reason, now))

    async def unhold(self, call: Call) -> AdminPurchase:
        purchase_id, reason, now = call.row_id("purchase_id"), call.taken(Because).reason, self._clock.now()
        return await self._change(
            call, "unhold", reason, lambda conn: interventions.unhold(conn, purchase_id, reason, now)
        )

    async def release(self, call: Call) -> AdminPurchase:
        purchase_id, wish, now = call.row_id("purchase_id"), call.taken(MoneyWish), self._clock.now()

        def change(conn: Connection) -> None:
            _confirmed(conn, purchase_id, wish)
            interventions.release(conn, purchase_id, self._settings.mint_wait, wish.reason, now)

        return await self._change(call, "release", wish.reason, change)

    async def _change(
        self, call: Call, action: str, reason: str, change: Callable[[Connection], None]
    ) -> AdminPurchase:
        purchase_id, now = call.row_id("purchase_id"), self._clock.now()

        def write(conn: Connection) -> AdminPurchase:
            change(conn)
            return self._shown(conn, purchase_id)

        return await self._store.write(audited(call, action, "purchase", purchase_id, now, write, reason))

    async def refund(self, call: Call) -> RefundAsked:
        purchase_id, wish, now = call.row_id("purchase_id"), call.taken(RefundWish), self._clock.now()
        cents = None if wish.amount is None else _cents(wish.amount)
        uuid, key = self._ids.uuid(), self._ids.uuid()

        def write(conn: Connection) -> int:
            _confirmed(conn, purchase_id, wish)
            return interventions.refund(conn, purchase_id, cents, uuid, key, now)

        amount = await self._store.write(audited(call, "refund", "purchase", purchase_id, now, write, wish.reason))
        return RefundAsked(purchase_id=purchase_id, amount=format_cents(amount))


def _confirmed(conn: Connection, purchase_id: int, wish: MoneyWish) -> None:
    """Raises RequestError 404, 422 `not_confirmed` or 412 `stale_version`."""
    view = views.purchase(conn, purchase_id)
    if view is None:
        raise not_found("purchase")
    if wish.confirm != view.row.stripe_payment_intent_id:
        raise RequestError(422, "not_confirmed", "confirm with this purchase's stripe_payment_intent_id", "confirm")
    if wish.version != interventions.version(view.row, view.payouts):
        raise RequestError(412, "stale_version", "the purchase has changed since: look at it again")


def _cents(dollars: str) -> int:
    try:
        return parse_decimal(dollars, 2)
    except ValueError as error:
        raise RequestError(422, "invalid_request", f"amount: {error}", "amount") from None


def _usdc(amount: int | None) -> str | None:
    return None if amount is None else format_usdc(amount)


def _line(view: PurchaseView) -> PurchaseLine:
    row = view.row
    return PurchaseLine(
        id=row.id,
        title=view.title,
        buyer_id=row.buyer_id,
        buyer_name=row.buyer_name,
        stripe_payment_intent_id=row.stripe_payment_intent_id,
        status=PurchaseStatus(row.status),
        status_reason=view.status_reason,
        usdc_payment_status=view.usdc_status,
        hold_reason=row.hold_reason,
        waits_for_wallet=view.waits_for_wallet,
        gross_amount=format_cents(row.gross_amount),
        stripe_fee=None if row.stripe_fee is None else format_cents(row.stripe_fee),
        net_after_stripe=None if row.net_after_stripe is None else format_cents(row.net_after_stripe),
        refunded_amount=format_cents(row.refunded_amount),
        creators=_usdc(row.creator_amount),
        platform=_usdc(row.platform_amount),
        network_cost_lamports=row.network_cost_lamports,
        paid_at=row.paid_at,
        created_at=row.created_at,
    )


def history_row(row: Any) -> HistoryRow:
    """One change of a state."""
    return HistoryRow(
        machine=row.machine, subject=row.subject, before=row.before, after=row.after, reason=row.reason, at=row.at
    )


def posting_row(entry: Any, line: Any) -> PostingRow:
    """One line of the books with its entry's name."""
    return PostingRow(
        entry=entry.key,
        kind=entry.kind,
        account=line.account,
        asset=line.asset,
        amount=line.amount,
        at=entry.created_at,
    )


def packed_attempt(row: Any) -> PackedAttempt:
    """One try at the transaction of a group that pays this purchase among others."""
    return PackedAttempt(
        group=row.group_uuid,
        attempt=row.attempt,
        state=row.state,
        receipt_address=row.receipt_address,
        amount=format_usdc(row.amount),
        signature=row.signature,
        fee_lamports=row.fee_lamports,
        cost_lamports=row.cost_lamports,
        proof=row.proof,
        created_at=row.created_at,
    )


def mint_attempt(row: Any) -> MintAttempt:
    return MintAttempt(
        attempt=row.attempt,
        state=row.state,
        mint_address=row.mint_address,
        buyer_address=row.buyer_address,
        signature=row.signature,
        cost_lamports=row.cost_lamports,
        proof=row.proof,
        created_at=row.created_at,
    )


def transfer_attempt(row: Any) -> TransferAttempt:
    return TransferAttempt(
        attempt=row.attempt,
        state=row.state,
        reference=row.reference,
        amount=format_usdc(row.amount),
        destination_address=row.destination_address,
        circle_transaction_id=row.circle_transaction_id,
        circle_state=row.circle_state,
        signature=row.signature,
        error_reason=row.error_reason,
        proof=row.proof,
        created_at=row.created_at,
    )


def refund_row(row: Any) -> RefundRow:
    return RefundRow(
        stripe_refund_id=row.stripe_refund_id,
        reason=row.reason,
        amount=format_cents(row.amount),
        state=row.state,
        created_at=row.created_at,
    )


def _dispute(row: Any) -> DisputeRow:
    return DisputeRow(
        stripe_dispute_id=row.stripe_dispute_id,
        status=row.status,
        amount=format_cents(row.amount),
        withdrawn=format_cents(row.withdrawn),
        fee=format_cents(row.fee),
        created_at=row.created_at,
    )
