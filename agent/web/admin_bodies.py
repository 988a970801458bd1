"""Bodies of the operator's port. Amounts are decimal strings; the ledger's are integers in the smallest unit."""

from typing import Annotated, Literal

from pydantic import Field

from agent.web.account_bodies import PASSWORD_MAX_CHARS
from agent.web.bodies import INT_MAX, Answer, Asked, Line, Moment, Money
from agent.web.purchase_bodies import PurchaseBody

Usdc = Annotated[Line, Field(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$", examples=["112.50"])]


class WorkQuery(Asked):
    """`after` is the `next` of the page before."""

    state: Literal["parked", "due", "open"] = "open"
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


class Retried(Answer):
    kind: str
    id: int
    state: Literal["due"] = "due"


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


class RefundRow(Answer):
    stripe_refund_id: str | None
    reason: str
    amount: Money
    state: str
    created_at: Moment


class PostingRow(Answer):
    entry: str
    kind: str
    account: str
    asset: str
    amount: int
    at: Moment


class AdminPurchase(Answer):
    purchase: PurchaseBody
    history: list[HistoryRow]
    mints: list[MintAttempt]
    transfers: list[TransferAttempt]
    refunds: list[RefundRow]
    postings: list[PostingRow]
    jobs: list[WorkItem]


class Balance(Answer):
    name: str
    amount: Money
    slot: int
    read_at: Moment


class Treasury(Answer):
    """`readings` were read from the chain at finalized; `to_convert` is owed and not covered by any deposit yet."""

    readings: list[Balance]
    to_convert: Money


class Status(Answer):
    """`counts` are rows by state, for purchases, payouts, jobs and the two inboxes."""

    live: bool
    now: Moment
    counts: dict[str, dict[str, int]]
    treasury: Treasury
    ledger_imbalance: int


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


class NewInvite(Asked):
    """`code` left out = a random one. `uses` left out = unlimited."""

    code: Annotated[str, Field(pattern=r"^[\x21-\x7e]{8,128}$")] | None = None
    uses: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    note: Annotated[Line, Field(max_length=200)] = ""


class Invite(Answer):
    """The only time that the code is shown."""

    code: str
    uses: int | None


class NewConversion(Asked):
    """What was sent to be converted; `expected_usdc` left out = the same number of dollars."""

    usd_cents: Annotated[int, Field(ge=1, le=INT_MAX // 10_000)]
    expected_usdc: Usdc | None = None
    note: Annotated[Line, Field(max_length=200)] = ""


class Conversion(Answer):
    id: int
    uuid: str
    usd_cents: int
    expected_usdc: Money
    note: str
    created_at: Moment


class ConversionPage(Answer):
    items: list[Conversion]
    next: int | None


class BatchRow(Answer):
    id: int
    uuid: str
    key: str
    status: str
    paused: bool
    cutoff_at: Moment
    grouping: str
    rail: str
    payout_count: int
    planned_amount: Money
    pause_reason: str | None
    digest: str | None
    approved_by: list[str]
    settled_at: Moment | None
    created_at: Moment
    payouts: dict[str, int]
    unpaid: Money
    uncovered: Money


class BatchPage(Answer):
    items: list[BatchRow]
    next: int | None


class PlannedItem(Answer):
    """One payout as frozen in the plan; `state` is where it stands now."""

    payout_id: int
    purchase_id: int
    creator: str
    destination_address: str
    amount: Money
    state: str
    reason: str | None


class PlanChange(Answer):
    """An item of which less is sent than was planned."""

    payout: str
    planned: Money
    now: Money
    state: str
    reason: str | None


class BatchDetail(Answer):
    """The plan, page by page, with everything that has shrunk since."""

    batch: BatchRow
    items: list[PlannedItem]
    next: int | None
    changes: list[PlanChange]


class Approval(Asked):
    """`digest` is the plan's, as looked at."""

    digest: str = Field(min_length=64, max_length=64)


class Outflow(Answer):
    """USDC that left the platform wallet and that no payout explains."""

    id: int
    signature: str
    amount: Money
    counterparty: str | None
    slot: int
    block_time: Moment | None


class Outflows(Answer):
    """While there is one, nothing is sent."""

    items: list[Outflow]


class Reason(Asked):
    """Why; it is shown to the other operators."""

    reason: str = Field(min_length=1, max_length=300)


class SendsSwitch(Answer):
    """`paused` is the reason why nothing is sent, null while sends go on."""

    paused: str | None


class BatchPlanned(Answer):
    """`batch` is null when nothing is payable."""

    batch: BatchRow | None


class CreatorPart(Answer):
    creator_id: int
    name: str
    amount: Money
    purchases: int


class LeftOut(CreatorPart):
    reason: str


class Preview(Answer):
    """What a batch planned now would pay, sorted by amount; the wallet's USDC and SOL as just read from the chain."""

    total_purchases: int
    total_usdc: Money
    number_of_creators: int
    creators: list[CreatorPart]
    left_out: list[LeftOut]
    wallet_usdc: Money
    wallet_sol: Money
    free_usdc: Money
    to_convert: Money


class FormerUserBody(Asked):
    """A user from before, with the wallet he has outside."""

    email: Annotated[Line, Field(max_length=320)]
    password: Annotated[str, Field(max_length=PASSWORD_MAX_CHARS)]
    username: Annotated[Line, Field(min_length=1, max_length=64)] | None = None
    wallet_provider: Literal["external", "web3auth"] = "external"
    wallet_address: Annotated[Line, Field(max_length=128)]
    web3auth_sub: Annotated[Line, Field(max_length=255)] | None = None
