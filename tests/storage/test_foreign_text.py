"""Text from outside is longer than our columns, or holds what PostgreSQL takes in no text: nothing halts for it."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Column, Connection, String, select

from agent.steps.circle_notification import CircleNotificationStep
from agent.steps.stripe_event import StripeEventStep
from agent.worker import Lane, Step, Worker
from domain.errors import Retryable
from domain.outcomes import Commit, Outcome, nothing
from gateways.answers import ShapeError
from gateways.circle_api import ChallengeFacts, CircleTransaction, Rates, WalletFacts
from gateways.circle_mint import DepositFacts, MintTransfer
from gateways.stripe_facts import BalanceEntry, ChargeFacts, PaymentIntentFacts, RefundFacts, SessionFacts
from payouts.reconcile import _circle_row
from ports.virtual import SeededIds
from storage import tables, work
from storage.inbox import add_circle_notification, add_stripe_events
from storage.queues import Queue
from storage.reconciliation import mirrors
from storage.store import Store
from storage.work import Claim
from tests.agent.test_events_in_any_order import event
from tests.agent.test_leases import MONDAY, PAY, Ends, HandClock, running
from tests.gateways.circle_world import gateway_over
from tests.gateways.wire import ScriptedTransport, SkippingClock, answer
from tests.sales import Sales
from tests.sandbox.circle.world import API_KEY, SECRET

LONG = "x" * 10_000
ODD = (LONG, "a\0b")
AT = "2026-11-23T09:00:00Z"
TOKEN = "8fb3cadb-0ef4-573d-8fcd-e194f961c728"
TRANSACTION: dict[str, Any] = {
    **{"id": "7a121488-6997-5c0f-940a-a91015bbaa4b", "state": "COMPLETE", "transactionType": "OUTBOUND"},
    **{"blockchain": "SOL-DEVNET", "amounts": ["2.35"], "walletId": "w", "tokenId": TOKEN, "sourceAddress": "s"},
    **{"destinationAddress": "d", "refId": "r", "txHash": "h", "errorReason": "e", "errorDetails": "d"},
    **{"createDate": AT, "updateDate": AT},
}
MONEY = {"amount": "1.00", "currency": "USD"}
BOOKED: dict[str, Any] = {
    **{"object": "balance_transaction", "id": "txn_1", "amount": 3, "fee": 1, "net": 2, "currency": "usd"},
    **{"status": "pending", "available_on": 1, "type": "charge", "source": "ch_1", "created": 1},
}
T = tables
Written = Mapping[str, tuple[Column[Any], ...]]
READ: list[tuple[Callable[[dict[str, Any]], Any], dict[str, Any], dict[str, str], Written]] = [
    (
        CircleTransaction.read,
        TRANSACTION,
        {"refId": "ref_id", "txHash": "tx_hash", "tokenId": "token_id", "destinationAddress": "destination_address"},
        {
            "id": (
                T.circle_transactions.c.circle_id,
                T.transfer_attempts.c.circle_transaction_id,
                T.purchases.c.circle_mint_transaction_id,
                T.withdrawals.c.circle_transaction_id,
            ),
            "state": (T.circle_transactions.c.state, T.transfer_attempts.c.circle_state),
            "refId": (T.circle_transactions.c.reference,),
            "tokenId": (T.circle_transactions.c.token_id, T.purchases.c.circle_nft_id),
            "destinationAddress": (T.circle_transactions.c.destination,),
            "txHash": (
                T.circle_transactions.c.signature,
                T.transfer_attempts.c.signature,
                T.watched_signatures.c.signature,
                T.withdrawals.c.signature,
            ),
        },
    ),
    (
        WalletFacts.read,
        {
            **{"id": "w", "address": "a", "blockchain": "SOL", "state": "LIVE", "custodyType": "ENDUSER"},
            **{"accountType": "EOA", "walletSetId": "s", "createDate": AT},
        },
        {},
        {
            "id": (T.users.c.circle_wallet_id, T.withdrawals.c.wallet_id),
            "address": (T.users.c.circle_wallet_address,),
        },
    ),
    (
        lambda obj: ChallengeFacts.read({**obj, "correlationIds": [obj["correlationIds"]]}).correlation_ids,
        {"id": "c", "type": "t", "status": "s", "correlationIds": "i"},
        {"correlationIds": "0"},
        {"correlationIds": (T.withdrawals.c.circle_transaction_id,)},
    ),
    (
        MintTransfer.read,
        {"id": "t", "status": "pending", "amount": MONEY, "transactionHash": "h", "createDate": AT},
        {"transactionHash": "signature"},
        {
            "id": (T.conversion_orders.c.circle_transfer_id,),
            "status": (T.conversion_orders.c.circle_status,),
            "transactionHash": (T.conversion_orders.c.signature,),
        },
    ),
    (
        DepositFacts.read,
        {"id": "d", "status": "pending", "amount": MONEY, "createDate": AT},
        {},
        {"id": (T.mint_deposits.c.circle_deposit_id,), "status": (T.mint_deposits.c.status,)},
    ),
    (
        BalanceEntry.read,
        BOOKED,
        {},
        {
            "id": (T.balance_transactions.c.stripe_id, T.purchases.c.stripe_balance_transaction_id),
            "type": (T.balance_transactions.c.type,),
            "source": (T.balance_transactions.c.source,),
            "currency": (T.balance_transactions.c.currency,),
        },
    ),
    (
        ChargeFacts.read,
        {
            **{"object": "charge", "id": "ch_1", "status": "succeeded", "paid": True, "amount": 3},
            **{"amount_captured": 3, "amount_refunded": 0, "refunded": False, "disputed": False},
            **{"currency": "usd", "livemode": False},
        },
        {},
        {"id": (T.purchases.c.stripe_charge_id,)},
    ),
    (
        PaymentIntentFacts.read,
        {
            **{"object": "payment_intent", "id": "pi_1", "status": "succeeded", "amount": 3, "currency": "usd"},
            **{"latest_charge": "ch_1", "livemode": False, "created": 1},
        },
        {},
        {"latest_charge": (T.purchases.c.stripe_charge_id,)},
    ),
    (
        RefundFacts.read,
        {"object": "refund", "id": "re_1", "amount": 3, "currency": "usd", "created": 1},
        {},
        {"id": (T.refunds.c.stripe_refund_id,)},
    ),
    (
        SessionFacts.read,
        {
            **{"object": "checkout.session", "id": "cs_1", "payment_status": "paid", "livemode": False},
            **{"created": 1, "expires_at": 1},
        },
        {},
        {"id": (T.checkouts.c.stripe_session_id, T.purchases.c.stripe_checkout_session_id)},
    ),
]


def read_of(read: Callable[[dict[str, Any]], Any], obj: dict[str, Any], attribute: str) -> Any:
    found = read(obj)
    return found[int(attribute)] if attribute.isdigit() else getattr(found, attribute)


def cases() -> Iterator[Any]:
    for read, good, attributes, written in READ:
        for field, columns in written.items():
            for column in columns:
                attribute = attributes.get(field, field)
                yield pytest.param(read, good, field, attribute, column, id=f"{column}")


@pytest.mark.parametrize(("read", "good", "field", "attribute", "column"), list(cases()))
def test_what_is_read_fits_the_column_that_it_is_written_to(
    read: Callable[[dict[str, Any]], Any], good: dict[str, Any], field: str, attribute: str, column: Column[Any]
) -> None:
    assert read_of(read, good, attribute) == good[field]
    assert isinstance(column.type, String)
    for odd in ODD:
        try:
            found = read_of(read, {**good, field: odd}, attribute)
        except ShapeError:
            continue
        assert "\0" not in found and len(found) <= (column.type.length or len(found)), column


async def test_the_reference_of_somebody_else_s_order_halts_no_listing_and_is_kept_as_far_as_it_fits(
    store: Store,
) -> None:
    listed = [{**TRANSACTION, "id": str(n), "refId": ref} for n, ref in enumerate((LONG, "a\0b", "ours"))]
    transport = ScriptedTransport(lambda _request: answer(200, {"data": {"transactions": listed}}))
    circle = gateway_over(transport, SkippingClock(), Rates.fast(), API_KEY, SECRET)
    async for page in circle.list_transactions("w", MONDAY):
        rows = [_circle_row(one, TOKEN) for one in page.transactions]
        await store.write(lambda conn, rows=rows: mirrors.copy_circle(conn, rows))  # type: ignore[misc]
    c = tables.circle_transactions.c
    kept = await store.read(lambda conn: conn.execute(select(c.circle_id, c.reference).order_by(c.circle_id)).all())
    assert kept == [("0", LONG[:400]), ("1", "a\N{REPLACEMENT CHARACTER}b"), ("2", "ours")]


async def work_on(store: Store, kind: str, table: Any, step: Step, *ends: str) -> Any:
    """Run the one row of that table to its end; returns it."""
    heard, lane = Ends(), Lane("one", Queue(table) if table is not tables.jobs else Queue(table, frozenset({kind})), 1)
    worker = Worker(store, HandClock(), SeededIds(random.Random(1)), {kind: step}, [lane], heard, retries_max=1)
    async with running(worker):
        await heard.until(*ends)
    return await store.read(lambda conn: conn.execute(select(table)).one())


@pytest.mark.parametrize("odd", ["re_" + LONG, "re_\0"])
async def test_a_refund_with_an_id_that_is_none_waits_for_a_person_and_says_why(store: Store, odd: str) -> None:
    def sold(conn: Connection) -> None:
        shop = Sales("platform-usdc")
        buyer, content = shop.user(conn, "buyer"), shop.content(conn, shop.user(conn, "ada"))
        payment = tables.purchases.c.stripe_payment_intent_id
        told = conn.scalar(select(payment).where(tables.purchases.c.id == shop.sold(conn, content, buyer)))
        refund = {"id": odd, "amount": 100, "status": "succeeded", "payment_intent": told}
        add_stripe_events(conn, [event("evt_1", "refund.updated", refund)])

    await store.write(sold)
    row = await work_on(store, "stripe_event", tables.stripe_events, StripeEventStep(store, HandClock()), "done")
    assert (row.error_code, row.last_error) == ("malformed_event", "'id' has another form than Stripe's ids")


class Fails:
    """Whose reason holds what PostgreSQL takes in no text."""

    async def run(self, claim: Claim) -> Outcome:
        raise Retryable("a node said \0")

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


async def test_a_reason_that_can_not_be_stored_as_it_is_does_not_keep_the_row_from_its_end(store: Store) -> None:
    await store.write(lambda conn: work.enqueue(conn, PAY, 1, MONDAY))
    row = await work_on(store, PAY, tables.jobs, Fails(), "again")
    assert (row.state, row.last_error) == ("parked", "a node said \N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("field", ["id", "refId", "txHash", "userId"])
@pytest.mark.parametrize("kind", ["transactions.outbound", "challenges.initialize"])
async def test_a_hint_that_names_nothing_of_ours_is_worked_on(store: Store, kind: str, field: str) -> None:
    body = json.dumps({"notification": {"state": "SENT", field: "a\0b"}}).encode()
    await store.write(lambda conn: add_circle_notification(conn, "n", kind, body, MONDAY))
    step = CircleNotificationStep(HandClock())
    row = await work_on(store, "circle_notification", tables.circle_notifications, step, "done")
    assert row.state == "done"
