"""Closing a row of work: what it means is told before and after, in words, and what it leaves out of the books the
reconciliation names."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from storage import tables
from storage.queues import Queue
from storage.reconciliation import mirrors, strays
from storage.reconciliation.mirrors import StripeRow
from storage.work import claim, park
from tests.storage.test_settled_by_hand import underpaid
from tests.web.shop import Shop, event
from tests.web.visitor import Visitor, signed_in, visiting

DAY = timedelta(days=1)
CLOSE = "console/do/work/stripe_events/1/close"


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[Visitor]:
    async with visiting(shop.admin.port) as visitor:
        yield visitor


async def ask(shop: Shop, method: str, path: str, body: Any = None) -> Any:
    return await shop.send(method, f"/admin/api/work/{path}", body, "admin-operator", admin=True)


async def event_for_a_person(shop: Shop, kind: str = "refund.created", source: str = "re_1") -> None:
    """One that no sale of ours explains."""
    assert (await shop.deliver(event(type=kind, data={"object": {"id": source}}))).status == 200
    now = shop.clock.now()

    def spoil(conn: Connection) -> None:
        (claimed,) = claim(conn, Queue(tables.stripe_events), 1, "w", now, timedelta(minutes=1))
        park(conn, claimed, "unknown_sale", "no sale of ours is of this payment")

    await shop.store.write(spoil)


@pytest.mark.parametrize(
    ("kind", "moved", "source", "cents"),
    [
        ("payment_intent.succeeded", "charge", "ch_1", 300),
        ("refund.created", "refund", "re_1", -300),
        ("charge.dispute.funds_withdrawn", "adjustment", "du_1", -300),
    ],
)
async def test_closing_an_event_says_that_nothing_is_booked_and_the_reconciliation_names_the_money(
    shop: Shop, kind: str, moved: str, source: str, cents: int
) -> None:
    await event_for_a_person(shop, kind, source)
    before = (await ask(shop, "GET", "stripe_events/1")).body
    assert before["closing"].startswith("Closing books nothing") and before["asked"] is None
    entries = await shop.rows(tables.ledger_entries)
    closed = (await ask(shop, "POST", "stripe_events/1/close", {"reason": "settled at Stripe"})).body
    assert (closed["state"], closed["not_booked"]) == ("done", before["closing"])
    assert await shop.rows(tables.ledger_entries) == entries
    assert (await ask(shop, "GET", "stripe_events/1")).body["closing"] is None
    (told,) = [row for row in await shop.all(tables.state_history) if row["machine"] == "stripe_event"]
    assert (told["subject"], told["before"], told["after"]) == ("1", "parked", "done")
    assert told["reason"] == "settled at Stripe"
    now = shop.clock.now()
    row = StripeRow("txn_1", moved, source, cents, 0, "usd", now - DAY)
    await shop.store.write(lambda conn: mirrors.copy_stripe(conn, [row], now))
    (found,) = (await shop.store.read(lambda conn: strays.of_stripe(conn, 0, now))).strays
    assert (found.subject, found.is_new) == ("txn_1", False)
    assert f"{cents} cents" in found.why and source in found.why


async def test_the_console_says_it_before_and_after(shop: Shop, visitor: Visitor) -> None:
    await event_for_a_person(shop)
    await signed_in(visitor, "operator")
    page = "/console/work/stripe_events/1"
    assert "stays out of the books" in (await visitor.get(page)).words
    done = await visitor.send(page, f"/{CLOSE}", reason="settled at Stripe")
    assert "Closed; nothing of it is booked." in (await visitor.follow(done)).words
    assert not (await visitor.get(page)).has_form(f"/{CLOSE}")


async def test_a_notification_of_circles_is_a_hint(shop: Shop) -> None:
    raw = b'{"notificationId": "00000000-0000-4000-8000-000000000001", "notificationType": "transactions.outbound"}'
    given = await shop.send("POST", "/api/circle/webhook/", raw=raw, headers=shop.circle.signed(raw))
    assert given.status == 200
    await shop.store.write(lambda conn: conn.execute(update(tables.circle_notifications).values(state="parked")))
    path = "circle_notifications/1"
    means = (await ask(shop, "GET", path)).body["closing"]
    assert "asked of Circle anyway" in means
    assert (await ask(shop, "POST", f"{path}/close", {"reason": "old"})).body["not_booked"] == means


async def test_what_was_closed_before_closing_booked_anything_can_be_booked_from_its_page(
    shop: Shop, visitor: Visitor
) -> None:
    await shop.store.write(underpaid)
    (row,) = [one for one in await shop.all(tables.jobs) if one["kind"] == "underpaid"]
    path = f"jobs/{row['id']}"
    assert "all that is asked for now" in (await ask(shop, "GET", path)).body["closing"]
    await shop.store.write(
        lambda conn: conn.execute(update(tables.jobs).where(tables.jobs.c.id == row["id"]).values(state="done"))
    )
    seen = (await ask(shop, "GET", path)).body
    assert (seen["state"], seen["asked"]) == ("done", "0.783333")
    assert "nothing is to be paid again" in seen["closing"]
    await signed_in(visitor, "operator")
    page, target = f"/console/work/{path}", f"/console/do/work/{path}/close"
    done = await visitor.send(page, target, amount="0.783333", reason="he was paid in May")
    assert "Closed." in (await visitor.follow(done)).words
    assert not (await visitor.get(page)).has_form(target)
    assert (await ask(shop, "GET", path)).body["asked"] is None


async def test_what_a_step_does_can_not_be_closed(shop: Shop) -> None:
    await shop.store.write(underpaid)
    (row,) = [one for one in await shop.all(tables.jobs) if one["kind"] == "fund"]
    assert (await ask(shop, "GET", f"jobs/{row['id']}")).body["closing"] is None
