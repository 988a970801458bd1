"""The money of a small shop, moved at random by hypothesis: the repositories on a real SQLite file, beside a reference
model that knows only facts.

The model keeps what happened (sales, what came back, deposits, what left) and says from that alone what each payout
must be. It knows neither jobs nor histories nor the order in which facts came. The one thing that depends on order,
which payout a debt uses up, it holds by sums: nothing is netted beyond the debts, and no debt is left beside money that
could pay it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

UNITS_PER_CENT = 10_000
WHOLE_BPS = 10_000
FEE_CENTS = 39
CREATOR_BPS = 9_000
OPEN, TAKEN = "open", "funds taken"
"""A dispute without an outcome: its funds are still with us, or Stripe took them."""


@dataclass
class Sale:
    """`refunds` and `disputes` by Stripe's id: cents and state. `shares` by user in basis points."""

    id: int
    gross: int
    shares: dict[int, int]
    refunds: dict[str, tuple[int, str]] = field(default_factory=dict)
    disputes: dict[str, tuple[int, str]] = field(default_factory=dict)
    held: bool = False
    """By a person."""

    def refunded(self) -> bool:
        return sum(cents for cents, state in self.refunds.values() if state == "succeeded") >= self.gross

    def due(self, worst: bool = False) -> dict[int, int]:
        """By user: his share of the creators' part of what was not given back; at `worst` every dispute whose funds
        Stripe took is lost."""
        net = (self.gross - FEE_CENTS) * CREATOR_BPS
        creators = (net + WHOLE_BPS // 2) // WHOLE_BPS * UNITS_PER_CENT
        gone = [cents for cents, state in self.refunds.values() if state == "succeeded"]
        gone += [cents for cents, state in self.disputes.values() if state == "lost" or (worst and state == TAKEN)]
        left = max(0, self.gross - sum(gone))
        total = (2 * creators * left + self.gross) // (2 * self.gross)
        parts = {user: total * bps // WHOLE_BPS for user, bps in self.shares.items()}
        by_remainder = sorted(self.shares, key=lambda user: (-(total * self.shares[user] % WHOLE_BPS), user))
        for user in by_remainder[: total - sum(parts.values())]:
            parts[user] += 1
        return parts

    def contested(self) -> bool:
        return any(state in (OPEN, TAKEN) for _, state in self.disputes.values())


Payout = tuple[int, int]
"""Sale and user: a recipient of a sale is paid at most once."""


@dataclass
class Model:
    """`landed` is what the chain moved; `under_way` what it may still move; `failed` what was given up, unpaid."""

    sales: dict[int, Sale] = field(default_factory=dict)
    deposited: int = 0
    landed: dict[Payout, int] = field(default_factory=dict)
    under_way: dict[Payout, int] = field(default_factory=dict)
    failed: set[Payout] = field(default_factory=set)

    def wallet(self) -> int:
        return self.deposited - sum(self.landed.values())

    def payouts(self, worst: bool = False) -> Iterator[tuple[Payout, int]]:
        """Every payout with what it is due now."""
        for sale in self.sales.values():
            for user, due in sale.due(worst).items():
                yield (sale.id, user), due

    def states(self, payout: Payout, due: int, used: Mapping[Payout, int]) -> set[str]:
        """What a payout may be called, given what debts used up of it and of the others."""
        netted = used[payout]
        sale = self.sales[payout[0]]
        if payout in self.landed:
            return {"distributed"}
        if payout in self.under_way:
            return {"pending_distribution"}
        if due == 0:
            return {"cancelled"}
        if sale.held or sale.contested():
            return {"on_hold"} if netted < due else {"on_hold", "netted"}
        if payout in self.failed:
            return {"failed"}
        if netted == due:
            return {"netted"}
        waits = {"pending_conversion", "pending_distribution"}
        return waits | {"on_hold"} if self.risk(payout[1], used) else waits

    def debt(self, user: int, netted: Mapping[Payout, int], worst: bool = False) -> int:
        """What a user got beyond his due, by transfers and by nettings of what was paid."""
        return sum(
            max(0, self.landed[payout] + netted.get(payout, 0) - due)
            for payout, due in self.payouts(worst)
            if payout[1] == user and payout in self.landed
        )

    def risk(self, user: int, netted: Mapping[Payout, int]) -> int:
        """What a user would owe more if he lost every dispute whose funds were taken: also by what debts used up of
        sales that nobody was paid for, which they would owe again."""
        again = sum(
            max(0, netted.get(payout, 0) - due)
            for payout, due in self.payouts(worst=True)
            if payout[1] == user and payout not in self.landed
        )
        return self.debt(user, netted, worst=True) - self.debt(user, netted) + again
