"""Nodes that have pruned their ledgers, as after a start from a snapshot: they know nothing of what landed before, and
list nothing. They are asked for it all the same, where Circle has lost sight of what has just been paid."""

import asyncio
import random

from sandbox.circle_service.transactions import State
from simulator.outside import SECOND_ENDPOINT
from simulator.stage import Stage
from simulator.strikes import Ended, Tally

ENDPOINTS = ("/", SECOND_ENDPOINT)
SHARE_OUT_OF_SIGHT = 0.8
"""Of Circle's orders."""


def prune(stage: Stage, dice: random.Random) -> Ended:
    """From the next time on that USDC leaves the platform wallet. At its end both nodes have all of it again."""
    tally = Tally()

    def strike(signature: str) -> None:
        stage.on_outflow.remove(strike)
        tally.note()
        for path in ENDPOINTS:
            stage.node.endpoints[path].ledger_from = stage.node.tip() + 1
        stage.trace.tell("both nodes keep nothing of", signature, "and before")
        if dice.random() < SHARE_OUT_OF_SIGHT:
            asyncio.get_running_loop().call_soon(_lose_sight, stage, signature)  # Circle may be looking at it just now

    def undo() -> None:
        for path in ENDPOINTS:
            stage.node.endpoints[path].ledger_from = 0
        if strike in stage.on_outflow:
            stage.on_outflow.remove(strike)

    stage.on_outflow.append(strike)
    return Ended(undo, lambda: tally.count, tally.met)


def _lose_sight(stage: Stage, signature: str) -> None:
    """Circle gives up the order that has landed so, and no longer names its transaction."""
    for order in stage.records.orders():
        if order.tx_hash == signature and order.state in (State.SENT, State.CONFIRMED):
            stage.records.out_of_sight[order.id], order.tx_hash = signature, None
            stage.circle.custody.transactions.fail(order, "INTERNAL_ERROR", "lost sight of it")
            stage.trace.tell("Circle loses sight of", order.id)
