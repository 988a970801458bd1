"""Bodies of the books: balances, entries, verification and the trace of one sale. Ledger amounts are integers in the
smallest unit."""

from typing import Annotated, Literal

from pydantic import Field

from agent.web.admin.purchase_bodies import MintAttempt, PackedAttempt, RefundRow, TransferAttempt
from agent.web.bodies import INT_MAX, Answer, Asked, Line, Moment, Money, Paging
from agent.web.purchase_bodies import PurchaseBody


class AccountBalance(Answer):
    account: str
    asset: str
    amount: int


class LedgerPage(Answer):
    """`imbalance` is the sum over assets of the absolute imbalance: 0 when the books hold."""

    imbalance: int
    balances: list[AccountBalance]
    next: str | None


class LedgerQuery(Asked):
    after: Annotated[Line, Field(max_length=64)] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 200


class EntryQuery(Paging):
    """`subject` is what the entries are about: a payment_intent, a payout's or a conversion's UUID, a signature."""

    subject: Annotated[Line, Field(min_length=1, max_length=300)] | None = None


class PostingLine(Answer):
    account: str
    asset: str
    amount: int


class LedgerEntry(Answer):
    """Amounts are integers of the asset's smallest unit; they sum to zero in each asset."""

    id: int
    key: str
    kind: str
    subject: str
    created_at: Moment
    postings: list[PostingLine]


class EntryPage(Answer):
    items: list[LedgerEntry]
    next: int | None


class Rule(Answer):
    """One rule that the database must keep; `invariants` are its numbers in the reliability reference."""

    name: str
    invariants: list[str]
    says: str


class Rules(Answer):
    """In the order in which they are checked."""

    rules: list[Rule]


class PageOfRule(Asked):
    """`after` is what the page before answered."""

    rule: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    after: Annotated[Line, Field(max_length=120)] | None = None


class BadRow(Answer):
    """The first row that breaks the rule."""

    row: str
    why: str


class RulePage(Answer):
    """`after` is null at the end, and once a bad row was found."""

    looked: int
    finding: BadRow | None
    after: str | None


class SaleQuery(Asked):
    """A purchase's number or its Stripe payment_intent."""

    sale: Annotated[str, Field(pattern=r"^([1-9][0-9]{0,17}|pi_[A-Za-z0-9_]{1,250})$")]


class TraceChange(Answer):
    """One change of a state, or a remark of an operator."""

    at: Moment
    machine: str
    subject: str
    before: str | None
    after: str
    reason: str | None


class TracePosting(Answer):
    account: str
    asset: str
    amount: int


class TraceEntry(Answer):
    """`seal` is the entry's number in the hash chain, null while it waits for it."""

    key: str
    kind: str
    at: Moment
    seal: int | None
    postings: list[TracePosting]


class TraceMovement(Answer):
    """What one of the sale's transactions did to the platform wallet, finalized."""

    signature: str
    asset: str
    amount: int
    kind: str
    counterparty: str | None
    slot: int
    block_time: Moment | None


class TraceDispute(Answer):
    stripe_dispute_id: str
    status: str
    amount: Money
    withdrawn: Money
    fee: Money


class TraceNetting(Answer):
    """Debt that used up part of one of this sale's payouts; `undone_at` when it was taken back."""

    payout: str
    debtor_payout: str
    amount: Money
    ledger_key: str
    undone_at: Moment | None


class TraceCosts(Answer):
    """What the sale cost the platform. `transfer_lamports` are of whole transactions, without rents that come back;
    `transfers_shared` of them also paid other sales. `platform_amount` is the platform's part of the net,
    `platform_left` what is left of it after refunds, lost disputes and their fees: below zero where it bears more."""

    stripe_fee: Money | None
    dispute_fees: Money
    mint_lamports: int
    transfer_lamports: int
    transfers_shared: int
    platform_amount: Money | None
    platform_left: Money | None


class Trace(Answer):
    """One sale from Stripe to the last signature."""

    purchase: PurchaseBody
    stripe_charge_id: str | None
    stripe_balance_transaction_id: str | None
    split_rule: str | None
    changes: list[TraceChange]
    mints: list[MintAttempt]
    transfers: list[TransferAttempt]
    packed: list[PackedAttempt]
    refunds: list[RefundRow]
    disputes: list[TraceDispute]
    nettings: list[TraceNetting]
    movements: list[TraceMovement]
    entries: list[TraceEntry]
    costs: TraceCosts


class Report(Answer):
    """One reconciliation. `green`, `explained` and `red` count sales; `red` also what belongs to no sale. `phase` and
    `done` say how far it is; `reasons` how often each reason occurs, by colour."""

    id: int
    asked_by: str
    started_at: Moment
    finished_at: Moment | None
    phase: str
    done: int
    green: int
    explained: int
    red: int
    reasons: dict[str, dict[str, int]]
    stripe: dict[str, dict[str, int]]


class ReportPage(Answer):
    items: list[Report]
    next: int | None


class FindingQuery(Asked):
    """`after` is the `next` of the page before."""

    colour: Literal["red", "explained"] | None = None
    after: Annotated[int, Field(ge=0, le=INT_MAX)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class ReportFinding(Answer):
    """`subject`: a purchase's number (book `sale`), an id of Stripe or Circle, a signature, or a row."""

    id: int
    colour: str
    book: str
    subject: str
    code: str
    why: str


class FindingPage(Answer):
    items: list[ReportFinding]
    next: int | None
