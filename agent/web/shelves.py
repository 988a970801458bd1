"""What belongs to whom: the buyer's library and purchases, the creator's dashboard. For others they don't exist."""

from collections.abc import Awaitable, Callable
from typing import Any

from agent.web.accounts import wallet_prompt
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from agent.web.purchase_bodies import (
    DashboardBody,
    LibraryItem,
    LibraryPage,
    PayoutBody,
    PurchaseBody,
    SaleLine,
    SalesPage,
)
from agent.web.rates import Rate
from domain.calendar import next_batch_time
from domain.errors import OutcomeUnknown, Rejected, Retryable
from domain.money import format_cents, format_usdc
from domain.nft_texts import nft_name
from domain.states import PurchaseStatus, UsdcStatus
from ports.clock import Clock
from storage.operation.interventions import OPERATOR_HOLD
from storage.payouts.packing import SCREENED_OUT
from storage.people import users
from storage.reading import sales_views, views
from storage.sales.purchases import payout_address
from storage.store import Store

ReadUsdc = Callable[[str], Awaitable[int | None]]
"""A wallet's USDC on chain in base units (0 without a token account); None, or one of the errors for the caller to act
on, when it can't be read now."""


DASHBOARDS = Rate(burst=120, per_second=2.0)
"""Of one creator: each asks the chain, through the RPC calls that mints and payouts share."""
NO_WALLET = "You have no wallet yet: what you have earned waits for it. Set one up with GET /api/wallet/setup/."
"""What a creator's dashboard says while his money can go nowhere."""
HELD = "held by the platform"


class Shelves:
    """The endpoints of one's own purchases and sales."""

    def __init__(self, store: Store, clock: Clock, read_usdc: ReadUsdc) -> None:
        self._store = store
        self._clock = clock
        self._read_usdc = read_usdc

    def endpoints(self) -> list[Endpoint]:
        user = Access.USER
        return [
            Endpoint("GET", "/api/library/", user, self.library, "What I bought", LibraryPage, query=Paging),
            Endpoint("GET", "/api/purchases/{purchase_id}/", user, self.purchase, "One of my purchases", PurchaseBody),
            Endpoint(
                "GET",
                "/api/creators/{creator_id}/dashboard/",
                user,
                self.dashboard,
                "My money",
                DashboardBody,
                rate=DASHBOARDS,
            ),
            Endpoint("GET", "/api/creators/{creator_id}/sales/", user, self.sales, "My sales", SalesPage, query=Paging),
        ]

    async def library(self, call: Call) -> LibraryPage:
        asked, buyer_id = call.asked(Paging), call.user_id
        found = await self._store.read(lambda conn: views.library(conn, buyer_id, asked.before, asked.limit))
        return LibraryPage(
            items=[_library_item(owned) for owned in found],
            next=found[-1].purchase.id if len(found) == asked.limit else None,
        )

    async def purchase(self, call: Call) -> PurchaseBody:
        purchase_id, buyer_id = call.row_id("purchase_id"), call.user_id
        view = await self._store.read(lambda conn: views.purchase(conn, purchase_id, buyer_id))
        if view is None:
            raise not_found("purchase")
        return _for_its_buyer(purchase_body(view))

    async def dashboard(self, call: Call) -> DashboardBody:
        creator_id = call.row_id("creator_id")
        if creator_id != call.user_id:
            raise not_found("creator")
        user = await self._store.read(lambda conn: users.required(conn, creator_id))
        found = await self._store.read(lambda conn: views.dashboard(conn, creator_id))
        address = payout_address(user)
        available = await self._available(address)
        return DashboardBody(
            creator_id=creator_id,
            total_sales_usd=format_usdc(found.total_sales),
            pending_distribution=format_usdc(found.pending),
            pending_sales=found.pending_sales,
            paid_out=format_usdc(found.paid_out),
            available_balance=None if available is None else format_usdc(available),
            available_balance_unavailable=address is not None and available is None,
            debt=format_usdc(found.debt),
            held=format_usdc(found.held),
            next_payout_at=next_batch_time(self._clock.now()),
            wallet_prompt=wallet_prompt(user.wallet_provider) or (None if payout_address(user) else NO_WALLET),
        )

    async def sales(self, call: Call) -> SalesPage:
        creator_id, asked = call.row_id("creator_id"), call.asked(Paging)
        if creator_id != call.user_id:
            raise not_found("creator")
        found = await self._store.read(lambda conn: sales_views.sales_page(conn, creator_id, asked.before, asked.limit))
        return SalesPage(
            items=[_sale_line(row) for row in found], next=found[-1].id if len(found) == asked.limit else None
        )

    async def _available(self, address: str | None) -> int | None:
        if address is None:
            return None
        try:
            return await self._read_usdc(address)
        except (Retryable, OutcomeUnknown, Rejected):
            return None


def _sale_line(row: Any) -> SaleLine:
    return SaleLine(
        payout_id=row.id,
        title=row.title,
        edition_number=row.edition_number,
        amount=format_usdc(row.amount),
        netted_amount=format_usdc(row.netted_amount),
        status=UsdcStatus(row.state),
        reason=_for_people(row.reason),
        destination_address=row.destination_address,
        usdc_transfer_signature=row.signature,
        sold_at=row.paid_at,
        usdc_distributed_at=row.distributed_at,
    )


def _for_its_buyer(body: PurchaseBody) -> PurchaseBody:
    payouts = [one.model_copy(update={"reason": _for_people(one.reason)}) for one in body.payouts]
    return body.model_copy(update={"hold_reason": _for_people(body.hold_reason), "payouts": payouts})


def _for_people(reason: str | None) -> str | None:
    """A reason as buyers and creators are told it: what an operator wrote beside a hold, and what the screening says of
    an address, is for the operators."""
    is_theirs = reason is not None and (reason.startswith(OPERATOR_HOLD) or SCREENED_OUT in reason)
    return HELD if is_theirs else reason


def _library_item(owned: views.Owned) -> LibraryItem:
    row = owned.purchase
    return LibraryItem(
        purchase_id=row.id,
        content_id=row.content_id,
        title=owned.title,
        edition_number=row.edition_number,
        name=owned.title if row.edition_number is None else nft_name(owned.title, row.edition_number),
        status=owned.shelf,
        nft_mint_address=row.nft_mint_address,
        gross_amount=format_cents(row.gross_amount),
        purchased_at=row.paid_at,
        taken_down=owned.taken_down,
    )


def purchase_body(view: views.PurchaseView) -> PurchaseBody:
    """All of product.md section 5. The signature is shown here only where there is one recipient."""
    row, payouts = view.row, view.payouts
    alone = payouts[0] if len(payouts) == 1 else None
    paid = view.usdc_status is UsdcStatus.DISTRIBUTED
    moments = [payout.distributed_at for payout in payouts if payout.distributed_at is not None]
    return PurchaseBody(
        id=row.id,
        content_id=row.content_id,
        title=view.title,
        stripe_payment_intent_id=row.stripe_payment_intent_id,
        stripe_checkout_session_id=row.stripe_checkout_session_id,
        gross_amount=format_cents(row.gross_amount),
        stripe_fee=_cents(row.stripe_fee),
        net_after_stripe=_cents(row.net_after_stripe),
        available_on=row.available_on,
        refunded_amount=format_cents(row.refunded_amount),
        status=PurchaseStatus(row.status),
        status_reason=view.status_reason,
        waits_for_wallet=view.waits_for_wallet,
        edition_number=row.edition_number,
        circle_nft_id=row.circle_nft_id or "",
        circle_mint_transaction_id=row.circle_mint_transaction_id or "",
        nft_mint_address=row.nft_mint_address,
        mint_signature=row.mint_signature,
        nft_minted=row.minted_at is not None,
        mint_cost=format_cents(row.mint_cost),
        network_cost_lamports=row.network_cost_lamports,
        usdc_amount=None if view.usdc_amount is None else format_usdc(view.usdc_amount),
        usdc_payment_status=view.usdc_status,
        hold_reason=row.hold_reason,
        usdc_transfer_signature=alone.signature if alone is not None else None,
        usdc_distributed_at=max(moments) if paid and moments else None,
        payouts=[
            PayoutBody(
                recipient_id=payout.recipient_id,
                recipient_name=payout.username,
                recipient_number=payout.recipient_number,
                share_bps=payout.share_bps,
                amount=format_usdc(payout.amount),
                netted_amount=format_usdc(payout.netted_amount),
                status=UsdcStatus(payout.state),
                reason=payout.reason,
                chain=payout.chain,
                destination_address=payout.destination_address,
                usdc_transfer_signature=payout.signature,
                usdc_distributed_at=payout.distributed_at,
            )
            for payout in payouts
        ],
        created_at=row.created_at,
        paid_at=row.paid_at,
    )


def _cents(amount: int | None) -> str | None:
    return None if amount is None else format_cents(amount)
