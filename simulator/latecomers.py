"""People who pay around a Monday's cut-off: in its very second, next to it, and in the hour behind it. Their webhooks
come when they come, and the machine's clock is behind by less than anybody minds."""

import asyncio
import random
from datetime import datetime, timedelta

from simulator.people import PAYS_AT_ONCE, Cast

COME_BEFORE_SECONDS = 1_200
"""They open Stripe's page so long before the cut-off; then the answer is waited for, and the card is in their hands."""
PEOPLE = (1, 2, 3, 4)
MOMENTS_SECONDS = (-30.0, -1.0, -0.5, -0.001, 0.0, 0.001, 0.4, 0.999, 1.0, 30.0, 600.0, 3_000.0)
"""When they pay, from the cut-off on. Stripe dates by whole seconds."""
HELD_MS = (0, 0, 2_000, 60_000, 1_500_000, 4_000_000)
TELLING = ("payment_intent.succeeded", "checkout.session.completed", "charge.updated")
BEHIND_SECONDS = (0, 0, -45, -100)
"""A clock so far behind is trusted, and plans when the first of the new week are minted."""
AFTER_SECONDS = 3_600


class Latecomers:
    """`come` once for each Monday, a while before it."""

    def __init__(self, cast: Cast, dice: random.Random) -> None:
        self._cast, self._dice = cast, dice
        self.paid = 0

    async def come(self) -> None:
        stage, dice = self._cast.stage, self._dice
        cut_off = _next_cut_off(stage.clock.now())
        held = {kind: dice.choice(HELD_MS) for kind in TELLING}
        stage.stripe.controls.disturb_delivery(delay_ms=held)
        stage.trace.tell("webhooks are held back by", *held.values())
        process, behind = dice.choice(stage.processes), timedelta(seconds=dice.choice(BEHIND_SECONDS))
        if process.clock.skew == timedelta(0):
            process.clock.skew = behind
        async with asyncio.TaskGroup() as group:
            for _ in range(dice.choice(PEOPLE)):
                group.create_task(self._pay_at(cut_off + timedelta(seconds=dice.choice(MOMENTS_SECONDS))))
            await self._until(cut_off + timedelta(seconds=AFTER_SECONDS - 1))
        stage.stripe.controls.disturb_delivery(delay_ms={})
        if process.clock.skew == behind:
            process.clock.skew = timedelta(0)

    async def _pay_at(self, moment: datetime) -> None:
        cast, before = self._cast, self._cast.paid
        buyer, work = self._dice.choice(cast.buyers), self._dice.choice(cast.works)
        await cast.shop(buyer, work, PAYS_AT_ONCE, until=lambda: self._until(moment))
        self.paid += cast.paid > before

    async def _until(self, moment: datetime) -> None:
        clock = self._cast.stage.clock
        await clock.sleep(max(0.0, (moment - clock.now()).total_seconds()))


def _next_cut_off(now: datetime) -> datetime:
    """The next Monday, 09:00 UTC."""
    monday = (now - timedelta(days=now.weekday())).replace(hour=9, minute=0, second=0, microsecond=0)
    return monday if monday > now else monday + timedelta(days=7)
