"""Bugs on the way in: intake, sales, money that comes back, the books."""

from dataclasses import replace
from typing import Any

from pytest import MonkeyPatch

import agent.start_gate
import agent.steps.circle_notification
import agent.steps.events_sweep
import agent.steps.fee
import agent.steps.mint
import agent.steps.refund
import agent.steps.refunds_sync
import agent.steps.stripe_event
import agent.steps.wallet
import agent.web.checkout
import agent.web.intake
import domain.calendar
import domain.refunds
import domain.split
import indexer.tracker
import indexer.treasury.bookings
import storage.books.ledger
import storage.history
import storage.mints.minting
import storage.payouts.batches
import storage.payouts.debts
import storage.payouts.distribution
import storage.payouts.planning
import storage.payouts.transfers
import storage.sales.purchases
import storage.sales.returns
import storage.treasury.funding
import storage.treasury.movements
import storage.work
from domain.outcomes import Done
from simulator.scenario import FaultKind as F
from tests.seeded_bugs.planting import bug, job, nothing, of, without

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
    without(storage.sales.purchases, "enqueue", job("mint"))(patch)
    without(agent.steps.stripe_event, "enqueue", job("mint"))(patch)


@bug()
def forgets_the_fee_job(patch: MonkeyPatch) -> None:
    without(storage.sales.purchases, "enqueue", job("fee"))(patch)
    without(agent.steps.stripe_event, "enqueue", job("fee"))(patch)


@bug(purchases=9)
def forgets_to_refund_the_loser_of_a_sold_out_race(patch: MonkeyPatch) -> None:
    without(storage.sales.purchases, "enqueue", job("refund"))(patch)


@bug(purchases=9)
def sells_more_editions_than_there_are(patch: MonkeyPatch) -> None:
    def hold(conn: Any, purchase_id: int, _: Any) -> bool:
        table = of(storage.sales.purchases, "purchases")
        conn.execute(table.update().where(table.c.id == purchase_id).values(edition_held=True))
        return True

    patch.setattr(storage.sales.purchases, "hold_edition", hold)


@bug()
def rounds_the_split_down(patch: MonkeyPatch) -> None:
    real = of(storage.sales.purchases, "split_net")

    def split(net: int, rule: Any) -> Any:
        return real(net, replace(rule, rounding=domain.split.Rounding.DOWN))

    patch.setattr(storage.sales.purchases, "split_net", split)


@bug(purchases=9, rounding_step="1")
def drops_the_remainder_of_a_split(patch: MonkeyPatch) -> None:
    patch.setattr(
        storage.sales.purchases,
        "share_out",
        lambda amount, shares: {who: amount * bps // 10_000 for who, bps in shares.items()},
    )


@bug()
def books_the_gross_as_the_net(patch: MonkeyPatch) -> None:
    real = storage.sales.purchases.record_fee

    def record(conn: Any, purchase_id: int, fee: Any, rule: Any, now: Any) -> None:
        real(conn, purchase_id, replace(fee, fee_cents=0, net_cents=fee.gross_cents), rule, now)

    patch.setattr(storage.sales.purchases, "record_fee", record)


@bug(purchases=8)
def pays_only_the_author(patch: MonkeyPatch) -> None:
    real = storage.sales.purchases.shares_of

    def shares(conn: Any, content_id: int) -> dict[int, int]:
        found = real(conn, content_id)
        return {min(found): 10_000}

    patch.setattr(storage.sales.purchases, "share_out", lambda amount, shares: {min(shares): amount})
    patch.setattr(storage.sales.purchases, "shares_of", shares)


# --- money that comes back ------------------------------------------------------------------------------------------


@bug(purchases=8)
def ignores_refunds(patch: MonkeyPatch) -> None:
    patch.setattr(
        storage.sales.returns, "dues", lambda amount, gross, back, shares: domain.split.share_out(amount, shares)
    )


@bug(purchases=8)
def refunds_twice_as_much(patch: MonkeyPatch) -> None:
    real = of(storage.sales.returns, "dues")
    patch.setattr(
        storage.sales.returns,
        "dues",
        lambda amount, gross, back, shares: real(amount, gross, min(gross, 2 * back), shares),
    )


@bug(purchases=8)
def forgets_a_refund_that_failed_later(patch: MonkeyPatch) -> None:
    real = of(storage.sales.returns, "record_refund")

    def record(conn: Any, purchase_id: int, seen: Any, now: Any) -> None:
        if seen.state != "failed":
            real(conn, purchase_id, seen, now)

    for step in (agent.steps.stripe_event, agent.steps.refunds_sync):
        patch.setattr(step, "record_refund", record)


@bug(purchases=8)
def does_not_book_a_smaller_due(patch: MonkeyPatch) -> None:
    patch.setattr(storage.sales.returns, "post", nothing)


@bug(purchases=8)
def forgets_disputes(patch: MonkeyPatch) -> None:
    patch.setattr(agent.steps.stripe_event, "record_dispute", nothing)


@bug(F.PREVENTED_DISPUTES)
def takes_a_prevented_dispute_for_won(patch: MonkeyPatch) -> None:
    """Also where the buyer was given his money back."""
    patch.setattr(storage.sales.returns, "counted_as", lambda status, withdrawn: status)


@bug(purchases=9, payout_mode="realtime", atomic_settlement="false")
def nets_a_debt_without_booking_it(patch: MonkeyPatch) -> None:
    patch.setattr(storage.payouts.debts, "post", nothing)


# --- the books ------------------------------------------------------------------------------------------------------


@bug()
def books_one_side_only(patch: MonkeyPatch) -> None:
    real = storage.books.ledger.post

    def post(conn: Any, entry: Any, now: Any) -> bool:
        return real(conn, replace(entry, postings=entry.postings[:-1]), now)

    patch.setattr(storage.books.ledger, "balanced", lambda entry: entry)
    patch.setattr(storage.sales.purchases, "post", post)


@bug(purchases=9)
def books_no_refund_in_dollars(patch: MonkeyPatch) -> None:
    """What creators are due is right; what the ledger says is at Stripe is not."""
    without(storage.sales.returns, "post", lambda conn, entry, now: entry.kind == "refund_succeeded")(patch)


@bug(purchases=9)
def books_no_dispute_in_dollars(patch: MonkeyPatch) -> None:
    without(storage.sales.returns, "post", lambda conn, entry, now: entry.kind == "dispute_money")(patch)


@bug()
def forgets_what_a_sale_owes(patch: MonkeyPatch) -> None:
    without(storage.sales.purchases, "post", lambda conn, entry, now: entry.kind == "sale_due")(patch)


@bug()
def forgets_to_book_the_payout(patch: MonkeyPatch) -> None:
    patch.setattr(storage.payouts.distribution, "post", nothing)


@bug()
def forgets_the_history(patch: MonkeyPatch) -> None:
    patch.setattr(storage.history, "note", nothing)


@bug()
def does_not_see_deposits(patch: MonkeyPatch) -> None:
    real = of(indexer.treasury.bookings, "book_usdc")
    patch.setattr(
        indexer.treasury.bookings,
        "book_usdc",
        lambda conn, moved, now: None if moved.amount > 0 else real(conn, moved, now),
    )


@bug()
def counts_a_deposit_twice(patch: MonkeyPatch) -> None:
    real = of(storage.treasury.movements, "usdc_deposit")
    patch.setattr(storage.treasury.movements, "usdc_deposit", lambda signature, amount: real(signature, 2 * amount))


@bug()
def does_not_follow_the_lamports(patch: MonkeyPatch) -> None:
    patch.setattr(indexer.treasury.bookings, "book_lamports", lambda conn, moved, now: False)
