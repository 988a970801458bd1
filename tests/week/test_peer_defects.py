"""What the nearest peer does wrong, each as a guard of ours. Split arithmetic (16) is guarded in tests/domain, keys,
ciphertexts, account types and ids (7 to 12) in tests/domain and tests/gateways, row locks (4) in tests/storage."""

import json
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey
from sqlalchemy import func, select

from ports.transport import HttpRequest
from sandbox.faults import Fault, Rule
from storage.tables import mint_attempts, payouts, stripe_events, transfer_attempts
from tests.week.test_refunds import DUE, Gallery
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import CIRCLE_URL, VirtualWorld


async def count(shop: Gallery, table: Any) -> int:
    daemon = shop.world.daemon
    assert daemon is not None
    found = await daemon.ports.store.read(lambda conn: conn.scalar(select(func.count()).select_from(table)))
    return int(found or 0)


async def seen_events(shop: Gallery) -> list[str]:
    daemon = shop.world.daemon
    assert daemon is not None
    return list(await daemon.ports.store.read(lambda conn: conn.scalars(select(stripe_events.c.event_id)).all()))


def nfts(world: VirtualWorld) -> int:
    """Mints of supply 1 that Token-2022 holds, as the node has them, by the platform wallet's transactions."""
    wallet = Pubkey.from_string(world.platform.address)
    landed = [one for one in world.node.transactions_of(wallet) if one.err is None]
    return sum(1 for one in landed for change in one.token_changes() if str(change.mint) != USDC and change.delta == 1)


USDC = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"


def test_1_a_redelivered_payment_mints_and_pays_nothing_again(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        await shop.sell()
        await shop.pay_out(DUE)
        for event_id in await seen_events(shop):
            shop.world.stripe.controls.resend_event(event_id)
        shop.world.stripe.controls.disturb_delivery(duplicates=3)
        await shop.sell()
        await shop.world.clock.sleep(120)
        assert (nfts(shop.world), await count(shop, mint_attempts), await count(shop, payouts)) == (2, 2, 2)
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


def test_2_circle_is_told_amounts_in_whole_usdc(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        await shop.sell()
        await shop.pay_out(DUE)
        sent = [
            json.loads(request.body)
            for request in shop.world.transport.sent
            if request.url == f"{CIRCLE_URL}/v1/w3s/developer/transactions/transfer"
        ]
        assert {tuple(body["amounts"]) for body in sent} == {("2.350000",)}
        await shop.close()

    run_virtually(story())


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.LOSE_REQUEST, Fault.HTML])
def test_3_a_send_without_an_answer_gives_no_second_nft_and_no_second_payout(fault: Fault, tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        shop.world.node.faults.add(Rule("sendTransaction", fault, times=3))
        await shop.sell()
        shop.world.circle.faults.add(Rule("developer/transactions/transfer", fault, times=2))
        await shop.pay_out(DUE)
        assert (nfts(shop.world), await shop.paid_on_chain()) == (1, DUE)
        assert await count(shop, transfer_attempts) == 1
        await shop.close()

    run_virtually(story())


def test_5_a_payment_that_overtakes_its_checkout_event_is_not_lost(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        shop.world.stripe.controls.disturb_delivery(delay_ms={"checkout.session.completed": 60_000})
        await shop.open()
        await shop.sell()
        assert nfts(shop.world) == 1
        await shop.close()

    run_virtually(story())


def test_6_distributed_is_said_only_after_the_chain_calls_it_final(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        purchase_id, token, _ = await shop.sell()
        shop.world.node.mint_usdc(Pubkey.from_string(shop.world.platform.address), DUE)
        await shop.world.operator("POST", "/admin/api/batches", {})

        async def landed() -> bool:
            return await shop.paid_on_chain() == DUE

        await shop.world.until("the transfer is in a block", landed)
        early = await shop.purchase(purchase_id, token)
        assert (early["usdc_payment_status"], early["usdc_transfer_signature"]) == ("pending_distribution", None)
        await shop.shows("final", paid_out="2.35")
        late = await shop.purchase(purchase_id, token)
        assert late["usdc_payment_status"] == "distributed"
        assert late["usdc_transfer_signature"]
        await shop.close()

    run_virtually(story())


def test_13_a_buyer_without_a_wallet_gets_his_nft_when_the_wallet_comes(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path)
        world.circle.custody.switches.auto_pin = False
        shop = Gallery(world)
        await shop.open()
        token, _ = await shop.pay()

        async def waits() -> bool:
            shelf = await shop.library(token)
            return bool(shelf) and shelf[0]["status"] == "waiting_for_wallet"

        await world.until("it waits", waits)
        setup = await world.call("GET", "/api/wallet/setup/", token=token)
        answer = await world.transport.send(
            _post(f"{CIRCLE_URL}/_sandbox/challenges/{setup.body['challenge_id']}/complete")
        )
        assert answer.status == 200

        async def owned() -> bool:
            return bool((await shop.library(token))[0]["status"] == "owned")

        await world.until("it is owned", owned)
        await shop.close()

    run_virtually(story())


def test_14_a_balance_that_cannot_be_read_stops_the_preview_and_is_never_zero(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        await shop.sell()
        shop.world.node.faults.add(Rule("getTokenAccountBalance", Fault.STATUS, times=100))
        shop.world.node.faults.add(Rule("getAccountInfo", Fault.STATUS, times=100))
        shop.world.node.faults.add(Rule("getMultipleAccounts", Fault.STATUS, times=100))
        shown = await shop.world.operator("GET", "/admin/api/distribution/preview")
        assert (shown.status, shown.body["error"]["code"]) == (503, "balance_unreadable")
        board = await shop.dashboard()
        assert board["available_balance"] is None
        shop.world.node.faults.clear()
        await shop.close()

    run_virtually(story())


def test_17_the_loser_of_a_sold_out_race_is_refunded_and_never_minted(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        tokens, sessions = await shop.open_race(3)
        for session_id in sessions:
            shop.world.stripe.controls.pay(session_id)

        async def decided() -> bool:
            shelves = [await shop.library(token) for token in tokens]
            return sorted(shelf[0]["status"] for shelf in shelves if shelf) == ["owned", "refunded", "refunded"]

        await shop.world.until("one owns it, two have their money back", decided)
        ledger: Any = shop.world.stripe.controls.ledger()
        assert sorted(one["refunded_cents"] for one in ledger["payments"]) == [0, 300, 300]
        assert nfts(shop.world) == 1
        await shop.close()

    run_virtually(story())


def _post(url: str) -> HttpRequest:
    return HttpRequest("POST", url, {"content-type": "application/json"}, b"{}")
