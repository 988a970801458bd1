"""Figures read from real rows, on SQLite and on PostgreSQL."""

import asyncio
import math
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, delete, update

from agent.notify import ServiceManager
from agent.probe import Probe
from chain.addresses import ata
from config.settings import DEVNET_USDC
from domain.evidence import Evidence
from domain.ledger import Asset
from domain.realtime import Backlog, Bar, Left
from domain.states import BatchStatus, UsdcStatus, WorkState
from metrics import Metrics
from storage import inbox, work
from storage.engines.metered import MeteredStore
from storage.errors import StoreUnavailable
from storage.inbox import StripeEvent
from storage.mints import minting
from storage.operation import interventions, switches
from storage.payouts import batches, groups, held_orders, taking, upkeep
from storage.payouts.planning import PlanTerms
from storage.payouts.upkeep import Payer
from storage.people import wallets
from storage.queues import Queue
from storage.reading import probes, vitals
from storage.reading.changes import Endings, changes_since, last_change
from storage.sales import returns
from storage.sales.returns import DisputeSeen
from storage.store import Store
from storage.tables import contents, jobs, payouts, purchases, stripe_events
from storage.treasury import chain_rows, funding, movement_rows, movements
from tests.metrics.test_recorder import values
from tests.sales import MINT_LAMPORTS, PAYOUT_LAMPORTS, PLATFORM, START, Sales
from tests.storage.test_groups import batch_of, group_of, signed

DAY = timedelta(days=1)
THRESHOLD = 500_000_000
SOL_LEAST = 10**9


class Clock:
    """Time that a test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def sales() -> Sales:
    return Sales(ata(PLATFORM, DEVNET_USDC))


def plan(conn: Connection, sales: Sales, now: datetime) -> int:
    terms = PlanTerms(now, now, 1, False, timedelta(0), "purchase", "circle")
    batch_id = taking.take(conn, f"offcycle:{sales.uuid()}", terms, lambda _: None, "test", sales.uuids)
    assert batch_id is not None
    funding.fund(conn, sales.usdc_account, now)
    return batch_id


async def test_an_empty_database_reads_as_nothing_owed_and_nothing_known(store: Store) -> None:
    readings = await store.read(lambda conn: probes.read(conn, START))
    assert readings.queues == []
    assert readings.usdc is None and readings.sol is None
    assert readings.oldest_unpaid_at is None
    assert set(readings.imbalance.values()) == {0}
    assert sum(readings.batches.values()) == 0
    assert all(unpaid.amount == 0 for unpaid in readings.unpaid.values())


async def test_what_is_owed_queued_parked_and_waiting_is_read_as_it_stands(store: Store, sales: Sales) -> None:
    def arrange(conn: Connection) -> None:
        creator, buyer = sales.user(conn, "ann"), sales.user(conn, "bob", wallet=False)
        content = sales.content(conn, creator)
        sales.sold(conn, content, creator, START)
        sales.paid(conn, content, buyer, START - DAY)
        sales.deposit(conn, 2_350_000)
        funding.fund(conn, sales.usdc_account, START)
        chain_rows.record_reading(conn, "treasury_usdc", 2_350_000, 5, START)
        chain_rows.record_reading(conn, "treasury_sol", 10**9, 5, START)
        claimed = work.claim(conn, Queue(jobs, frozenset({"wallet"})), 1, "w", START, DAY)[0]
        work.park(conn, claimed, "155219", "no")
        inbox.add_stripe_events(conn, [event("evt_1"), event("evt_2")])
        claimed = work.claim(conn, Queue(stripe_events), 1, "w", START, DAY)[0]
        work.park(conn, claimed, "unknown_checkout", "whose?")

    await store.write(arrange)
    readings = await store.read(lambda conn: probes.read(conn, START))
    queues = {(queue.kind, queue.state): queue.rows for queue in readings.queues}
    assert queues["stripe_event", WorkState.DUE] == queues["stripe_event", WorkState.PARKED] == 1
    assert queues["wallet", WorkState.PARKED] == 1
    assert queues["mint", WorkState.DUE] == 2
    assert readings.unpaid[UsdcStatus.PENDING_DISTRIBUTION] == probes.Unpaid(1, 2_350_000)
    assert readings.unpaid[UsdcStatus.PENDING_CONVERSION] == probes.Unpaid(0, 0)
    assert readings.oldest_unpaid_at == START
    assert (readings.waiting_for_wallet, readings.waiting_too_long) == (1, 1)
    assert readings.usdc == probes.Balance(2_350_000, START)
    assert readings.imbalance == {Asset.USD: 0, Asset.USDC: 0, Asset.SOL: 0}
    assert readings.orphans == 0


async def test_what_waits_for_the_buyer_was_released_or_has_lost_a_race_makes_nobody_s_payout_late(
    store: Store, sales: Sales
) -> None:
    """A page that no act of a person would end."""

    def arrange(conn: Connection) -> None:
        creator, buyer = sales.user(conn, "ann"), sales.user(conn, "bob", wallet=False)
        sale = sales.paid(conn, sales.content(conn, creator), buyer, START)
        sales.priced(conn, sale)
        sales.paid(conn, sales.content(conn, creator), buyer, START + 10 * DAY)
        only = sales.content(conn, creator)
        conn.execute(update(contents).where(contents.c.id == only).values(editions=1))
        for session in [sales.opened(conn, only, sales.user(conn, name)) for name in ("eve", "dan")]:
            last = sales.pays(conn, session)
        sales.minted(conn, last - 1)
        lost = DisputeSeen("dp_1", 300, "lost", 300, 1_500, START + DAY)
        returns.record_dispute(conn, last, lost, START + DAY)
        interventions.release(conn, sale, 14 * DAY, "why", START + 15 * DAY)
        sales.deposit(conn, 5_000_000)
        sales.pay(conn, plan(conn, sales, START + 15 * DAY), START + 15 * DAY)

    await store.write(arrange)
    readings = await store.read(lambda conn: probes.read(conn, START + DAY))
    assert readings.oldest_unpaid_at is None
    assert (readings.waiting_for_wallet, readings.waiting_too_long) == (2, 0)


async def test_what_could_not_be_paid_out_for_a_week_is_not_late(store: Store, sales: Sales) -> None:
    """Stripe makes the money of a Friday available on Tuesday: it is paid on the Monday after that, ten days later."""
    available = START + 4 * DAY
    asks_stripe, holds = probes.Payable(require_available=True), probes.Payable(hold=3 * DAY)

    def arrange(conn: Connection) -> None:
        creator, buyer = sales.user(conn, "ann"), sales.user(conn, "bob")
        content = sales.content(conn, creator)
        sold, unminted = sales.sold(conn, content, buyer, START), sales.paid(conn, content, buyer, START + DAY / 2)
        both = purchases.c.id.in_((sold, unminted))
        conn.execute(update(purchases).where(both).values(available_on=available))

    await store.write(arrange)

    async def late(payable: probes.Payable, after: timedelta) -> datetime | None:
        return await store.read(lambda conn: probes.oldest_late(conn, payable, START + after))

    assert await late(probes.Payable(), 7 * DAY) is None, "a batch takes its time"
    assert await late(probes.Payable(), 7.5 * DAY) == START
    assert await late(asks_stripe, 10 * DAY) is None
    assert await late(asks_stripe, 11.5 * DAY) == START
    assert await late(holds, 10 * DAY) is None
    assert await late(holds, 10.5 * DAY) == START
    await store.write(lambda conn: conn.execute(update(payouts).values(state=UsdcStatus.ON_HOLD)).rowcount)
    assert await late(asks_stripe, 11.5 * DAY) == START + DAY / 2, "paid for, and not even minted"


def event(event_id: str) -> StripeEvent:
    return StripeEvent(event_id, "payment_intent.succeeded", START, b"{}", START)


async def test_an_outflow_that_nothing_explains_is_an_orphan(store: Store, sales: Sales) -> None:
    def arrange(conn: Connection) -> None:
        sales.deposit(conn, 5_000_000)
        stolen = movement_rows.Movement("sig", sales.usdc_account, Asset.USDC, -1_000_000, 8, START, "somebody")
        movements.book_usdc(conn, stolen, START)

    await store.write(arrange)
    assert (await store.read(lambda conn: probes.read(conn, START))).orphans == 1


async def test_changes_are_counted_once_from_where_the_last_look_ended(store: Store, sales: Sales) -> None:
    ready: list[int] = []

    def before(conn: Connection) -> int:
        ready.append(sales.user(conn, "ann"))
        return last_change(conn)

    def during(conn: Connection) -> int:
        buyer, unlucky = sales.user(conn, "bob"), sales.user(conn, "cy", wallet=False)
        wallets.failed(conn, unlucky, "155219: no", START)
        content = sales.content(conn, ready[0])
        purchases = [sales.sold(conn, content, buyer, START) for _ in range(3)]
        assert len(purchases) == 3
        sales.deposit(conn, 7_050_000)
        batch_id = plan(conn, sales, START + DAY)
        sales.pay(conn, batch_id, START + 2 * DAY, fails=1)
        return batch_id

    start = await store.write(before)
    batch_id = await store.write(during)
    now = START + 3 * DAY
    changes = await store.read(lambda conn: changes_since(conn, start, now))
    assert changes.wallets == Endings(1, 1)
    assert changes.mints == Endings(3, 0)
    assert changes.payouts == Endings(2, 1)
    assert list(changes.lags) == [2 * DAY.total_seconds()] * 2
    assert list(changes.mint_costs) == [MINT_LAMPORTS] * 3
    assert list(changes.payout_costs) == [PAYOUT_LAMPORTS] * 2
    assert changes.states["batch", BatchStatus.PLANNED] == 1
    assert not changes.full
    again = await store.read(lambda conn: changes_since(conn, changes.last_id, now))
    assert (again.last_id, dict(again.states)) == (changes.last_id, {})
    assert batch_id


async def test_what_a_packed_transaction_cost_is_counted_without_the_rent_that_comes_back(
    store: Store, sales: Sales
) -> None:
    landed = Evidence("sig-1", True, "", 9, START, 1_493_440, 5_000)

    def pay(conn: Connection) -> None:
        group_id = group_of(conn, sales, batch_of(conn, sales))
        signed(conn, group_id, "sig-1")
        groups.paid(conn, group_id, landed, sales.usdc_account, START)
        kept(conn, "accounts", 2_044_280)
        kept(conn, "closing", -1_483_440)

    def kept(conn: Connection, kind: upkeep.Kind, cost: int) -> None:
        upkeep_id = upkeep.plan(conn, kind, str(sales.uuid()), Payer("wallet", PLATFORM), ["one"], START, None)
        upkeep.signed(conn, upkeep_id, b"wire", f"sig-{kind}", 150, START)
        upkeep.finalized(conn, upkeep_id, Evidence(f"sig-{kind}", True, "", 9, START, cost, 5_000), START)

    await store.write(pay)
    changes = await store.read(lambda conn: changes_since(conn, 0, START + DAY))
    assert list(changes.payout_costs) == [5_000, 2_044_280]


async def test_on_postgresql_young_rows_wait_for_those_that_may_still_commit_before_them(
    postgres_store: Store, sales: Sales
) -> None:
    await postgres_store.write(lambda conn: sales.user(conn, "ann"))
    young = await postgres_store.read(lambda conn: changes_since(conn, 0, START + timedelta(seconds=9)))
    assert (young.last_id, dict(young.states)) == (0, {})
    old = await postgres_store.read(lambda conn: changes_since(conn, 0, START + timedelta(seconds=11)))
    assert old.wallets.success == 1


async def test_the_probe_shows_it_all_and_a_scrape_looks_again_only_when_the_figures_are_old(
    store: Store, sales: Sales
) -> None:
    metrics, clock, looks = Metrics(), Clock(START + DAY), []
    counting = MeteredStore(store, clock, lambda operation, *_: looks.append(operation))
    probe = Probe(counting, clock, metrics, usdc_least=THRESHOLD, sol_least=SOL_LEAST, wallet_wait=14 * DAY)
    await probe.refresh()

    def sell(conn: Connection) -> None:
        creator, buyer = sales.user(conn, "ann"), sales.user(conn, "bob")
        sales.sold(conn, sales.content(conn, creator), buyer, START)
        chain_rows.record_reading(conn, "treasury_usdc", 499_000_000, 5, START)

    await store.write(sell)
    await probe.scrape()
    assert len(looks) == 1
    clock.at += timedelta(seconds=15)
    body = await probe.scrape()
    assert len(looks) == 2
    assert b"queue_rows" in body
    found = values(metrics)
    assert found("mints_total", "success") == 1
    assert found("payout_unpaid_base_units", "pending_conversion") == 2_350_000
    assert found("undistributed_oldest_age_seconds") == DAY.total_seconds() + 15
    assert found("undistributed_late_age_seconds") == 0
    clock.at += 8 * DAY
    await probe.scrape()
    assert values(metrics)("undistributed_late_age_seconds") == 9 * DAY.total_seconds() + 15
    assert found("platform_usdc_below_threshold") == 1
    assert found("platform_balance_age_seconds", "usdc") == DAY.total_seconds() + 15
    assert found("network_cost_lamports_sum", "mint") == MINT_LAMPORTS
    assert found("queue_rows", "fund", "due") == 1
    assert found("ledger_imbalance_units", "usdc_base_units") == 0


async def test_a_lost_database_leaves_the_last_figures_and_shows_their_age(store: Store) -> None:
    metrics, clock = Metrics(), Clock(START)
    failures: list[bool] = []
    metered = MeteredStore(store, clock, lambda _operation, _seconds, usable: failures.append(usable))
    probe = Probe(metered, clock, metrics, usdc_least=THRESHOLD, sol_least=SOL_LEAST, wallet_wait=DAY)
    await probe.refresh()
    await store.stop()
    clock.at += DAY
    await probe.refresh()
    found = values(metrics)
    assert failures == [True, False]
    assert found("probe_failures_total") == 1
    assert found("probe_success_timestamp_seconds") == START.timestamp()
    with pytest.raises(StoreUnavailable):
        await metered.read(last_change)


async def test_what_is_unproven_waits_or_was_never_backed_up_is_shown(store: Store, sales: Sales) -> None:
    metrics, clock = Metrics(), Clock(START + DAY)
    probe = Probe(
        store,
        clock,
        metrics,
        usdc_least=THRESHOLD,
        sol_least=SOL_LEAST,
        wallet_wait=14 * DAY,
        realtime=lambda _: Backlog(Left(payouts=3, amount=7), Bar.DAY_CAP),
    )

    def arrange(conn: Connection) -> int:
        creator, buyer = sales.user(conn, "ann"), sales.user(conn, "bob")
        sales.sold(conn, sales.content(conn, creator), buyer, START)
        batch_id = plan(conn, sales, START + DAY / 2)
        batches.move(conn, batch_id, BatchStatus.WAITING_FUNDS, START + DAY / 2)
        work.enqueue(conn, "transfer", 7, START)
        (claimed,) = work.claim(conn, Queue(jobs, frozenset({"transfer"})), 1, "w", START, DAY)
        work.again(conn, claimed, START + DAY, START + DAY / 4, f"{work.UNKNOWN_OUTCOME}lost", attempts=0)
        switches.turn(conn, switches.SENDS_PAUSED, True, "look", "me", START)
        held_orders.hold(conn, "no answer", START)
        return claimed.id

    job_id = await store.write(arrange)
    await probe.refresh()
    found = values(metrics)
    assert found("unknown_outcome_rows", "transfer") == 1
    assert found("unknown_outcome_oldest_age_seconds", "transfer") == 3 * DAY.total_seconds() / 4
    assert found("batch_oldest_age_seconds", "waiting_funds") == DAY.total_seconds() / 2
    assert found("batch_oldest_age_seconds", "sending") == 0
    assert found("batch_short_base_units") == 2_350_000
    assert (found("sends_paused"), found("orders_held")) == (1, 1)
    assert (found("realtime_waiting_rows", "day_cap"), found("realtime_waiting_base_units", "day_cap")) == (3, 7)
    assert found("realtime_waiting_rows", "funds") == 0
    assert found("database_size_bytes") > 0
    assert math.isnan(found("backup_timestamp_seconds")) and math.isnan(found("stripe_sweep_timestamp_seconds"))
    await store.write(lambda conn: conn.execute(delete(jobs).where(jobs.c.id == job_id)))
    await probe.refresh()
    assert values(metrics)("unknown_outcome_rows", "transfer") == 0


async def test_a_sale_is_minting_since_its_first_attempt_until_it_is_minted(store: Store, sales: Sales) -> None:
    """What was paid before may have waited for days for the buyer's wallet."""
    metrics, clock = Metrics(), Clock(START + DAY)
    probe = Probe(store, clock, metrics, usdc_least=THRESHOLD, sol_least=SOL_LEAST, wallet_wait=14 * DAY)
    began = [START + DAY / 4, START + DAY / 2]

    def arrange(conn: Connection) -> list[int]:
        creator, buyer = sales.user(conn, "ann"), sales.user(conn, "bob")
        sales.sold(conn, sales.content(conn, creator), buyer, START)
        return [sales.paid(conn, sales.content(conn, creator), buyer, START) for _ in began]

    async def shown() -> float:
        await probe.refresh()
        return values(metrics)("mint_oldest_age_seconds")

    first, second = await store.write(arrange)
    assert await shown() == 0
    attempt_id = await store.write(lambda conn: sales.minting(conn, first, began[0]))
    assert await shown() == 3 * DAY.total_seconds() / 4
    await store.write(lambda conn: minting.dead(conn, attempt_id, {"why": "expired"}, START + DAY / 2))
    await store.write(lambda conn: sales.minting(conn, first, START + DAY / 2))
    await store.write(lambda conn: sales.minting(conn, second, began[1]))
    assert await shown() == 3 * DAY.total_seconds() / 4
    await store.write(lambda conn: minting.dead(conn, attempt_id + 1, {"why": "expired"}, START + DAY / 2))
    await store.write(lambda conn: minting.failed(conn, first, "given up", START + DAY / 2))
    assert await shown() == DAY.total_seconds() / 2


async def test_a_batch_is_as_old_as_its_status(store: Store, sales: Sales) -> None:
    """One that waited for days for its funds is not stuck the moment it sends."""
    metrics, clock = Metrics(), Clock(START + 3 * DAY)
    probe = Probe(store, clock, metrics, usdc_least=THRESHOLD, sol_least=SOL_LEAST, wallet_wait=14 * DAY)

    def arrange(conn: Connection) -> None:
        creator, buyer = sales.user(conn, "ann"), sales.user(conn, "bob")
        for sends_at in (START + 2 * DAY, START + 2.5 * DAY):
            sales.sold(conn, sales.content(conn, creator), buyer, START)
            batch_id = plan(conn, sales, START + DAY)
            batches.move(conn, batch_id, BatchStatus.WAITING_FUNDS, START + DAY)
            batches.move(conn, batch_id, BatchStatus.SENDING, sends_at)

    await store.write(arrange)
    await probe.refresh()
    found = values(metrics)
    assert found("batch_oldest_age_seconds", "sending") == DAY.total_seconds()
    assert found("batch_oldest_age_seconds", "waiting_funds") == 0


async def test_the_sign_of_life_is_a_write_and_stops_with_the_database(store: Store) -> None:
    beats: list[float] = []
    manager = ServiceManager(store, Clock(START), beats.append)
    task = asyncio.create_task(manager.run())
    while not beats:
        await asyncio.sleep(0)
    task.cancel()
    assert beats == [START.timestamp()]
    assert await store.read(lambda conn: chain_rows.cursor(conn, vitals.HEARTBEAT)) is not None
    await store.stop()
    await manager._beat()
    assert len(beats) == 1
