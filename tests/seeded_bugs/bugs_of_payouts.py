"""Bugs on the way out: funding, plans, calls, work."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pytest import MonkeyPatch

import agent.start_gate
import agent.steps.circle_notification
import agent.steps.events_sweep
import agent.steps.fee
import agent.steps.mint
import agent.steps.refund
import agent.steps.stripe_event
import agent.steps.wallet
import agent.web.checkout
import agent.web.intake
import agent.worker
import gateways.circle_api
import indexer.tracker
import payouts.batch
import payouts.plan
import payouts.rails.circle_orders
import payouts.rails.circle_transfer
import storage.books.ledger
import storage.history
import storage.mints.minting
import storage.payouts.batches
import storage.payouts.debts
import storage.payouts.distribution
import storage.payouts.planning
import storage.payouts.taking
import storage.payouts.transfers
import storage.queues
import storage.sales.purchases
import storage.sales.returns
import storage.treasury.funding
import storage.treasury.movements
import storage.work
from domain.evidence import Evidence
from domain.outcomes import Done
from simulator.scenario import FaultKind as F
from tests.seeded_bugs.planting import bug, nothing, of

# --- funding and plans ----------------------------------------------------------------------------------------------


@bug(purchases=9)
def promises_the_same_dollar_twice(patch: MonkeyPatch) -> None:
    standing = of(storage.treasury.funding, "_standing")
    patch.setattr(storage.treasury.funding, "_standing", lambda conn, account: (standing(conn, account)[0], 0))


@bug(purchases=9)
def promises_what_is_not_there(patch: MonkeyPatch) -> None:
    patch.setattr(storage.treasury.funding, "free_balance", lambda balance, promised: 10**15)


@bug()
def never_promises(patch: MonkeyPatch) -> None:
    patch.setattr(storage.treasury.funding, "cover", lambda free, owed: [])


@bug()
def never_plans_a_monday(patch: MonkeyPatch) -> None:
    async def plan(self: Any, *_: Any) -> None:
        return None

    patch.setattr(payouts.plan.Planner, "plan_weekly", plan)
    patch.setattr(payouts.plan.Planner, "plan_off_cycle", plan)


@bug(purchases=9)
def takes_sales_after_the_cut_off(patch: MonkeyPatch) -> None:
    real = storage.payouts.taking.take

    def take(conn: Any, key: str, terms: Any, *more: Any) -> Any:
        return real(conn, key, replace(terms, cutoff=terms.cutoff - timedelta(days=3)), *more)

    def payable(terms: Any) -> Any:
        return original(replace(terms, cutoff=terms.now))

    original = storage.payouts.planning.payable
    patch.setattr(storage.payouts.planning, "payable", payable)
    patch.setattr(storage.payouts.taking, "payable", payable)
    patch.setattr(payouts.plan, "take", take)


@bug()
def calls_a_batch_done_at_once(patch: MonkeyPatch) -> None:
    async def run(self: Any, claim: Any) -> Done:
        return Done()

    patch.setattr(payouts.batch.BatchStep, "run", run)


@bug()
def starts_no_transfer(patch: MonkeyPatch) -> None:
    patch.setattr(storage.payouts.batches, "start_transfers", nothing)


@bug(rail="circle")
def pays_one_unit_too_much(patch: MonkeyPatch) -> None:
    real = of(payouts.rails.circle_transfer, "format_usdc_exact")
    patch.setattr(payouts.rails.circle_transfer, "format_usdc_exact", lambda amount: real(amount + 1))


# --- calls ----------------------------------------------------------------------------------------------------------


@bug(F.DEATH, F.LOST_ANSWERS, F.LATE_ANSWERS, purchases=9, rail="circle", grouping="purchase")
def takes_a_fresh_key_for_each_try(patch: MonkeyPatch) -> None:
    real, numbers = gateways.circle_api.CircleGateway.submit_transfer, itertools.count(1)

    async def submit(self: Any, key: UUID, body: Any, window: Any) -> Any:
        return await real(self, UUID(int=next(numbers), version=4), body, window)

    patch.setattr(gateways.circle_api.CircleGateway, "submit_transfer", submit)


@bug(F.DEATH, F.LOST_ANSWERS, F.LATE_ANSWERS, purchases=9, rail="circle", grouping="purchase")
def changes_the_body_between_tries(patch: MonkeyPatch) -> None:
    real, numbers = gateways.circle_api.CircleGateway.submit_transfer, itertools.count(1)

    async def submit(self: Any, key: UUID, body: Any, window: Any) -> Any:
        return await real(self, key, {**body, "feeLevel": "HIGH" if next(numbers) % 2 else "LOW"}, window)

    patch.setattr(gateways.circle_api.CircleGateway, "submit_transfer", submit)


@bug(F.LATE_LANDING, rail="circle")
def calls_it_distributed_when_it_is_sent(patch: MonkeyPatch) -> None:
    """Circle names a signature, and nobody waits for the chain."""
    real = of(payouts.rails.circle_transfer.CircleTransferStep, "_judge")

    async def judge(self: Any, case: Any, seen: Any, claim: Any) -> Any:
        if seen.tx_hash is None or seen.state == "FAILED":
            return await real(self, case, seen, claim)
        attempt, transfer, now, account = case.attempt, case.transfer, self._clock.now(), self._terms.usdc_account

        def settle(conn: Any) -> None:
            rows = of(payouts.rails.circle_transfer, "rows")
            rows.watch_signature(conn, attempt.id, transfer.id, seen.tx_hash, now)
            rows.distributed(conn, transfer.id, Evidence(seen.tx_hash, True, "", 1, None, 5_000), account, now)

        return Done(settle)

    patch.setattr(payouts.rails.circle_transfer.CircleTransferStep, "_judge", judge)


@bug(F.LATE_LANDING)
def calls_it_minted_without_looking(patch: MonkeyPatch) -> None:
    """What was sent is taken for done."""

    async def follow(self: Any, case: Any, plan: Any, claim: Any) -> Any:
        await self._send(case)
        return await self._settle(case, Evidence(case.attempt.signature, True, "", 1, None, 5_000))

    patch.setattr(agent.steps.mint.MintStep, "_follow", follow)


@bug()
def never_sends_the_signed_mint(patch: MonkeyPatch) -> None:
    async def send(self: Any, wire: bytes, *, skip_preflight: bool) -> None:
        return None

    patch.setattr("indexer.sender.Sender.send", send)


@bug()
def never_asks_about_a_signature(patch: MonkeyPatch) -> None:
    async def poll(self: Any) -> int:
        return 0

    patch.setattr(indexer.tracker.SignatureTracker, "poll", poll)


@bug()
def gives_the_nft_to_the_platform(patch: MonkeyPatch) -> None:
    real = agent.steps.mint.plan_of

    def plan(attempt: Any) -> Any:
        made = real(attempt)
        return replace(made, buyer=made.platform_wallet)

    patch.setattr(agent.steps.mint, "plan_of", plan)


# --- work -----------------------------------------------------------------------------------------------------------


@bug(F.SERVER_ERRORS, F.LOST_REQUESTS, F.RATE_LIMITS)
def drops_work_that_should_run_again(patch: MonkeyPatch) -> None:
    patch.setattr(storage.work, "again", lambda conn, claim, *_, **__: storage.work.finish(conn, claim, _[1]))


@bug()
def never_wakes_up(patch: MonkeyPatch) -> None:
    """Work that is due later is forgotten until something else turns up."""
    real = of(storage.queues, "next_due")

    def next_due(conn: Any, queues: Any, now: Any) -> Any:
        return [due._replace(later=None) for due in real(conn, queues, now)]

    patch.setattr(storage.queues, "next_due", next_due)


@bug(F.DEATH, purchases=9)
def leaves_leases_behind(patch: MonkeyPatch) -> None:
    """Whoever died holds his rows for ever, and no start looks for leases that are too long to be meant."""
    patch.setattr(agent.worker, "LEASE", timedelta(days=3_650))
    patch.setattr("agent.startup.release_all", nothing)
    patch.setattr("agent.startup.bring_back", nothing)


@bug(F.OLD_BACKUP, purchases=9, rail="circle", grouping="creator")
def opens_the_gate_at_once(patch: MonkeyPatch) -> None:
    async def check(self: Any) -> None:
        return None

    patch.setattr(agent.start_gate.StartGate, "_check", check)


@bug(F.DEATH, F.LOST_ANSWERS, F.LATE_ANSWERS, purchases=9, rail="circle", grouping="purchase")
def commits_the_intent_after_the_call(patch: MonkeyPatch) -> None:
    """The key is random and only kept once Circle has answered."""
    real, numbers = payouts.rails.circle_orders.CircleOrders.fetch_or_submit, itertools.count(1)

    async def submit(self: Any, case: Any, claim: Any, window: Any) -> Any:
        if case.attempt.circle_transaction_id is None:
            import json

            return await self._circle.submit_transfer(
                UUID(int=next(numbers) << 32, version=4), json.loads(case.attempt.body), window
            )
        return await real(self, case, claim, window)

    patch.setattr(payouts.rails.circle_orders.CircleOrders, "fetch_or_submit", submit)
