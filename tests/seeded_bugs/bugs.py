"""Bugs on purpose, each as a mutation of the code under test: none of them is in the product.

A bug names what a tired developer might have written. `plant` puts it in for as long as the patch lasts; `faults` are
those under which it shows (none: it shows by itself).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
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
import domain.calendar
import domain.refunds
import domain.split
import gateways.circle_api
import indexer.tracker
import indexer.treasury
import payouts.batch
import payouts.plan
import payouts.rails.circle_transfer
import storage.batches
import storage.debts
import storage.distribution
import storage.funding
import storage.history
import storage.ledger
import storage.minting
import storage.movements
import storage.planning
import storage.purchases
import storage.returns
import storage.transfers
import storage.work
from domain.outcomes import Done
from simulator.scenario import FaultKind as F

Plant = Callable[[MonkeyPatch], None]


@dataclass(frozen=True)
class Bug:
    name: str
    plant: Plant
    faults: frozenset[F] = frozenset()
    purchases: int = 6


BUGS: list[Bug] = []


def bug(*faults: F, purchases: int = 6) -> Callable[[Plant], Plant]:
    def note(plant: Plant) -> Plant:
        BUGS.append(Bug(plant.__name__, plant, frozenset(faults), purchases))
        return plant

    return note


def without(module: Any, name: str, unwanted: Callable[..., bool], answer: Any = None) -> Plant:
    """A function that does nothing when its arguments are such."""

    def plant(patch: MonkeyPatch) -> None:
        real = getattr(module, name)
        patch.setattr(module, name, lambda *a, **k: answer if unwanted(*a, **k) else real(*a, **k))

    return plant


def of(module: Any, name: str) -> Any:
    """What a module uses under that name."""
    return getattr(module, name)


def nothing(*_: Any, **__: Any) -> None:
    """What is forgotten."""


def job(kind: str) -> Callable[..., bool]:
    return lambda conn, found, *more, **named: bool(found == kind)


# --- intake ---------------------------------------------------------------------------------------------------------


@bug()
def acknowledges_before_the_commit(patch: MonkeyPatch) -> None:
    patch.setattr(of(agent.web.intake, "inbox"), "add_stripe_events", lambda conn, events: len(events))


@bug(F.LOST_EVENTS)
def never_looks_for_missed_events(patch: MonkeyPatch) -> None:
    async def sweep(self: Any) -> int:
        return 0

    patch.setattr(agent.steps.events_sweep.EventsSweepStep, "sweep", sweep)


@bug()
def takes_a_failing_event_for_done(patch: MonkeyPatch) -> None:
    async def run(self: Any, claim: Any) -> Done:
        return Done()

    patch.setattr(agent.steps.stripe_event.StripeEventStep, "run", run)


# --- sales ----------------------------------------------------------------------------------------------------------


@bug()
def forgets_the_mint_job(patch: MonkeyPatch) -> None:
    without(storage.purchases, "enqueue", job("mint"))(patch)
    without(agent.steps.stripe_event, "enqueue", job("mint"))(patch)


@bug()
def forgets_the_fee_job(patch: MonkeyPatch) -> None:
    without(storage.purchases, "enqueue", job("fee"))(patch)
    without(agent.steps.stripe_event, "enqueue", job("fee"))(patch)


@bug(purchases=9)
def forgets_to_refund_the_loser_of_a_sold_out_race(patch: MonkeyPatch) -> None:
    without(storage.purchases, "enqueue", job("refund"))(patch)


@bug(purchases=9)
def sells_more_editions_than_there_are(patch: MonkeyPatch) -> None:
    def hold(conn: Any, purchase_id: int) -> bool:
        table = of(storage.purchases, "purchases")
        conn.execute(table.update().where(table.c.id == purchase_id).values(edition_held=True))
        return True

    patch.setattr(storage.purchases, "hold_edition", hold)


@bug()
def rounds_the_split_down(patch: MonkeyPatch) -> None:
    real = of(storage.purchases, "split_net")

    def split(net: int, rule: Any) -> Any:
        return real(net, replace(rule, rounding=domain.split.Rounding.DOWN))

    patch.setattr(storage.purchases, "split_net", split)


@bug(purchases=8)
def drops_the_remainder_of_a_split(patch: MonkeyPatch) -> None:
    patch.setattr(
        storage.purchases,
        "share_out",
        lambda amount, shares: {who: amount * bps // 10_000 for who, bps in shares.items()},
    )


@bug()
def books_the_gross_as_the_net(patch: MonkeyPatch) -> None:
    real = storage.purchases.record_fee

    def record(conn: Any, purchase_id: int, fee: Any, rule: Any, now: Any) -> None:
        real(conn, purchase_id, replace(fee, fee_cents=0, net_cents=fee.gross_cents), rule, now)

    patch.setattr(storage.purchases, "record_fee", record)


@bug(purchases=8)
def pays_only_the_author(patch: MonkeyPatch) -> None:
    real = storage.purchases.shares_of

    def shares(conn: Any, content_id: int) -> dict[int, int]:
        found = real(conn, content_id)
        return {min(found): 10_000}

    patch.setattr(storage.purchases, "share_out", lambda amount, shares: {min(shares): amount})
    patch.setattr(storage.purchases, "shares_of", shares)


# --- money that comes back ------------------------------------------------------------------------------------------


@bug(purchases=8)
def ignores_refunds(patch: MonkeyPatch) -> None:
    patch.setattr(storage.returns, "dues", lambda amount, gross, back, shares: domain.split.share_out(amount, shares))


@bug(purchases=8)
def refunds_twice_as_much(patch: MonkeyPatch) -> None:
    real = of(storage.returns, "dues")
    patch.setattr(
        storage.returns, "dues", lambda amount, gross, back, shares: real(amount, gross, min(gross, 2 * back), shares)
    )


@bug(purchases=8)
def forgets_a_refund_that_failed_later(patch: MonkeyPatch) -> None:
    real = of(agent.steps.stripe_event, "record_refund")

    def record(conn: Any, purchase_id: int, seen: Any, now: Any) -> None:
        if seen.state != "failed":
            real(conn, purchase_id, seen, now)

    patch.setattr(agent.steps.stripe_event, "record_refund", record)


@bug(purchases=8)
def does_not_book_a_smaller_due(patch: MonkeyPatch) -> None:
    patch.setattr(storage.returns, "post", nothing)


@bug(purchases=8)
def forgets_disputes(patch: MonkeyPatch) -> None:
    patch.setattr(agent.steps.stripe_event, "record_dispute", nothing)


@bug(purchases=8)
def nets_a_debt_without_booking_it(patch: MonkeyPatch) -> None:
    patch.setattr(storage.debts, "post", nothing)


# --- the books ------------------------------------------------------------------------------------------------------


@bug()
def books_one_side_only(patch: MonkeyPatch) -> None:
    real = storage.ledger.post

    def post(conn: Any, entry: Any, now: Any) -> bool:
        return real(conn, replace(entry, postings=entry.postings[:-1]), now)

    patch.setattr(storage.ledger, "balanced", lambda entry: entry)
    patch.setattr(storage.purchases, "post", post)


@bug()
def forgets_what_a_sale_owes(patch: MonkeyPatch) -> None:
    without(storage.purchases, "post", lambda conn, entry, now: entry.kind == "sale_due")(patch)


@bug()
def forgets_to_book_the_payout(patch: MonkeyPatch) -> None:
    patch.setattr(storage.distribution, "post", nothing)


@bug()
def forgets_the_history(patch: MonkeyPatch) -> None:
    patch.setattr(storage.history, "note", nothing)


@bug()
def does_not_see_deposits(patch: MonkeyPatch) -> None:
    real = of(indexer.treasury, "book_usdc")
    patch.setattr(
        indexer.treasury, "book_usdc", lambda conn, moved, now: None if moved.amount > 0 else real(conn, moved, now)
    )


@bug()
def counts_a_deposit_twice(patch: MonkeyPatch) -> None:
    real = of(storage.movements, "usdc_deposit")
    patch.setattr(storage.movements, "usdc_deposit", lambda signature, amount: real(signature, 2 * amount))


@bug()
def does_not_follow_the_lamports(patch: MonkeyPatch) -> None:
    patch.setattr(indexer.treasury, "book_lamports", lambda conn, moved, now: False)


# --- funding and plans ----------------------------------------------------------------------------------------------


@bug(purchases=9)
def promises_the_same_dollar_twice(patch: MonkeyPatch) -> None:
    patch.setattr(storage.funding, "promised", lambda conn: 0)


@bug(purchases=9)
def promises_what_is_not_there(patch: MonkeyPatch) -> None:
    patch.setattr(storage.funding, "free_balance", lambda balance, promised: 10**15)


@bug()
def never_promises(patch: MonkeyPatch) -> None:
    patch.setattr(storage.funding, "cover", lambda free, owed: [])


@bug()
def never_plans_a_monday(patch: MonkeyPatch) -> None:
    async def plan(self: Any, *_: Any) -> None:
        return None

    patch.setattr(payouts.plan.Planner, "plan_weekly", plan)
    patch.setattr(payouts.plan.Planner, "plan_off_cycle", plan)


@bug(purchases=9)
def takes_sales_after_the_cut_off(patch: MonkeyPatch) -> None:
    real = storage.planning.take

    def take(conn: Any, key: str, terms: Any, *more: Any) -> Any:
        return real(conn, key, replace(terms, cutoff=terms.cutoff - timedelta(days=3)), *more)

    def payable(terms: Any) -> Any:
        return original(replace(terms, cutoff=terms.now))

    original = storage.planning._payable
    patch.setattr(storage.planning, "_payable", payable)
    patch.setattr(payouts.plan, "take", take)


@bug()
def calls_a_batch_done_at_once(patch: MonkeyPatch) -> None:
    async def run(self: Any, claim: Any) -> Done:
        return Done()

    patch.setattr(payouts.batch.BatchStep, "run", run)


@bug()
def starts_no_transfer(patch: MonkeyPatch) -> None:
    patch.setattr(storage.batches, "start_transfers", nothing)


@bug()
def pays_one_unit_too_much(patch: MonkeyPatch) -> None:
    real = of(payouts.rails.circle_transfer, "format_usdc_exact")
    patch.setattr(payouts.rails.circle_transfer, "format_usdc_exact", lambda amount: real(amount + 1))


# --- calls ----------------------------------------------------------------------------------------------------------


@bug(F.LOST_ANSWERS, F.CUT_BODIES, F.HTML_BODIES)
def takes_a_fresh_key_for_each_try(patch: MonkeyPatch) -> None:
    real, numbers = gateways.circle_api.CircleGateway.submit_transfer, itertools.count(1)

    async def submit(self: Any, key: UUID, body: Any) -> Any:
        return await real(self, UUID(int=next(numbers), version=4), body)

    patch.setattr(gateways.circle_api.CircleGateway, "submit_transfer", submit)


@bug(F.LOST_ANSWERS, F.CUT_BODIES, F.HTML_BODIES)
def changes_the_body_between_tries(patch: MonkeyPatch) -> None:
    real, numbers = gateways.circle_api.CircleGateway.submit_transfer, itertools.count(1)

    async def submit(self: Any, key: UUID, body: Any) -> Any:
        return await real(self, key, {**body, "feeLevel": "HIGH" if next(numbers) % 2 else "LOW"})

    patch.setattr(gateways.circle_api.CircleGateway, "submit_transfer", submit)


@bug()
def calls_it_distributed_when_it_is_sent(patch: MonkeyPatch) -> None:
    async def evidence(self: Any, signature: str, intent: Any) -> Any:
        from domain.evidence import Evidence

        return Evidence(signature + "x", True, "", 1, None, 5_000)

    patch.setattr(payouts.rails.circle_transfer.CircleTransferStep, "_witness", None, raising=False)
    patch.setattr("indexer.readback.ReadBack.transfer_evidence", evidence)


@bug()
def calls_it_minted_without_looking(patch: MonkeyPatch) -> None:
    async def send(self: Any, wire: bytes, *, skip_preflight: bool) -> None:
        return None

    async def evidence(self: Any, signature: str, plan: Any) -> Any:
        from domain.evidence import Evidence

        return Evidence(signature, True, "", 1, None, 5_000)

    async def follow(self: Any, case: Any, plan: Any, claim: Any) -> Any:
        return self._settle(case, await evidence(self, case.attempt.signature, plan))

    patch.setattr("indexer.sender.Sender.send", send)
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


@bug(F.SERVER_ERRORS, F.LOST_REQUESTS)
def drops_work_that_should_run_again(patch: MonkeyPatch) -> None:
    patch.setattr(storage.work, "again", lambda conn, claim, *_, **__: storage.work.finish(conn, claim, _[1]))


@bug()
def never_wakes_up(patch: MonkeyPatch) -> None:
    patch.setattr(storage.work, "next_due", lambda *_, **__: None)


@bug(F.DEATH)
def leaves_leases_behind(patch: MonkeyPatch) -> None:
    real = storage.work._claimable

    def claimable(table: Any, kinds: Any, dialect: str) -> Any:
        return real(table, kinds, dialect).where(table.c.lease_until.is_(None))

    patch.setattr(storage.work, "_claimable", claimable)
    patch.setattr("agent.startup.release_all", nothing)


@bug(F.OLD_BACKUP)
def opens_the_gate_at_once(patch: MonkeyPatch) -> None:
    async def check(self: Any) -> None:
        return None

    patch.setattr(agent.start_gate.StartGate, "_check", check)


@bug(F.DEATH)
def commits_the_intent_after_the_call(patch: MonkeyPatch) -> None:
    """The key is random and only kept once Circle has answered."""
    real, numbers = payouts.rails.circle_transfer.CircleTransferStep._fetch_or_submit, itertools.count(1)

    async def submit(self: Any, case: Any, claim: Any) -> Any:
        if case.attempt.circle_transaction_id is None:
            import json

            return await self._circle.submit_transfer(
                UUID(int=next(numbers) << 32, version=4), json.loads(case.attempt.body)
            )
        return await real(self, case, claim)

    patch.setattr(payouts.rails.circle_transfer.CircleTransferStep, "_fetch_or_submit", submit)
