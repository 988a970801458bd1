"""Events that overtake one another, or contradict each other: each counts, or a person is asked."""

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from agent.steps.stripe_event import StripeEventStep, payment_succeeded
from agent.worker import Lane, Worker
from domain.outcomes import Commit, Outcome
from ports.virtual import SeededIds
from storage.inbox import StripeEvent, add_stripe_events
from storage.queues import Queue
from storage.sales import checkouts
from storage.sales.checkouts import Wanted
from storage.store import Store
from storage.tables import contents, jobs, purchases, stripe_events
from storage.work import Claim
from tests.agent.test_leases import MONDAY, Ends, HandClock, running
from tests.sales import Sales

BACKOFF = timedelta(seconds=1)
PAYMENT = "pi_3QxAbCdEfGhIjKlM0aBcDeFg"


class RefundSettlesLast:
    """The events' own step; a refund is looked at before any other event, and committed after its end."""

    def __init__(self, store: Store, ends: Ends) -> None:
        self._step, self._ends, self._looked = StripeEventStep(store, HandClock()), ends, asyncio.Event()

    async def run(self, claim: Claim) -> Outcome:
        if claim.type != "refund.created":
            await self._looked.wait()
            return await self._step.run(claim)
        outcome = await self._step.run(claim)
        if not self._looked.is_set():
            self._looked.set()
            await self._ends.until("done")
        return outcome

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return self._step.parked(claim, code, why)


def event(name: str, kind: str, subject: dict[str, Any]) -> StripeEvent:
    body = {"id": name, "type": kind, "created": int(MONDAY.timestamp()), "data": {"object": subject}}
    return StripeEvent(name, kind, MONDAY, json.dumps(body).encode(), MONDAY)


def both_events(conn: Connection) -> None:
    shop = Sales("platform-usdc")
    content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
    checkout = str(shop.uuid())
    checkouts.begin(conn, Wanted(checkout, str(shop.uuid()), content, buyer, MONDAY), 300, {}, MONDAY)
    paid = {"id": PAYMENT, "amount_received": 300, "currency": "usd", "metadata": {"checkout": checkout}}
    refund = {"id": "re_1", "amount": 300, "status": "succeeded", "payment_intent": PAYMENT}
    add_stripe_events(
        conn, [event("evt_1", "refund.created", refund), event("evt_2", "payment_intent.succeeded", paid)]
    )


async def test_a_refund_that_is_looked_at_before_its_sale_and_filed_after_it_is_not_forgotten(store: Store) -> None:
    await store.write(both_events)
    ends = Ends()
    lane = Lane("events", Queue(stripe_events), 2)
    step, ids, clock = RefundSettlesLast(store, ends), SeededIds(random.Random(1)), HandClock()
    worker = Worker(store, clock, ids, {"stripe_event": step}, [lane], ends, retries_max=3)
    async with running(worker):
        await ends.until("done", "refused")
        clock.time += BACKOFF
        worker.wake()
        await ends.until("done", "refused", "done")
    shown = select(purchases.c.status, purchases.c.refunded_amount)
    assert (await store.read(lambda conn: conn.execute(shown).all())) == [("refunded", 300)]


async def test_a_payment_that_succeeds_after_it_had_failed_waits_for_a_person(store: Store) -> None:
    def both(conn: Connection) -> None:
        shop = Sales("platform-usdc")
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        checkout = str(shop.uuid())
        checkouts.begin(conn, Wanted(checkout, str(shop.uuid()), content, buyer, MONDAY), 300, {}, MONDAY)
        marked = {"currency": "usd", "metadata": {"checkout": checkout}}
        failed = {"id": "cs_1", "payment_intent": PAYMENT, "payment_status": "unpaid", **marked}
        paid = {"id": PAYMENT, "amount_received": 300, **marked}
        failure = event("evt_1", "checkout.session.async_payment_failed", failed)
        add_stripe_events(conn, [failure, event("evt_2", "payment_intent.succeeded", paid)])

    await store.write(both)
    ends, lane = Ends(), Lane("events", Queue(stripe_events), 1)
    steps = {"stripe_event": StripeEventStep(store, HandClock())}
    async with running(Worker(store, HandClock(), SeededIds(random.Random(1)), steps, [lane], ends, retries_max=3)):
        await ends.until("done", "done")
    shown = select(stripe_events.c.state, stripe_events.c.error_code).order_by(stripe_events.c.id)
    assert (await store.read(lambda conn: conn.execute(shown).all()))[1] == ("parked", "paid_after_all")


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_refund_that_comes_before_the_payment_is_told_is_booked_before_anything_is_minted(
    place: int, store: Store
) -> None:
    """Whether the Session was told before or after it."""

    def story(conn: Connection) -> None:
        shop = Sales("platform-usdc")
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        checkout = str(shop.uuid())
        checkouts.begin(conn, Wanted(checkout, str(shop.uuid()), content, buyer, MONDAY), 300, {}, MONDAY)
        marked = {"currency": "usd", "metadata": {"checkout": checkout}}
        closed = {"id": "cs_1", "payment_intent": PAYMENT, "payment_status": "paid", "amount_total": 300, **marked}
        paid = {"id": PAYMENT, "amount_received": 300, **marked}
        refund = {"id": "re_1", "amount": 300, "status": "succeeded", "payment_intent": PAYMENT}
        order = [("checkout.session.completed", closed), ("payment_intent.succeeded", paid)]
        order.insert(place, ("refund.created", refund))
        add_stripe_events(conn, [event(f"evt_{n}", kind, subject) for n, (kind, subject) in enumerate(order)])

    await store.write(story)
    ends, lane = Ends(), Lane("events", Queue(stripe_events), 1)
    steps = {"stripe_event": StripeEventStep(store, HandClock())}
    async with running(Worker(store, HandClock(), SeededIds(random.Random(1)), steps, [lane], ends, retries_max=3)):
        await ends.until("done", "done", "done", *["refused"] * (place < 2))
    shown = select(purchases.c.status, purchases.c.refunded_amount, contents.c.editions_taken).join(contents)
    assert (await store.read(lambda conn: conn.execute(shown).all())) == [("refunded", 300, 0)]
    mint = select(jobs.c.due_at).where(jobs.c.kind == "mint")
    due_at = await store.read(lambda conn: conn.execute(mint).scalar_one())
    assert (due_at > MONDAY) == (place < 2)


async def test_who_has_paid_gets_another_session_though_the_end_of_his_first_one_was_not_told(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Sales("platform-usdc")
        buyer, content = shop.user(conn, "buyer"), shop.content(conn, shop.user(conn, "ada"))
        first = shop.opened(conn, content, buyer, MONDAY)
        assert shop.opened(conn, content, buyer, MONDAY).id == first.id
        paid = {"id": PAYMENT, "amount_received": 300, "currency": "usd", "metadata": {"checkout": first.uuid}}
        payment_succeeded(conn, paid, MONDAY, MONDAY)
        assert shop.opened(conn, content, buyer, MONDAY).id != first.id

    await store.write(story)


async def test_a_dispute_in_a_state_with_a_name_longer_than_any_of_today_holds_its_sale(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Sales("platform-usdc")
        buyer, content = shop.user(conn, "buyer"), shop.content(conn, shop.user(conn, "ada"))
        payment = purchases.c.stripe_payment_intent_id
        told = conn.scalar(select(payment).where(purchases.c.id == shop.sold(conn, content, buyer)))
        status = "awaiting_the_decision_of_the_card_network"
        disputed: dict[str, Any] = {
            "id": "dp_1",
            "amount": 300,
            "status": status,
            "payment_intent": told,
            "balance_transactions": [],
        }
        add_stripe_events(conn, [event("evt_1", "charge.dispute.updated", disputed)])

    await store.write(story)
    ends, lane = Ends(), Lane("events", Queue(stripe_events), 1)
    steps = {"stripe_event": StripeEventStep(store, HandClock())}
    async with running(Worker(store, HandClock(), SeededIds(random.Random(1)), steps, [lane], ends, retries_max=3)):
        await ends.until("done")
    assert (await store.read(lambda conn: conn.scalar(select(purchases.c.hold_reason)))) == "dispute dp_1"


async def test_a_session_of_something_else_that_runs_out_is_no_work_for_a_person(store: Store) -> None:
    """Nothing was paid for it, whoever made it."""
    foreign: dict[str, Any] = {"id": "cs_1", "payment_intent": None, "payment_status": "unpaid", "metadata": {}}
    expired = event("evt_1", "checkout.session.expired", foreign)
    await store.write(lambda conn: add_stripe_events(conn, [expired]))
    ends, lane = Ends(), Lane("events", Queue(stripe_events), 1)
    steps = {"stripe_event": StripeEventStep(store, HandClock())}
    async with running(Worker(store, HandClock(), SeededIds(random.Random(1)), steps, [lane], ends, retries_max=3)):
        await ends.until("done")
    assert (await store.read(lambda conn: conn.scalar(select(stripe_events.c.state)))) == "done"


async def test_a_thin_event_of_a_type_that_changes_nothing_is_no_work_for_a_person(store: Store) -> None:
    """It has no object, and its time is text; what is booked needs both."""
    thin = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "v1.billing.meter.no_meter_found",
        "created": "2026-11-23",
    }
    shapeless = {"id": "evt_2", "type": "payment_intent.succeeded", "created": 1, "data": None}
    endless = {"id": "evt_3", "type": "charge.updated", "created": 10**30, "data": {"object": {"id": "ch_1"}}}
    bodies = (thin, shapeless, endless)
    told = [StripeEvent(str(one["id"]), str(one["type"]), MONDAY, json.dumps(one).encode(), MONDAY) for one in bodies]
    await store.write(lambda conn: add_stripe_events(conn, told))
    ends, lane = Ends(), Lane("events", Queue(stripe_events), 1)
    steps = {"stripe_event": StripeEventStep(store, HandClock())}
    async with running(Worker(store, HandClock(), SeededIds(random.Random(1)), steps, [lane], ends, retries_max=3)):
        await ends.until("done", "refused", "refused")
    found = await store.read(lambda conn: conn.execute(select(stripe_events.c.event_id, stripe_events.c.state)).all())
    assert sorted(tuple(row) for row in found) == [("evt_1", "done"), ("evt_2", "parked"), ("evt_3", "parked")]
