"""Sales as the steps write them: each function is one fact, in the order in which Stripe, Circle and the chain tell."""

from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import update

from domain.evidence import Evidence
from domain.split import SplitRule
from domain.states import UsdcStatus
from ports.system import SystemIds
from storage import tables
from storage.history import advance
from storage.mints import minting
from storage.mints.minting import MintIntent
from storage.sales.checkouts import Mark
from storage.sales.purchases import Fee, Payment, ensure, record_fee, record_payment
from tests.web.shop import Shop

_numbers = count(1)


async def paid(shop: Shop, content_id: int, buyer_token: str) -> int:
    """The buyer goes through a Session and his card is charged; the purchase's id."""
    begun = await shop.send("POST", "/api/checkout/stripe/", {"content_id": content_id}, buyer_token)
    assert begun.status == 200, begun.body
    session, number, now = begun.body["session_id"], next(_numbers), shop.clock.now()
    checkout = next(row for row in await shop.all(tables.checkouts) if row["stripe_session_id"] == session)
    payment = Payment(f"pi_{number}", f"ch_{number}", checkout["price_cents"], "usd", now)
    purchase_id = await shop.store.write(
        lambda conn: ensure(conn, Mark(checkout["uuid"]), now, payment.payment_intent_id, session)
    )
    await shop.store.write(lambda conn: record_payment(conn, purchase_id, payment, now))
    return purchase_id


async def fee_known(shop: Shop, purchase_id: int, fee_cents: int = 39) -> None:
    """The balance transaction names the fee."""
    now = shop.clock.now()
    fee = Fee(f"txn_{purchase_id}", f"ch_x{purchase_id}", 300, fee_cents, 300 - fee_cents, now)
    await shop.store.write(lambda conn: record_fee(conn, purchase_id, fee, SplitRule(), now))


async def minted(shop: Shop, purchase_id: int) -> None:
    """The NFT is finalized in the buyer's wallet."""
    now = shop.clock.now()
    intent = MintIntent(
        "wallet", "platform", "buyer", "seed", f"mint{purchase_id}", "Still life #1", "RBLK", "ipfs://x"
    )
    evidence = Evidence(f"sig{purchase_id}", True, "", 10, now, 5_000)
    await shop.store.write(lambda conn: minting.intend(conn, purchase_id, SystemIds().uuid(), intent, now))
    attempt = next(row for row in await shop.all(tables.mint_attempts) if row["purchase_id"] == purchase_id)
    await shop.store.write(lambda conn: minting.signed(conn, attempt["id"], b"wire", evidence.signature, 100, now))
    await shop.store.write(lambda conn: minting.finalized(conn, attempt["id"], evidence, now))


async def move_payouts(shop: Shop, purchase_id: int, *path: UsdcStatus, in_full: bool = False, **columns: Any) -> None:
    """All payouts of a purchase go along a path of states; `columns` are set with the last, `in_full` what was paid."""
    now = shop.clock.now()
    for payout in await shop.all(tables.payouts):
        if payout["purchase_id"] != purchase_id:
            continue
        columns |= {"paid_amount": payout["amount"]} if in_full else {}
        for state in path:
            last: dict[str, Any] = columns if state is path[-1] else {}
            await shop.store.write(partial(advance, row_id=payout["id"], after=state, now=now, **last))


async def wallet(shop: Shop, user_id: int, address: str) -> None:
    """The user's wallet is there."""
    await shop.store.write(
        lambda conn: conn.execute(
            update(tables.users).where(tables.users.c.id == user_id).values(circle_wallet_address=address)
        )
    )
