"""Circle Mint's console, in other hands than the treasurer's: the key loses its rights, transfers are made by hand."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from solders.keypair import Keypair

from sandbox.faults import Fault, Rule
from sandbox.service import Request
from simulator.stage import Stage

CENT = 10_000
USDC = 10**6
FOR_EVER = 1 << 40
NO_ACCESS = b'{"code": 3, "message": "Forbidden"}'
LOCKED_OUT_SECONDS = (1, 70, 900, 50_000)
"""Until a person has acted: also beyond the time for which a key of Circle's is trusted."""
SHARE_WITHOUT_RIGHTS, SHARE_WHILE_CONVERTING = 0.3, 0.6
AS_MUCH, ELSEWHERE = 0.6, 0.3
MOST_CENTS = 5_000
SETTLED_SECONDS = 1.0
OPEN_ORDER = "SELECT amount FROM conversion_orders WHERE state IN ('proposed', 'approved', 'sending') ORDER BY id DESC"


ON_ITS_WAY = "SELECT COUNT(*) FROM conversion_orders WHERE state = 'sending' AND sent_at IS NOT NULL"


def converts() -> bool:
    """Whether a step is at an order here, by what the worker binds for its log lines."""
    return str(structlog.contextvars.get_contextvars().get("job")).startswith("conversion:")


class MintConsole:
    """Of one world whose daemons convert through Circle Mint."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._mint = stage, stage.outside.mint

    def is_ordering(self) -> bool:
        """Whether a step is at an order here that Circle may know of."""
        return converts() and self._stage.checker.db.number(ON_ITS_WAY) > 0

    @contextmanager
    def without_rights(self) -> Iterator[None]:
        """The key may do nothing any more, until somebody gives its rights back."""
        rule = self._mint.faults.add(Rule("", Fault.STATUS, FOR_EVER, status=403, body=NO_ACCESS))
        self._stage.trace.tell("the key of Circle Mint has lost its rights")
        try:
            yield
        finally:
            self._mint.faults.rules.remove(rule)

    async def transfer(self, dice: random.Random) -> None:
        """To the platform wallet, often of the very amount that is ordered, or to the platform's own bank; with a wire
        for it where the account lacks it."""
        stage, books = self._stage, self._mint.books
        ordered = stage.checker.db.number(OPEN_ORDER)
        units = ordered if ordered and dice.random() < AS_MUCH else CENT * dice.randint(1, MOST_CENTS)
        if books.available < units:
            self._control("wire", usd=_dollars(units - books.available))
            await stage.clock.sleep(books.switches.deposit_ms / 1_000 + SETTLED_SECONDS)
        bank = str(Keypair.from_seed(dice.randbytes(32)).pubkey())
        to = {"address": bank} if dice.random() < ELSEWHERE else {}
        made = self._control("transfer", usd=_dollars(units), **to)
        stage.people.by_hand.add(str(made["id"]))
        stage.trace.tell("somebody moves", units, "in Circle Mint's console", "elsewhere" if to else "to the wallet")

    def _control(self, what: str, **told: str) -> dict[str, Any]:
        answer = self._mint.handle(Request("POST", f"/_sandbox/{what}", "", {}, json.dumps(told).encode()))
        return dict(json.loads(answer.body))


def _dollars(units: int) -> str:
    return f"{units // USDC}.{units % USDC // CENT:02d}"
