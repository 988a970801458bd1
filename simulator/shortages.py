"""What is short for a while and there again by itself: room in the blocks, and money at Stripe for refunds."""

import random
from collections.abc import Mapping

from simulator.scenario import FaultKind
from simulator.stage import Stage
from simulator.strikes import Ended, Tally

LAST_SECONDS: Mapping[FaultKind, tuple[int, ...]] = {
    FaultKind.FULL_BLOCKS: (600, 3_600, 14_400, 90_000),
    FaultKind.PENDING_REFUNDS: (60, 3_600, 40_000, 250_000),
    FaultKind.PRUNED_NODES: (3_600, 40_000, 150_000),
    FaultKind.GONE_ACCOUNTS: (6_000, 40_000, 150_000),
}
"""Longer than faults last that somebody mends."""
PRICES = (3_000, 20_000, 400_000, 10**12)
"""Micro-lamports a compute unit: within what mints and packed payouts may bid, by their settings, and beyond all."""
SHARE_THAT_FAILS = 0.4
"""Of the refunds that had to wait."""


def fill_blocks(stage: Stage, dice: random.Random, prices: list[int]) -> Ended:
    """`prices` of those that are on: where two overlap the higher one holds."""
    node, tally, price = stage.node, Tally(), dice.choice(PRICES)
    deaf = tally.of(node.on_outbid)
    prices.append(price)
    node.least_price = max(prices)
    stage.trace.tell("blocks take what bids", node.least_price)

    def undo() -> None:
        prices.remove(price)
        node.least_price = max(prices, default=0)
        deaf()

    return Ended(undo, lambda: tally.count, tally.met)


def lack_refunds(stage: Stage, dice: random.Random) -> Ended:
    """At its end each refund that waits succeeds, or Stripe gives it up."""
    controls, tally = stage.stripe.controls, Tally()
    deaf = tally.of(controls.on_left_pending)
    controls.lack_funds()

    def undo() -> None:
        controls.lack_funds(lacks=False)
        deaf()
        waiting = [one for payment in stage.records.payments() for one in payment["refunds"]]
        for refund_id in [one["id"] for one in waiting if one["status"] == "pending"]:
            fails = dice.random() < SHARE_THAT_FAILS
            (controls.fail_refund if fails else controls.settle_refund)(refund_id)
            stage.trace.tell("refund", refund_id, "fails" if fails else "succeeds", "after all")

    return Ended(undo, lambda: tally.count, tally.met)
