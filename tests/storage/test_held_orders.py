"""Who may leave while Circle takes no orders."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import URL, Connection, select, update

from domain.errors import AccessRefused
from domain.keys import KEY_TRUSTED_FOR
from gateways.circle_api import Rates
from payouts.rails.circle_orders import CircleOrders
from payouts.rails.silence import Silence
from ports.system import SystemClock
from storage.engines.postgres import PostgresStore
from storage.payouts import held_orders, transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.store import Store
from storage.tables import batches, jobs, state_history
from storage.treasury import funding
from storage.work import enqueue
from tests.gateways.circle_world import gateway_over
from tests.gateways.wire import ScriptedTransport, answer
from tests.sales import PLATFORM, START, Sales
from tests.sandbox.circle.world import API_KEY, SECRET
from tests.storage.replicas import at_once

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
MINUTE = timedelta(minutes=1)


def batch(conn: Connection, number: int = 3) -> None:
    """So many transfers, the ids of which count from 1."""
    shop = Sales(ACCOUNT)
    creator, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
    for hour in range(number):
        shop.sold(conn, shop.content(conn, creator), buyer, START + timedelta(hours=hour))
    shop.deposit(conn, number * 2_350_000)
    funding.fund(conn, ACCOUNT, NOW)
    take(
        conn,
        "test:1",
        PlanTerms(NOW, NOW, 1, False, timedelta(0), "purchase", "circle"),
        lambda _: None,
        "",
        shop.uuids,
    )


def intend(conn: Connection, transfer_id: int, number: int = 1) -> int:
    case = transfers.load(conn, transfer_id, lock=True)
    key = UUID(int=100 * transfer_id + number)
    return int(transfers.intend(conn, case, number, key, "wallet", PLATFORM, {}, NOW).live.id)


async def test_the_oldest_order_that_is_not_answered_asks_and_another_one_leaves_half_an_hour_after_the_last(
    store: Store,
) -> None:
    def story(conn: Connection) -> None:
        batch(conn)
        assert held_orders.why_held(conn, None, NOW) is None
        assert held_orders.hold(conn, "503", NOW) and not held_orders.hold(conn, "504", NOW)
        assert held_orders.why_held(conn, None, NOW) is None  # nobody asks, so this one does
        first = intend(conn, 1)
        second = intend(conn, 2)
        assert held_orders.why_held(conn, first, NOW) is None and held_orders.asks_for_all(conn, first, NOW)
        assert not held_orders.asks_for_all(conn, second, NOW)
        for other in (second, None):
            assert held_orders.why_held(conn, other, NOW) == "Circle takes no orders since 2026-11-19 12:00 UTC: 503"
        transfers.first_send(conn, second, NOW + 29 * MINUTE)
        for other in (None, second):
            assert (held_orders.why_held(conn, other, NOW + 31 * MINUTE) is None) == (other is second)
        assert held_orders.why_held(conn, None, NOW + 59 * MINUTE) is None
        assert held_orders.why_held(conn, None, NOW + 59 * MINUTE, NOW + 30 * MINUTE) is not None
        transfers.first_send(conn, first, NOW)
        late = NOW + KEY_TRUSTED_FOR + MINUTE
        assert held_orders.asks_for_all(conn, second, late) and held_orders.one_waits(conn, late)
        assert not held_orders.one_waits(conn, late + 30 * MINUTE)
        assert held_orders.answered(conn, NOW) and not held_orders.answered(conn, NOW)
        assert held_orders.why_held(conn, None, NOW) is None

    await store.write(story)


async def test_where_none_that_was_begun_is_left_to_ask_the_next_one_does_and_with_none_the_hold_ends(
    store: Store,
) -> None:
    def story(conn: Connection) -> None:
        batch(conn)
        held_orders.hold(conn, "503", NOW)
        first, second = intend(conn, 1), intend(conn, 2)
        for transfer_id, why in ((1, None), (2, held_orders.why_held(conn, second, NOW))):
            enqueue(conn, "transfer", transfer_id, NOW, NOW + 60 * MINUTE)
            conn.execute(update(jobs).where(jobs.c.subject == str(transfer_id)).values(last_error=why))
        assert not held_orders.stands_still(conn, NOW) and held_orders.move(conn, NOW) is None
        transfers.first_send(conn, first, NOW)
        transfers.seen_at_circle(conn, first, "circle-1", "COMPLETE", NOW, None)
        assert held_orders.stands_still(conn, NOW) and held_orders.move(conn, NOW) == "the next one asks"
        due = select(jobs.c.subject).where(jobs.c.kind == "transfer", jobs.c.due_at == NOW)
        assert conn.scalars(due).all() == ["2"] and not held_orders.stands_still(conn, NOW)
        for paused in (True, False):
            conn.execute(update(batches).values(paused=paused))
            assert held_orders.asks_for_all(conn, second, NOW) is not paused
            assert held_orders.one_waits(conn, NOW) and held_orders.move(conn, NOW) is None
            assert (held_orders.why_held(conn, None, NOW) is None) is paused
        transfers.failed(conn, 2, "its account is frozen", NOW)
        assert held_orders.move(conn, NOW) == held_orders.NONE_LEFT and not held_orders.are_held(conn)

    await store.write(story)


async def test_an_order_that_is_refused_while_others_are_taken_holds_none_of_them(store: Store) -> None:
    def begun(conn: Connection) -> list[transfers.TransferCase]:
        batch(conn, 2)
        for transfer_id in (1, 2):
            intend(conn, transfer_id)
        return [transfers.load(conn, transfer_id) for transfer_id in (1, 2)]

    clock = SystemClock()
    gateway = gateway_over(ScriptedTransport(lambda _: answer(503, b"")), clock, Rates.fast(), API_KEY, SECRET)
    silence = Silence(store, clock, CircleOrders(store, clock, gateway, "SOL-DEVNET"))
    odd, other = await store.write(begun)
    refusal, found = AccessRefused("403", "Forbidden"), []
    for case in (odd, None, odd, other):
        await (silence.ended() if case is None else silence.wait(case, refusal, timedelta(0)))
        found.append(await store.read(held_orders.are_held))
    assert found == [True, False, False, True]


async def test_of_two_orders_that_would_both_ask_one_does(postgres_store: PostgresStore, postgres_url: URL) -> None:
    def held(conn: Connection) -> None:
        batch(conn)
        held_orders.hold(conn, "503", NOW)

    await postgres_store.write(held)
    found: list[str | None] = []

    def begin(conn: Connection, transfer_id: int) -> None:
        found.append(held_orders.why_held(conn, None, NOW, lock=True))
        if found[-1] is None:
            intend(conn, transfer_id)

    await at_once(postgres_url, lambda conn: begin(conn, 1), lambda conn: begin(conn, 2))
    assert [why is None for why in found] == [True, False]


@pytest.mark.parametrize("times", [1, 3])
async def test_what_did_not_leave_is_written_down_once_however_often_it_is_tried(times: int, store: Store) -> None:
    def story(conn: Connection) -> list[tuple[str | None, str]]:
        batch(conn, 1)
        attempt_id = intend(conn, 1)
        for _ in range(times):
            transfers.first_send(conn, attempt_id, NOW)
            assert not transfers.load(conn, 1).never_left
            transfers.not_sent(conn, attempt_id, NOW, NOW)
            assert transfers.load(conn, 1).never_left
        told = select(state_history.c.before, state_history.c.after).where(state_history.c.machine == "transfer")
        return [(row.before, row.after) for row in conn.execute(told.order_by(state_history.c.id))]

    moves = [(None, "intended"), ("intended", "submitted"), ("submitted", "submitted")]
    assert await store.write(story) == moves
