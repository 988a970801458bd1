"""Bodies of purchases on the operator's port: found, in full, and what may be done to one."""

from typing import Annotated

from pydantic import Field

from agent.web.admin.work_bodies import WorkItem
from agent.web.bodies import Answer, Asked, Line, Moment, Money, Paging, RowId, Usdc
from agent.web.purchase_bodies import PurchaseBody
from domain.states import PurchaseStatus, UsdcStatus

Text = Annotated[Line, Field(min_length=1, max_length=255)]
Words = Annotated[Line, Field(min_length=1, max_length=300)]


class PurchaseQuery(Paging):
    """`text` is an id of ours, of Stripe's or of the chain's, or the beginning of the buyer's e-mail address."""

    text: Text | None = None
    status: PurchaseStatus | None = None
    payout_state: UsdcStatus | None = None
    held: bool | None = None
    buyer_id: RowId | None = None
    creator_id: RowId | None = None
    content_id: RowId | None = None


class PurchaseLine(Answer):
    """One purchase in a list. `creators` and `platform` are the parts of the net, USDC."""

    id: int
    title: str
    buyer_id: int
    buyer_name: str
    stripe_payment_intent_id: str | None
    status: PurchaseStatus
    status_reason: str | None
    usdc_payment_status: UsdcStatus
    hold_reason: str | None
    waits_for_wallet: bool
    gross_amount: Money
    stripe_fee: Money | None
    net_after_stripe: Money | None
    refunded_amount: Money
    creators: Money | None
    platform: Money | None
    network_cost_lamports: int | None
    paid_at: Moment | None
    created_at: Moment


class PurchasePage(Answer):
    items: list[PurchaseLine]
    next: int | None


class HistoryRow(Answer):
    machine: str
    subject: str
    before: str | None
    after: str
    reason: str | None
    at: Moment


class MintAttempt(Answer):
    attempt: int
    state: str
    mint_address: str
    buyer_address: str
    signature: str | None
    cost_lamports: int | None
    proof: str | None
    created_at: Moment


class TransferAttempt(Answer):
    attempt: int
    state: str
    reference: str
    amount: Money
    destination_address: str
    circle_transaction_id: str | None
    circle_state: str | None
    signature: str | None
    error_reason: str | None
    proof: str | None
    created_at: Moment


class PackedAttempt(Answer):
    """One try at a group's transaction that pays this sale's recipients among others. `amount` is the group's."""

    group: str
    attempt: int
    state: str
    receipt_address: str
    amount: Money
    signature: str | None
    fee_lamports: int | None
    cost_lamports: int | None
    proof: str | None
    created_at: Moment


class RefundRow(Answer):
    stripe_refund_id: str | None
    reason: str
    amount: Money
    state: str
    created_at: Moment


class DisputeRow(Answer):
    stripe_dispute_id: str
    status: str
    amount: Money
    withdrawn: Money
    fee: Money
    created_at: Moment


class PostingRow(Answer):
    entry: str
    kind: str
    account: str
    asset: str
    amount: int
    at: Moment


class AdminPurchase(Answer):
    """Everything about one purchase, each list oldest first. `version` goes back with what moves its money: it is
    another one as soon as the purchase is."""

    version: str
    buyer_id: int
    buyer_name: str
    creators: Money | None
    platform: Money | None
    released_at: Moment | None
    purchase: PurchaseBody
    history: list[HistoryRow]
    mints: list[MintAttempt]
    transfers: list[TransferAttempt]
    packed: list[PackedAttempt]
    refunds: list[RefundRow]
    disputes: list[DisputeRow]
    postings: list[PostingRow]
    jobs: list[WorkItem]


class Because(Asked):
    """Why; it is written down and shown to the other operators."""

    reason: Words


class MoneyWish(Because):
    """What moves money is typed twice: `confirm` repeats the purchase's `stripe_payment_intent_id`, `version` is the
    one that was looked at."""

    confirm: Text
    version: Annotated[Line, Field(min_length=1, max_length=64)]


class RefundWish(MoneyWish):
    """`amount` in dollars; left out = all that is left."""

    amount: Usdc | None = None


class RefundAsked(Answer):
    purchase_id: int
    amount: Money
    state: str = "intended"
