"""Bodies of the operator's port. Amounts are decimal strings; the ledger's are integers in the smallest unit."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from agent.web.bodies import INT_MAX, Answer, Asked, Line, Moment, Money, Paging, RowId

Usdc = Annotated[Line, Field(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$", examples=["112.50"])]


class WorkQuery(Asked):
    """`after` is the `next` of the page before."""

    state: Literal["parked", "due", "open"] = "open"
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")] | None = None
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


class WorkDetail(WorkItem):
    """`payload` is what was committed for it: a delivery's body, the exact request of the last attempt."""

    payload: JsonValue


class QueueRow(Answer):
    """All rows of one kind in one state. `oldest_seconds` is the age of the oldest, `overdue_seconds` how long the
    first that is due has been."""

    kind: str
    state: str
    rows: int
    oldest_seconds: int
    overdue_seconds: int


class Queues(Answer):
    items: list[QueueRow]


class Retried(Answer):
    kind: str
    id: int
    state: Literal["due"] = "due"


class ManyWish(Asked):
    """Either `ids`, or `all` that has failed."""

    ids: Annotated[list[RowId], Field(min_length=1, max_length=500)] | None = None
    all: bool = False


class NotRetried(Answer):
    id: int
    code: str
    message: str


class RetriedMany(Answer):
    """`more`: there was more than one call takes; ask again."""

    kind: str
    retried: list[int]
    refused: list[NotRetried]
    more: bool


class Balance(Answer):
    name: str
    amount: Money
    slot: int
    read_at: Moment


class Treasury(Answer):
    """`readings` were read from the chain at finalized; `to_convert` is owed and not covered by any deposit yet."""

    readings: list[Balance]
    to_convert: Money


class Outlook(Answer):
    """The next Monday's batch and how long the wallet lasts. USDC as decimal strings.

    `need` = `owed` (known, unpaid) + `unminted` (owed once the NFT exists) + `expected` (at the pace of the last four
    weeks). Convert `to_convert` by `convert_by`, 48 hours ahead; `to_convert_known` is without what is only expected.
    `sales_left` and `days_left` tell how long the wallet's SOL lasts; null while nobody can tell.
    """

    monday: Moment
    convert_by: Moment
    need: Money
    owed: Money
    unminted: Money
    unpriced_sales: int
    expected: Money
    wallet_usdc: Money
    promised: Money
    to_convert: Money
    to_convert_known: Money
    wallet_sol: Money | None
    lamports_per_sale: int
    sales_per_week: int
    sales_left: int | None
    days_left: int | None


class CostQuery(Asked):
    days: Annotated[int, Field(ge=1, le=366)] = 28


class Costs(Answer):
    """Sales paid in the last `days`. `network_lamports` is what the chain took for mints and payouts; `margin` is the
    platform's share less `network_cents_assumed` (AGENT_NETWORK_COST_CENTS) for each sale minted. The two `…_per_sale`
    figures are averages, rounded down."""

    days: int
    sales: int
    gross: Money
    stripe_fees: Money
    net: Money
    refunded: Money
    creators: Money
    platform: Money
    minted: int
    mint_lamports: int
    payouts: int
    payout_lamports: int
    network_lamports: int
    network_lamports_per_sale: int
    network_cents_assumed: int
    margin: Money
    margin_per_sale: Money


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
    received: Money
    """By the deposits that it explains."""
    settled_at: Moment | None
    note: str
    created_at: Moment


class DepositShare(Answer):
    conversion_id: int
    amount: Money


class Deposit(Answer):
    """`sender` is empty where the chain names several or none; `unexplained` no announced conversion explains."""

    id: int
    signature: str
    sender: str
    amount: Money
    unexplained: Money
    shares: list[DepositShare]
    slot: int
    block_time: Moment | None


class DepositPage(Answer):
    items: list[Deposit]
    next: int | None


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

    payout_id: int
    payout: str
    planned: Money
    now: Money
    state: str
    reason: str | None


class ChangeQuery(Asked):
    """`after` is the `next` of the page before."""

    after: RowId | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class ChangePage(Answer):
    items: list[PlanChange]
    next: int | None


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
    next: int | None


class Reason(Asked):
    """Why; it is shown to the other operators."""

    reason: str = Field(min_length=1, max_length=300)


class Acceptance(Reason):
    """`not_a_payout`: none of it went to somebody who is still to be paid; asked for only where that is in doubt."""

    not_a_payout: bool = False


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
