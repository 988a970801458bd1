"""Bodies of batches: their plans, how a plan shrank, approval, and what a batch planned now would pay. Amounts are
decimal strings."""

from typing import Annotated

from pydantic import Field

from agent.web.bodies import Answer, Asked, Moment, Money, RowId


class BatchRow(Answer):
    """`unpaid` of it, `uncovered` of that wait for conversion. `short` must come in until all of it is covered: what
    was paid for before the last of it, whoever's, is covered first (`need` is with that), and what is free counts."""

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
    need: Money
    short: Money


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
