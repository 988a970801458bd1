"""How an operator may have set the daemons up: drawn from the world's seed."""

import random
from collections.abc import Mapping

from simulator.scenario import CONVERTING, FEW_FAULTS, FaultKind, Scenario

ROUNDING_STEPS = (10_000, 10_000, 100, 1)
"""With the cent as its step a split never leaves a remainder."""
SHARE_OF_TWO_APPROVERS = 0.3
"""Of the worlds with operators."""
SHARE_OF_ATOMIC = 0.5
"""Of the worlds in real time: there mints pay too, where the rules hold."""
SHARE_AS_DELIVERED = 0.5
"""Of the worlds whose rarer settings are left as they are."""
SHARE_CONVERTING = 0.25
"""Of all worlds: there the treasurer's money comes by orders at Circle Mint."""
CAPS = (10**12, 10**12, 50 * 10**6)
"""Of one order, in base units: more than anybody is due, or less than a week needs, so that several follow."""
DAY_CAP = 10**13
MOST_BID = ("0", "5000", "100000", "100000")
SHARE_CHANGED = 0.35
"""Of the rarer settings, in the other worlds."""

RARER: Mapping[str, tuple[str, ...]] = {
    "AGENT_REQUIRE_AVAILABLE": ("true",),
    "AGENT_HOLD_DAYS": ("1",),
    "AGENT_PACKED_FORMAT": ("v1",),
    "AGENT_PACKED_MEMO": ("true",),
    "AGENT_PAYOUT_MINIMUM": ("1", "500000", "3000000"),
    "AGENT_PRIORITY_FEE_LAMPORTS": ("5000", "100000"),
    "AGENT_CREATOR_BPS": ("5000", "8750", "1"),
    "AGENT_RPC_PER_SECOND": ("1", "3"),
    "AGENT_CIRCLE_LIMITS": ("real",),
    "AGENT_ATTEMPTS_MAX": ("1", "2"),
    "AGENT_RECEIPT_DAYS": ("1",),
    "AGENT_ADDRESS_COOL_OFF_HOURS": ("0", "1"),
}
"""Nothing here makes money wait for longer than the checker's patience at a world's end, and nothing waits for a person
who never comes."""


def drawn(scenario: Scenario, dice: random.Random, workers: int) -> dict[str, str]:
    """Environment variables of all daemons. `dice` are the world's own: what they give is what the seed means, so the
    rarer settings have dice for themselves."""
    chosen = {
        "AGENT_GROUPING": dice.choice(("purchase", "creator")),
        "AGENT_USER_WALLETS": dice.choice(("user", "developer")),
        "AGENT_RAIL": dice.choice(("circle", "solana")),
        "AGENT_PAYOUT_MODE": scenario.payout_mode,
        "AGENT_ROUNDING_STEP": str(dice.choice(ROUNDING_STEPS)),
    }
    if scenario.operators and dice.random() < SHARE_OF_TWO_APPROVERS:
        chosen["AGENT_APPROVERS"] = "2"
    if scenario.payout_mode == "realtime" and dice.random() < SHARE_OF_ATOMIC:
        chosen |= {"AGENT_ATOMIC_SETTLEMENT": "true", "AGENT_USER_WALLETS": "user"}
    if workers > 1:
        chosen["AGENT_IDLE_SECONDS"] = "10800"
    rarer = _rarer(random.Random(f"settings of {scenario.seed}"))
    converting = _converting(random.Random(f"wires of {scenario.seed}"), scenario)
    bidding = _bidding(random.Random(f"bids of {scenario.seed}"), scenario)
    return chosen | rarer | converting | bidding | dict(scenario.settings)


def _converting(dice: random.Random, scenario: Scenario) -> dict[str, str]:
    """A day's cap is high, or lets through in two days what a week needs: more waiting would be beyond the checker's
    patience. Circle's word alone ends no order: the balance is read every three hours, which is what that waits
    for."""
    how = "circle_mint" if dice.random() < SHARE_CONVERTING or _is_asked_for(scenario) else "manual"
    if dict(scenario.settings).get("AGENT_CONVERSION", how) == "manual":
        return {}
    cap = dice.choice(CAPS)
    binds = FaultKind.BY_HAND in scenario.faults and cap == min(CAPS)
    return {
        "AGENT_CONVERSION": "circle_mint",
        "AGENT_CAP_CONVERSION": str(cap),
        "AGENT_CAP_CONVERSION_DAY": str(cap * max(2, scenario.purchases // 2) if binds else DAY_CAP),
        "AGENT_TREASURY_POLL_MS": "10800000",
    }


def _bidding(dice: random.Random, scenario: Scenario) -> dict[str, str]:
    """Where somebody names full blocks with few others: mostly something is bid."""
    if FaultKind.FULL_BLOCKS not in scenario.faults or len(scenario.faults) > FEW_FAULTS:
        return {}
    return {"AGENT_PRIORITY_FEE_LAMPORTS": dice.choice(MOST_BID)}


def _is_asked_for(scenario: Scenario) -> bool:
    """By somebody who names, with few others, what meets conversions only."""
    return bool(scenario.faults & CONVERTING) and len(scenario.faults) <= FEW_FAULTS


def _rarer(dice: random.Random) -> dict[str, str]:
    if dice.random() < SHARE_AS_DELIVERED:
        return {}
    return {name: dice.choice(values) for name, values in RARER.items() if dice.random() < SHARE_CHANGED}
