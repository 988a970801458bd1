"""Real-time payout: is money that is due paid now, by the mode's own approval, or does it wait for the Monday batch?

Amounts in USDC base units; a cap of 0 is none.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar


class PayoutMode(StrEnum):
    """Who starts payouts: the Monday and people, or beside them every sale by itself."""

    WEEKLY = "weekly"
    REALTIME = "realtime"


class Bar(StrEnum):
    """Why something is not paid at once. Nothing is lost by it: the Monday batch takes what is payable."""

    MODE = "mode"
    """The mode is weekly."""
    APPROVALS = "approvals"
    """Two people must agree to a plan, and the mode stands for one at most."""
    PAUSED = "paused"
    """The operator's switch stops all sends."""
    OUTFLOW = "outflow"
    """USDC left the platform wallet unexplained: nothing is sent until a person has decided it."""
    OLDER_BATCH = "older_batch"
    """A batch waits for approval or funds: it is served first."""
    FUNDS = "funds"
    """The platform wallet's free balance does not cover it, or would not cover what was paid for before it."""
    PAYOUT_CAP = "payout_cap"
    """A single payout is above a cap: a person must see it."""
    DAY_CAP = "day_cap"
    """Today's transfers would pass their cap."""
    FEE = "fee"
    """Stripe's fee is not final."""
    NOT_YET = "not_yet"
    """The days of hold are not over, or Stripe's money is not available."""
    HELD = "held"
    RETURNS = "returns"
    """A refund or dispute is known, so that what is due may still change."""
    DEBT = "debt"
    """A recipient owes, or may come to owe by an open dispute: that is netted or kept back first."""
    ADDRESS = "address"
    """A recipient has no address, one that may not be paid, or one still in its cool-off."""
    NOTHING = "nothing"
    """The sale owes its creators nothing: their part was rounded to zero."""
    MINIMUM = "minimum"
    """A recipient's part is below the least payout."""
    LEFT_OUT = "left_out"
    """It left a plan before with a reason of its own, worth less than the rent of a missing account."""


WHY: Mapping[Bar, str] = {
    Bar.MODE: "AGENT_PAYOUT_MODE is weekly",
    Bar.APPROVALS: "AGENT_APPROVERS asks for two people, and the mode stands for one",
    Bar.PAUSED: "all sends are paused",
    Bar.OUTFLOW: "USDC left the platform wallet unexplained: a person must decide it first (outflows)",
    Bar.OLDER_BATCH: "a batch waits for approval or funds and is served first",
    Bar.FUNDS: "the platform wallet's free USDC does not cover what is owed: convert and send more",
    Bar.PAYOUT_CAP: "a payout is above a cap: a person must see it (AGENT_CAP_PAYOUT, AGENT_CAP_BATCH, AGENT_CAP_DAY)",
    Bar.DAY_CAP: "today's transfers are at their cap (AGENT_CAP_DAY)",
    Bar.LEFT_OUT: "a payout is worth less than the rent of its recipient's missing USDC account",
}
"""For the operator: what keeps sales from being paid at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """One recipient's part of a sale (base units), and the owner's address that it would be, or was, paid to."""

    recipient_id: int
    address: str
    amount: int


@dataclass(frozen=True, slots=True)
class RealtimeRules:
    """The settings that bound what is paid without a person."""

    mode: PayoutMode
    approvers: int = 1
    payout_cap: int = 0
    batch_cap: int = 0
    day_cap: int = 0

    @property
    def ceiling(self) -> int:
        """The largest single payout that any cap lets through; 0: no cap."""
        return min((cap for cap in (self.payout_cap, self.batch_cap, self.day_cap) if cap), default=0)


@dataclass(frozen=True, slots=True)
class Platform:
    """What stands in the way of sends, and how much is left. `free` is what the wallet may still promise, `begun_today`
    what transfers begun since midnight UTC move, `unbegun` what open batches have still to begin."""

    sends_paused: bool
    unexplained_outflow: bool
    waiting_batch: int | None
    free: int
    begun_today: int
    unbegun: int


def bar(rules: RealtimeRules, platform: Platform) -> Bar | None:
    """Why nothing at all is paid at once; None when payouts within `room` are."""
    obstacles = (
        (rules.mode is not PayoutMode.REALTIME, Bar.MODE),
        (rules.approvers > 1, Bar.APPROVALS),
        (platform.sends_paused, Bar.PAUSED),
        (platform.unexplained_outflow, Bar.OUTFLOW),
        (platform.waiting_batch is not None, Bar.OLDER_BATCH),
        (left_today(rules, platform) == 0, Bar.DAY_CAP),
    )
    return next((why for stands, why in obstacles if stands), None)


def left_today(rules: RealtimeRules, platform: Platform) -> int | None:
    """What may still be begun today; None without a cap."""
    if not rules.day_cap:
        return None
    return max(0, rules.day_cap - platform.begun_today - platform.unbegun)


def room(rules: RealtimeRules, platform: Platform) -> int | None:
    """What one batch may move now; None without a cap."""
    bounds = [bound for bound in (rules.batch_cap or None, left_today(rules, platform)) if bound is not None]
    return min(bounds, default=None)


T = TypeVar("T")


def last_fitting(oldest_first: Iterable[tuple[T, int]], most: int) -> T | None:
    """The last of them that fits into `most` with all before it; the first that does not ends the pass, so that no
    later one goes before it. None: not even the first does."""
    last = None
    for item, amount in oldest_first:
        most -= amount
        if most < 0:
            break
        last = item
    return last


def sale_bar(rules: RealtimeRules, platform: Platform, parts: Collection[int], owed_before: int) -> Bar | None:
    """Why a sale whose recipients get `parts` is not paid now, in a transaction of its own, all of them or none.

    `owed_before`: what is owed for older payments and not covered yet.
    """
    total, why = sum(parts), bar(rules, platform)
    if why is not None:
        return why
    if rules.ceiling and max(parts, default=0) > rules.ceiling:
        return Bar.PAYOUT_CAP
    if rules.batch_cap and total > rules.batch_cap:
        return Bar.PAYOUT_CAP
    left = left_today(rules, platform)
    if left is not None and total > left:
        return Bar.DAY_CAP
    return Bar.FUNDS if total > platform.free - owed_before else None


@dataclass(frozen=True, slots=True)
class Left:
    """What a plan would take now and real time has not taken yet: how many payouts of what sum and largest amount, how
    many of them `uncovered`, and how many `left_out` of a plan before."""

    payouts: int = 0
    amount: int = 0
    largest: int = 0
    uncovered: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What real time has not paid of what is payable now, and why; None: nothing is left, or the next plan takes it."""

    left: Left
    why: Bar | None


def why_left(rules: RealtimeRules, platform: Platform, left: Left) -> Bar | None:
    """What keeps it for the Monday; None when nothing is left, or the next real-time plan takes it."""
    if left.payouts == 0:
        return None
    most = left_today(rules, platform)
    reasons = (
        (left.uncovered > 0, Bar.FUNDS),
        (0 < rules.ceiling < left.largest, Bar.PAYOUT_CAP),
        (left.left_out > 0, Bar.LEFT_OUT),
        (most is not None and left.amount > most, Bar.DAY_CAP),
    )
    return bar(rules, platform) or next((why for stands, why in reasons if stands), None)
