"""What runs side by side: nobody who hangs outside holds up what needs nobody outside."""

import asyncio
import random

from sqlalchemy import Connection

from agent.lanes import CHORE_WIDTH, lanes_of
from agent.worker import Worker
from domain.flow import STEPS, Party
from domain.outcomes import Commit, Done, Outcome, nothing
from ports.virtual import SeededIds
from storage import work
from storage.store import Store
from storage.work import Claim
from tests.agent.test_leases import MONDAY, Ends, HandClock, running

NEEDED = ("fund", "plan", "batch", "alert")
"""What covers and starts payouts, and what tells a person."""


class Looked:
    has_looked = True


class HangsStep:
    """A call that is never answered."""

    async def run(self, claim: Claim) -> Outcome:
        await asyncio.Event().wait()
        return Done()

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


class DoneStep(HangsStep):
    async def run(self, claim: Claim) -> Outcome:
        return Done()


async def test_payouts_and_alerts_go_on_while_nobody_outside_answers(store: Store) -> None:
    hanging = [step.kind for step in STEPS if step.kind not in NEEDED and set(step.asks) - {Party.CHAT}]
    assert {"fee", "reconcile", "mint_listing"} <= set(hanging)

    def wait(conn: Connection) -> None:
        for kind in hanging:
            for number in range(CHORE_WIDTH):
                work.enqueue(conn, kind, number, MONDAY)
        for kind in NEEDED:
            work.enqueue(conn, kind, "this", MONDAY)

    await store.write(wait)
    ends, hangs, done = Ends(), HangsStep(), DoneStep()
    steps = {step.kind: done if step.kind in NEEDED else hangs for step in STEPS}
    lanes = lanes_of(lambda: True, lambda: True, Looked())
    async with running(Worker(store, HandClock(), SeededIds(random.Random(1)), steps, lanes, ends, retries_max=3)):
        await ends.until(*["done"] * len(NEEDED))
