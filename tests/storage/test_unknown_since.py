"""Since when an outcome is unknown: not since its row became work, which may be long before."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from storage import inbox, work
from storage.inbox import StripeEvent
from storage.queues import Queue
from storage.reading import vitals
from storage.store import Store
from storage.tables import jobs, stripe_events
from storage.work import UNKNOWN_OUTCOME, Claim

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAY = Queue(jobs, frozenset({"pay"}))
LOST = f"{UNKNOWN_OUTCOME}no answer"


async def taken(store: Store, at: datetime, queue: Queue = PAY) -> Claim:
    (claimed,) = await store.write(lambda conn: work.claim(conn, queue, 1, "worker", at, HOUR))
    return claimed


async def ended(store: Store, at: datetime, why: str) -> None:
    claimed = await taken(store, at)
    await store.write(lambda conn: work.again(conn, claimed, at, at, why, attempts=0))


async def unknown_since(store: Store) -> datetime | None:
    found = (await store.read(lambda conn: vitals.read(conn, NOW))).unproven
    return found["pay"].oldest_at if found else None


async def test_it_counts_from_the_first_look_that_could_not_tell_and_anew_after_one_that_could(store: Store) -> None:
    await store.write(lambda conn: work.enqueue(conn, "pay", 7, NOW))
    await ended(store, NOW + HOUR, "RPC: no answer")
    assert await unknown_since(store) is None
    for hours in (2, 3, 4):
        await ended(store, NOW + hours * HOUR, LOST)
        assert await unknown_since(store) == NOW + 2 * HOUR
    await ended(store, NOW + 5 * HOUR, "waits for its finality")
    assert await unknown_since(store) is None
    await ended(store, NOW + 6 * HOUR, LOST)
    assert await unknown_since(store) == NOW + 6 * HOUR


def given_up(conn: Connection, claimed: Claim) -> None:
    work.park(conn, claimed, "refused", "Circle: no")


def done_and_woken(conn: Connection, claimed: Claim) -> None:
    work.enqueue(conn, "pay", 7, NOW)
    work.finish(conn, claimed, NOW)


@pytest.mark.parametrize("known", [given_up, done_and_woken])
async def test_what_has_an_end_is_not_unknown_any_more(
    store: Store, known: Callable[[Connection, Claim], None]
) -> None:
    await store.write(lambda conn: work.enqueue(conn, "pay", 7, NOW))
    await ended(store, NOW, LOST)
    claimed = await taken(store, NOW)
    await store.write(lambda conn: known(conn, claimed))
    assert await unknown_since(store) is None
    assert await store.read(lambda conn: conn.scalar(select(jobs.c.id))) == claimed.id


async def test_an_event_whose_effect_was_unknown_and_is_known_now_says_so(store: Store) -> None:
    event = StripeEvent("evt_1", "payment_intent.succeeded", NOW, b"{}", NOW)
    await store.write(lambda conn: inbox.add_stripe_events(conn, [event]))
    since = select(stripe_events.c.unknown_since)
    claimed = await taken(store, NOW, Queue(stripe_events))
    await store.write(lambda conn: work.again(conn, claimed, NOW, NOW, LOST, attempts=0))
    assert await store.read(lambda conn: conn.scalar(since)) == NOW
    claimed = await taken(store, NOW + HOUR, Queue(stripe_events))
    await store.write(lambda conn: work.finish(conn, claimed, NOW))
    assert await store.read(lambda conn: conn.scalar(since)) is None
