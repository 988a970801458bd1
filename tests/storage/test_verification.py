"""Verification: silent over a busy shop's rows on both databases, and whatever is touched is named by its row."""

import ast
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import Connection, text

from domain.keys import conversion_key
from domain.ledger import Asset
from domain.states import RefundState
from storage import history
from storage.books.sealing import LEDGER, next_seals, write_seals
from storage.engines.sqlite import open_writer
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.sales import returns
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.store import Store
from storage.treasury import conversion_orders, funding, movements, network_costs
from storage.treasury.conversions import Announced, announce
from storage.treasury.movement_rows import Movement
from storage.verification import CHECKS
from storage.verification.causes import CAUSES
from tests.sales import PLATFORM, START, Sales
from tests.verified import first_finding, first_findings

ACCOUNT = "platform-usdc"
MONDAY = START.replace(day=23, hour=9)


def busy_shop(conn: Connection) -> None:
    """Sales of one and of three creators; paid, refunded before and after payout, netted, disputed, waiting; half of
    the ledger is sealed."""
    shop = Sales(ACCOUNT)
    ada, bob, cyd, buyer = (shop.user(conn, name) for name in ("ada", "bob", "cyd", "buyer"))
    alone = shop.content(conn, ada)
    together = shop.content(conn, bob, 500, **{f"user_{ada}": 3_333, f"user_{bob}": 3_333, f"user_{cyd}": 3_334})
    first, second = shop.sold(conn, alone, buyer), shop.sold(conn, together, buyer)
    third = shop.sold(conn, alone, buyer)
    returns.record_refund(conn, third, RefundSeen("re_early", 100, RefundState.SUCCEEDED, None), START)
    announce(conn, Announced(str(shop.uuid()), 1_000, 10_000_000, ""), START)
    shop.deposit(conn, 10_000_000)
    batch = take(conn, "monday:2026-11-23", _terms(), lambda _: None, "ada", shop.uuids)
    assert batch is not None
    funding.fund(conn, ACCOUNT, START)
    shop.pay(conn, batch, MONDAY)
    shop.settle(conn, batch, MONDAY)
    network_costs.book_lamports(
        conn, [Movement(f"mint-signature-{first}", PLATFORM, Asset.SOL, -5_115_000, 5, START)], START
    )
    network_costs.book_lamports(conn, [Movement("faucet", PLATFORM, Asset.SOL, 9_000_000, 6, START)], START)
    _seal(conn)
    _order_usdc(conn, shop)
    returns.record_refund(conn, first, RefundSeen("re_late", 300, RefundState.SUCCEEDED, None), MONDAY)
    shop.sold(conn, alone, buyer, MONDAY + timedelta(hours=1))
    returns.record_dispute(conn, second, DisputeSeen("dp_1", 500, "needs_response", 500, 1_500, MONDAY), MONDAY)
    returns.record_refund(conn, third, RefundSeen("re_wrong", 50, RefundState.SUCCEEDED, None), MONDAY)
    returns.record_refund(conn, third, RefundSeen("re_wrong", 50, RefundState.FAILED, None), MONDAY)
    shop.paid(conn, together, buyer, MONDAY)


def _order_usdc(conn: Connection, shop: Sales) -> None:
    """An order from Circle Mint to its end."""
    wish = conversion_orders.Wish(shop.uuid(), 5_000_000, PLATFORM, "", "ada")
    number = conversion_orders.propose(conn, wish, START)
    digest = conversion_orders.required(conn, number).digest
    conversion_orders.approve(conn, number, digest, "bob", "", 1, START)
    conversion_orders.intend(conn, number, conversion_key(wish.uuid), {}, START)
    conversion_orders.first_send(conn, number, START)
    conversion_orders.seen(conn, number, "transfer-1", "complete", "mint-transfer", START)
    conversion_orders.arriving(conn, number, "mint-transfer", shop.uuid(), START)
    brought = Movement("mint-transfer", ACCOUNT, Asset.USDC, 5_000_000, 8, START)
    movements.book_usdc(conn, brought, START)
    assert conversion_orders.has_arrived(conn, number)
    conversion_orders.done(conn, number, START)


def _terms() -> PlanTerms:
    return PlanTerms(MONDAY, MONDAY, 10_000, False, timedelta(0), "purchase", "circle")


def _seal(conn: Connection) -> None:
    write_seals(conn, LEDGER.chain, next_seals(conn, LEDGER, 1_000), START)


async def test_a_busy_shop_keeps_every_rule(store: Store) -> None:
    await store.write(busy_shop)
    assert await store.read(first_findings) == {}


async def test_an_empty_database_keeps_every_rule(store: Store) -> None:
    assert await store.read(first_findings) == {}


def touched(*statements: str) -> Callable[[Connection], None]:
    """What somebody can do who owns the file: nothing in the database stops these statements."""

    def touch(conn: Connection) -> None:
        triggers = [row[0] for row in conn.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))]
        for name in triggers:
            conn.execute(text(f"DROP TRIGGER {name}"))
        conn.execute(text("PRAGMA ignore_check_constraints = ON"))
        for statement in statements:
            assert conn.exec_driver_sql(statement).rowcount > 0, statement

    return touch


_ENTRY = "(SELECT id FROM ledger_entries WHERE key = '{}')"
_SEALED, _UNSEALED = _ENTRY.format("paid:pi_1"), _ENTRY.format("paid:pi_4")
DOUBLE = "UPDATE ledger_postings SET amount = amount * 2 WHERE entry_id = "
TOUCHES: dict[str, tuple[str, str, list[str]]] = {
    "a sealed entry": (
        "chain-ledger",
        "ledger_entries",
        [f"UPDATE ledger_entries SET kind = 'x' WHERE id = {_SEALED}"],
    ),
    "a sealed posting": ("chain-ledger", "ledger_entries", [DOUBLE + _SEALED]),
    "an entry not sealed yet": ("entries-of-sales", "purchases 4", [DOUBLE + _UNSEALED]),
    "a head that a report wrote down": (
        "anchors",
        "reconciliations 1",
        [
            "INSERT INTO reconciliations (asked_by, started_at, phase, heads) "
            """VALUES ('schedule', 0, 'finished', '{"ledger": [1, "ff"]}')"""
        ],
    ),
    "one posting": (
        "entries-balance",
        "ledger_entries",
        [f"UPDATE ledger_postings SET amount = amount + 1 WHERE entry_id = {_UNSEALED} AND account = 'sales'"],
    ),
    "an entry removed before its seal": (
        "entries-of-sales",
        "purchases 4",
        [
            f"DELETE FROM ledger_postings WHERE entry_id = {_UNSEALED}",
            "DELETE FROM ledger_entries WHERE key = 'paid:pi_4'",
        ],
    ),
    "a promise that outlives its mint": (
        "mints-that-pay",
        "mint_payouts 1",
        [
            "INSERT INTO mint_payouts (mint_attempt_id, recipient_id, destination_address, amount, created_at) "
            "VALUES (1, 1, 'x', 5, 0)",
        ],
    ),
    "an entry made up": (
        "causes-of-entries",
        "ledger_entries",
        [
            "INSERT INTO ledger_entries (key, kind, subject, created_at) VALUES ('paid:pi_9', 'sale_paid', 'pi_9', 0)",
        ],
    ),
    "a running balance": (
        "running-balances",
        "ledger_balances sales",
        ["UPDATE ledger_balances SET amount = amount + 1 WHERE account = 'sales'"],
    ),
    "a running balance's sum": (
        "asset-sums",
        "ledger_balances usd_cents",
        ["UPDATE ledger_balances SET amount = amount + 1 WHERE account = 'sales'"],
    ),
    "a fee": ("sales-add-up", "purchases 1", ["UPDATE purchases SET stripe_fee = stripe_fee - 1 WHERE id = 1"]),
    "a refund's amount": ("refunds-add-up", "purchases 1", ["UPDATE refunds SET amount = 200 WHERE amount = 300"]),
    "a due": ("splits", "payouts 1", ["UPDATE payouts SET amount = amount + 1 WHERE id = 1"]),
    "a share": ("splits", "payouts 2", ["UPDATE payouts SET share_bps = share_bps + 500 WHERE id = 2"]),
    "a mint": ("sale-states", "purchases 1", ["UPDATE purchases SET nft_mint_address = NULL WHERE id = 1"]),
    "an edition": ("editions", "contents 1", ["UPDATE contents SET editions_taken = editions_taken + 1 WHERE id = 1"]),
    "a planned amount": (
        "plans",
        "batches 1",
        ["UPDATE batch_items SET amount = amount + 1, batch_id = 1 WHERE payout_id = 1"],
    ),
    "a planned address": (
        "plans",
        "batches 1",
        ["UPDATE batch_items SET destination_address = 'elsewhere' WHERE payout_id = 1"],
    ),
    "a payout slipped into a batch": (
        "assignments",
        "payouts 6",
        ["UPDATE payouts SET batch_id = 1 WHERE id = 6"],
    ),
    "where a payout goes": ("assignments", "payouts 1", ["UPDATE transfers SET destination_address = 'x'"]),
    "a transfer's amount": ("transfers", "transfers 1", ["UPDATE transfers SET amount = amount + 1 WHERE id = 1"]),
    "a payment that never was": (
        "paid-on-chain",
        "payouts 6",
        [
            "UPDATE payouts SET state = 'distributed', signature = 'made-up', paid_amount = amount, netted_amount = 0 "
            "WHERE id = 6"
        ],
    ),
    "another signature": (
        "claimed-once",
        "chain_movements",
        ["UPDATE payouts SET signature = 'another' WHERE id = 1"],
    ),
    "a transfer's key": (
        "transfer-attempts",
        "transfer_attempts 1",
        ["UPDATE transfer_attempts SET idempotency_key = 'fresh' WHERE id = 1"],
    ),
    "a second try without a proof": (
        "transfer-attempts",
        "transfer_attempts 1",
        [
            "UPDATE transfer_attempts SET state = 'dead', proof = NULL WHERE id = 1",
            "INSERT INTO transfer_attempts (transfer_id, attempt, state, idempotency_key, wallet_id, source_address, "
            "body, created_at) SELECT transfer_id, 2, 'intended', 'k2', wallet_id, source_address, body, created_at "
            "FROM transfer_attempts WHERE id = 1",
        ],
    ),
    "a mint's number": ("mint-attempts", "mint_attempts 1", ["UPDATE mint_attempts SET attempt = 2 WHERE id = 1"]),
    "a payout that nobody would pay": (
        "something-to-pay",
        "payouts 1",
        ["UPDATE payouts SET state = 'pending_distribution', netted_amount = amount WHERE id = 1"],
    ),
    "a debt": ("accounts-of-recipients", "users 1", ["UPDATE nettings SET undone_at = 1 WHERE recipient_id = 1"]),
    "a deposit": (
        "treasury",
        "ledger_balances treasury",
        ["UPDATE chain_movements SET amount = amount + 1 WHERE kind = 'deposit'"],
    ),
    "a state": (
        "history-of-purchase",
        "purchases 5",
        ["UPDATE purchases SET status = 'failed' WHERE status = 'payment_completed'"],
    ),
    "a move that is none": (
        "history-of-payout",
        "payouts 1",
        [
            "UPDATE state_history SET before = 'failed' "
            "WHERE machine = 'payout' AND subject = '1' AND after = 'distributed'"
        ],
    ),
    "a job": ("fees-wait", "purchases 5", ["DELETE FROM jobs WHERE kind = 'fee' AND subject = '5'"]),
    "a mint's job": ("mints-wait", "purchases 5", ["DELETE FROM jobs WHERE kind = 'mint' AND subject = '5'"]),
    "a batch that settled": (
        "batches-wait",
        "batches 1",
        ["UPDATE batches SET status = 'sending'", "DELETE FROM jobs WHERE kind = 'batch'"],
    ),
    "what was settled by hand": (
        "settled-by-hand",
        "payouts 1",
        ["UPDATE payouts SET settled_amount = 5 WHERE id = 1"],
    ),
    "what was closed by hand": (
        "closed-by-hand",
        "jobs",
        [
            "UPDATE payouts SET amount = paid_amount + 5 WHERE id = 2",
            "INSERT INTO jobs (kind, subject, state, due_at, created_at, last_error) "
            "VALUES ('underpaid', '2', 'done', 0, 0, '5 base units more are due')",
        ],
    ),
    "a settlement made up": (
        "entries-of-settlements",
        "settlements 1",
        [
            "INSERT INTO settlements (payout_id, recipient_id, kind, amount, owed_amount, ledger_key, created_at) "
            "VALUES (1, 1, 'paid', 5, 5, 'hand:x:0', 0)"
        ],
    ),
    "what is told of a deposit": (
        "deposits",
        "chain_movements",
        ["UPDATE chain_movements SET unexplained = unexplained - 1 WHERE kind = 'deposit'"],
    ),
    "a conversion withdrawn": (
        "entries-of-conversions",
        "conversions 1",
        ["UPDATE conversions SET withdrawn_at = 1"],
    ),
    "a conversion": ("entries-of-conversions", "conversions 1", ["UPDATE conversions SET usd_cents = usd_cents + 1"]),
    "who approved an order": (
        "conversion-orders",
        "conversion_orders 1",
        ["UPDATE conversion_approvals SET digest = ''"],
    ),
    "an order's key": (
        "conversion-orders",
        "conversion_orders 1",
        ["UPDATE conversion_orders SET idempotency_key = 'k'"],
    ),
    "an order's deposit": (
        "conversion-orders",
        "conversion_orders 1",
        ["UPDATE chain_movements SET signature = 'another' WHERE signature = 'mint-transfer'"],
    ),
    "an order's job": (
        "conversions-wait",
        "conversion_orders 1",
        ["UPDATE conversion_orders SET state = 'arriving'", "DELETE FROM jobs WHERE kind = 'conversion'"],
    ),
    "a dispute": ("entries-of-disputes", "disputes 1", ["UPDATE disputes SET withdrawn = withdrawn - 1"]),
    "a netting": ("entries-of-nettings", "nettings 1", ["UPDATE nettings SET amount = amount - 1 WHERE id = 1"]),
    "a movement": (
        "entries-of-movements",
        "chain_movements 1",
        ["UPDATE chain_movements SET amount = amount - 1 WHERE id = 1"],
    ),
    "a booked refund": (
        "entries-of-refunds",
        "refunds 1",
        ["UPDATE refunds SET state = 'succeeded', amount = 99 WHERE id = 1"],
    ),
}


@pytest.fixture(scope="module")
def shop_file(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busy shop, made once."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("shop") / "agent.db"))
    engine = open_writer(path, synchronous="OFF")
    with engine.begin() as connection:
        busy_shop(connection)
    engine.dispose()
    return path


@pytest.mark.parametrize("what", TOUCHES)
def test_whatever_is_touched_is_named(shop_file: Path, tmp_path: Path, what: str) -> None:
    check, row, statements = TOUCHES[what]
    engine = open_writer(Path(shutil.copy(shop_file, tmp_path / "agent.db")), synchronous="OFF")
    with engine.begin() as connection:
        touched(*statements)(connection)
        found = first_finding(connection, check)
    engine.dispose()
    assert found is not None
    assert found.row.startswith(row), found


def test_every_machine_and_every_chain_has_its_check_and_every_check_a_reason() -> None:
    assert {f"history-of-{machine}" for machine, _, _ in history.MACHINES.values()} <= set(CHECKS)
    assert all(check.invariants and check.says for check in CHECKS.values())


def test_every_rule_of_the_table_above_is_a_check_and_most_checks_are_in_it() -> None:
    tried = {check for check, _, _ in TOUCHES.values()}
    assert tried <= set(CHECKS)
    untried = {name for name in set(CHECKS) - tried if not name.startswith(("history-of-", "chain-"))}
    assert untried <= {
        "signed-mints-wait",
        "losers-wait",
        "transfers-wait",
        "groups-wait",
        "packed-attempts",
        "wallets-wait",
    }


def test_every_kind_of_entry_that_the_ledger_makes_has_its_cause() -> None:
    """A kind is the second argument of `_entry` in domain/ledger.py; the costs' names end with what they were for."""
    source = (Path(__file__).parents[2] / "domain/ledger.py").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    made = [call.args[1] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "_entry"]
    kinds = {kind.value for kind in made if isinstance(kind, ast.Constant)}
    costs = {f"network_{cost}" for cost in get_args(network_costs.Cost)}
    assert len(kinds) > 10
    assert kinds | costs == set(CAUSES)
