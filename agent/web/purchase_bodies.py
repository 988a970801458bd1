"""Bodies of purchases, the library and the creator's dashboard. Amounts are decimal strings."""

from agent.web.bodies import Answer, Moment, Money
from domain.shelf import Shelf
from domain.states import PurchaseStatus, UsdcStatus


class LibraryItem(Answer):
    """`taken_down`: its content can be looked at no more; what was bought of it stays."""

    purchase_id: int
    content_id: int
    title: str
    edition_number: int | None
    name: str
    status: Shelf
    nft_mint_address: str | None
    gross_amount: Money
    purchased_at: Moment
    taken_down: bool


class LibraryPage(Answer):
    items: list[LibraryItem]
    next: int | None


class PayoutBody(Answer):
    recipient_id: int
    recipient_name: str
    recipient_number: int
    share_bps: int
    amount: Money
    netted_amount: Money
    status: UsdcStatus
    reason: str | None
    chain: str
    destination_address: str | None
    usdc_transfer_signature: str | None
    usdc_distributed_at: Moment | None


class PurchaseBody(Answer):
    """`usdc_amount` is the due total before netting. `network_cost_lamports` is an integer of lamports."""

    id: int
    content_id: int
    title: str
    stripe_payment_intent_id: str | None
    stripe_checkout_session_id: str | None
    gross_amount: Money
    stripe_fee: Money | None
    net_after_stripe: Money | None
    available_on: Moment | None
    refunded_amount: Money
    status: PurchaseStatus
    status_reason: str | None
    waits_for_wallet: bool
    edition_number: int | None
    circle_nft_id: str
    circle_mint_transaction_id: str
    nft_mint_address: str | None
    mint_signature: str | None
    nft_minted: bool
    mint_cost: Money
    network_cost_lamports: int | None
    usdc_amount: Money | None
    usdc_payment_status: UsdcStatus
    hold_reason: str | None
    usdc_transfer_signature: str | None
    usdc_distributed_at: Moment | None
    payouts: list[PayoutBody]
    created_at: Moment
    paid_at: Moment | None


class SaleLine(Answer):
    """One recipient's share of one sale. `amount` is what is due, `netted_amount` what of it a debt used up."""

    payout_id: int
    title: str
    edition_number: int | None
    amount: Money
    netted_amount: Money
    status: UsdcStatus
    reason: str | None
    destination_address: str | None
    usdc_transfer_signature: str | None
    sold_at: Moment
    usdc_distributed_at: Moment | None


class SalesPage(Answer):
    items: list[SaleLine]
    next: int | None


class DashboardBody(Answer):
    """`available_balance` is the wallet's USDC as read from the chain: null where there is no wallet yet, and null with
    `available_balance_unavailable` where the chain can't be read now."""

    creator_id: int
    total_sales_usd: Money
    pending_distribution: Money
    pending_sales: int
    paid_out: Money
    available_balance: Money | None
    available_balance_unavailable: bool
    debt: Money
    held: Money
    next_payout_at: Moment
    wallet_prompt: str | None
