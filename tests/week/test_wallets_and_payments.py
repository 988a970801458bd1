"""Wallets of both kinds and from before, and the ways a card payment can go, in the whole world on virtual time."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from sandbox.circle_service.idempotency import Replays
from sandbox.faults import Fault, Rule
from tests.week.test_peer_defects import nfts
from tests.week.test_refunds import Gallery
from tests.week.test_virtual_week import People, run_virtually
from tests.week.virtual_world import AGENT_URL, VirtualWorld


async def wallet(world: VirtualWorld, token: str) -> dict[str, Any]:
    shown = await world.call("GET", "/api/profile/", token=token)
    return dict(shown.body)


async def has_wallet(world: VirtualWorld, token: str, seconds: float = 600) -> dict[str, Any]:
    async def ready() -> bool:
        return (await wallet(world, token))["circle_wallet_id"] is not None

    await world.until("the wallet is there", ready, seconds)
    return await wallet(world, token)


@pytest.mark.parametrize("kind", ["user", "developer"])
def test_a_new_user_gets_a_wallet_of_the_kind_that_the_setting_names(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path, AGENT_USER_WALLETS=kind)
        await world.start()
        _, token = await People(world).sign_up("ada")
        found = await has_wallet(world, token)
        assert found["wallet_provider"] == "circle_w3s"
        assert found["circle_wallet_address"]
        await world.close()

    run_virtually(story())


def test_signing_up_succeeds_while_circle_is_down_and_the_wallet_comes_later(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path)
        await world.start()
        world.circle.faults.add(Rule("/v1/w3s/", Fault.LOSE_REQUEST, times=1_000))
        _, token = await People(world).sign_up("ada")
        await world.clock.sleep(60)
        assert (await wallet(world, token))["circle_wallet_id"] is None
        world.circle.faults.clear()
        await has_wallet(world, token)
        await world.close()

    run_virtually(story())


def test_a_lost_answer_on_any_call_of_the_set_up_still_gives_one_wallet(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path)
        await world.start()
        for call in ("/v1/w3s/users", "/v1/w3s/users/token", "/v1/w3s/user/initialize", "/v1/w3s/wallets"):
            world.circle.faults.add(Rule(call, Fault.LOSE_ANSWER))
        _, token = await People(world).sign_up("ada")
        found = await has_wallet(world, token)
        listed = await world.circle_get(f"/v1/w3s/wallets?address={found['circle_wallet_address']}")
        assert len(listed["wallets"]) == 1
        await world.close()

    run_virtually(story())


def test_a_wallet_that_was_asked_for_half_a_day_ago_is_looked_up_before_it_is_asked_for_again(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path, AGENT_USER_WALLETS="developer", AGENT_WALLET_SET_ID="set later")
        world.settings = world.settings.model_copy(update={"agent_wallet_set_id": world.platform.wallet_set_id})
        await world.start()
        world.circle.faults.add(Rule("POST /v1/w3s/developer/wallets", Fault.LOSE_ANSWER))
        world.circle.faults.add(Rule("POST /v1/w3s/developer/wallets", Fault.STATUS, times=1_000, status=503))
        _, token = await People(world).sign_up("ada")
        await world.clock.sleep(20)
        world.circle.custody.replays = Replays()  # Circle has forgotten the key: it would make another wallet
        world.clock.shift(timedelta(hours=13))
        world.circle.faults.clear()
        found = await has_wallet(world, token)
        made = [one for one in world.circle.custody.wallets.of_user(None) if one.ref_id not in (None, "platform")]
        assert [one.id for one in made] == [found["circle_wallet_id"]]
        await world.close()

    run_virtually(story())


@pytest.mark.parametrize(("status", "code"), [(403, 155121), (404, 155116), (403, 155122)])
def test_a_challenge_that_circle_shows_no_more_gives_way_to_another(status: int, code: int, tmp_path: Path) -> None:
    """An hourly look found it ended, and a person was asked, whose retry found the same."""

    async def story() -> None:
        world = VirtualWorld(tmp_path)
        switches = world.circle.custody.switches
        switches.auto_pin = False
        await world.start()
        _, token = await People(world).sign_up("ada")
        await world.clock.sleep(60)
        first = (await world.call("GET", "/api/wallet/setup/", token=token)).body["challenge_id"]
        body = f'{{"code":{code},"message":"It is over."}}'.encode()
        gone = Rule(f"GET /v1/w3s/user/challenges/{first}", Fault.STATUS, times=1_000, status=status, body=body)
        world.circle.faults.add(gone)
        await world.clock.sleep(900)
        second = (await world.call("GET", "/api/wallet/setup/", token=token)).body["challenge_id"]
        assert second != first
        await world.circle_post(f"/_sandbox/challenges/{second}/complete", {})
        await has_wallet(world, token)
        await world.close()

    run_virtually(story())


def test_a_user_with_a_pin_and_without_a_wallet_is_asked_for_his_pin_once_more(tmp_path: Path) -> None:
    """Circle calls him initialized (155106): it was waited for ever for a wallet that nobody makes."""

    async def story() -> None:
        world = VirtualWorld(tmp_path)
        custody = world.circle.custody
        custody.switches.auto_pin = False
        await world.start()
        initialize = world.circle.faults.add(Rule("/v1/w3s/user/initialize", Fault.LOSE_REQUEST, times=1_000))
        _, token = await People(world).sign_up("ada")
        await world.clock.sleep(10)
        (user,) = custody.users.all()
        user.pin = user.questions = "ENABLED"
        initialize.times = 0
        await world.clock.sleep(60)
        assert (await world.call("GET", "/api/wallet/setup/", token=token)).status == 409
        world.circle.faults.add(Rule("/v1/w3s/user/wallets", Fault.LOSE_ANSWER))
        await world.clock.sleep(1_200)
        setup = await world.call("GET", "/api/wallet/setup/", token=token)
        assert len(custody.challenges.of(user)) == 1
        await world.circle_post(f"/_sandbox/challenges/{setup.body['challenge_id']}/complete", {})
        await has_wallet(world, token)
        assert len(list(custody.wallets.of_user(user.id))) == 1
        await world.close()

    run_virtually(story())


def test_a_notification_brings_the_wallet_long_before_the_next_poll(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path)
        world.circle.custody.switches.auto_pin = False
        await world.start()
        await world.circle_post("/v2/notifications/subscriptions", {"endpoint": f"{AGENT_URL}/api/circle/webhook/"})
        _, token = await People(world).sign_up("ada")
        await world.clock.sleep(200)  # polls come every 30 s by now
        setup = await world.call("GET", "/api/wallet/setup/", token=token)
        await world.circle_post(f"/_sandbox/challenges/{setup.body['challenge_id']}/complete", {})
        await has_wallet(world, token, seconds=3)
        await world.close()

    run_virtually(story())


def test_a_user_from_before_gets_his_nft_at_his_external_address(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        address = str(Keypair.from_seed(bytes([7]) * 32).pubkey())
        body = {
            "email": "old@example.com",
            "username": "old friend",
            "password": "correct horse battery",
            "wallet_provider": "external",
            "wallet_address": address,
        }
        made = await shop.world.operator("POST", "/admin/api/users", body)
        assert made.status == 201, made
        login = await shop.world.call(
            "POST", "/api/auth/login/", {"email": body["email"], "password": body["password"]}
        )
        token = login.body["token"]
        assert (await wallet(shop.world, token))["wallet_prompt"]
        await shop.buy(token, shop.content)

        async def owned() -> bool:
            shelf = await shop.library(token)
            return bool(shelf) and shelf[0]["status"] == "owned"

        await shop.world.until("it is his", owned)
        await shop.close()

    run_virtually(story())


async def open_session(shop: Gallery, name: str) -> tuple[str, str]:
    _, token = await shop.sign_up(name)
    opened = await shop.world.call(
        "POST", "/api/checkout/stripe/", {"content_id": shop.content, "payment_method": "card"}, token
    )
    return token, opened.body["session_id"]


def offer_bank_debit(shop: Gallery, session_id: str) -> None:
    """As if the operator had switched the method on in Stripe's dashboard; our own Sessions ask for cards."""
    session = shop.world.stripe._world.books.find(session_id)
    assert session is not None
    session["payment_method_types"].append("us_bank_account")


async def shelf_says(shop: Gallery, token: str, status: str) -> None:
    async def says() -> bool:
        shelf = await shop.library(token)
        return bool(shelf) and shelf[0]["status"] == status

    await shop.world.until(f"the library says {status}", says)


def test_a_declined_card_changes_nothing_and_the_next_one_pays(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        token, session_id = await open_session(shop, "bob")
        shop.world.stripe.controls.decline(session_id)
        await shop.world.clock.sleep(60)
        assert await shop.library(token) == []
        again = await shop.world.call(
            "POST", "/api/checkout/stripe/", {"content_id": shop.content, "payment_method": "card"}, token
        )
        assert again.body["session_id"] == session_id
        shop.world.stripe.controls.pay(session_id)
        await shelf_says(shop, token, "owned")
        await shop.close()

    run_virtually(story())


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_delayed_payment_mints_when_it_settles_and_fails_without_a_retry(succeeds: bool, tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open(editions=1)
        token, session_id = await open_session(shop, "bob")
        offer_bank_debit(shop, session_id)
        shop.world.stripe.controls.pay(session_id, "us_bank_account", debit="manual")
        await shop.world.clock.sleep(60)
        assert nfts(shop.world) == 0
        shop.world.stripe.controls.settle(session_id, succeeded=succeeds)
        if succeeds:
            await shelf_says(shop, token, "owned")
        else:
            await shop.world.clock.sleep(60)
            shown = await shop.purchase(1, token)
            assert (shown["status"], shown["status_reason"]) == ("failed", "payment_failed")
            refused = await shop.world.operator("POST", "/admin/api/retry/mint/1")
            assert refused.status == 409
            other, next_session = await open_session(shop, "eve")
            shop.world.stripe.controls.pay(next_session)
            await shelf_says(shop, other, "owned")
        await shop.close()

    run_virtually(story())


def test_an_expired_session_lets_the_buyer_open_another(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        token, session_id = await open_session(shop, "bob")
        shop.world.stripe.controls.expire(session_id)
        await shop.world.clock.sleep(30)
        opened = await shop.world.call(
            "POST", "/api/checkout/stripe/", {"content_id": shop.content, "payment_method": "card"}, token
        )
        assert opened.body["session_id"] != session_id
        shop.world.stripe.controls.pay(opened.body["session_id"])
        await shelf_says(shop, token, "owned")
        await shop.close()

    run_virtually(story())


def test_events_that_no_webhook_brought_are_found_by_the_sweep(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="30000"))
        await shop.open()
        await shop.world.clock.sleep(60)
        shop.world.stripe.controls.disturb_delivery(drop=1, tries_max=1)
        token, session_id = await open_session(shop, "bob")
        shop.world.stripe.controls.pay(session_id)
        await shop.world.clock.sleep(600)
        assert await shop.library(token) == []
        await shop.world.clock.sleep(3600)
        await shelf_says(shop, token, "owned")
        await shop.close()

    run_virtually(story())


def test_an_event_of_a_checkout_that_is_not_ours_waits_for_a_person(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        strange = {
            "id": "pi_strange",
            "object": "payment_intent",
            "amount_received": 300,
            "currency": "usd",
            "metadata": {"checkout": "nobody's"},
        }
        shop.world.stripe.controls.forge_event("payment_intent.succeeded", strange)
        await shop.world.clock.sleep(30)
        work = await shop.world.operator("GET", "/admin/api/work")
        assert [row["error_code"] for row in work.body["items"]] == ["unknown_checkout"]
        await shop.close()

    run_virtually(story())
