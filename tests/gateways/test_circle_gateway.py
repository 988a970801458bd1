"""The Circle gateway against the sandbox's Circle: real RSA, one ciphertext a request, its rates and its codes."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

import orjson
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction, VersionedTransaction

from domain.errors import AccessRefused, KeySpent, OutcomeUnknown, Rejected, Retryable
from gateways.circle_api import AlreadyInitialized, CircleGateway, CircleTransaction, Lane, Rates
from sandbox.circle_service import Platform
from sandbox.circle_service.entity import Entity, rsa_key
from sandbox.faults import Fault, Rule
from simulator.wire import ServiceTransport
from tests.gateways.circle_world import API, gateway_to
from tests.sandbox.circle.world import START_MS, USDC_ID, USDC_MINT, World

CHAIN = "SOL-DEVNET"
DAY = timedelta(days=1)
KEYS = [UUID(int=number, version=4) for number in range(100, 300)]
START = datetime.fromtimestamp(START_MS / 1000, UTC)
SOMEONE = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"


@pytest.fixture
def circle(world: World) -> CircleGateway:
    return gateway_to(world)[0]


@pytest.fixture
def platform(world: World) -> Platform:
    return world.platform(usdc=100)


def order(platform: Platform, amount: str = "2.35", **changes: Any) -> dict[str, Any]:
    fields = {
        "walletId": platform.wallet_id,
        "tokenId": USDC_ID,
        "destinationAddress": SOMEONE,
        "amounts": [amount],
        "feeLevel": "MEDIUM",
        "refId": "purchase-pi_1-distribution",
    }
    return fields | changes


async def everything(circle: CircleGateway, wallet_id: str) -> list[CircleTransaction]:
    pages = [page async for page in circle.list_transactions(wallet_id, START)]
    return [found for page in pages for found in page.transactions]


async def test_circle_answers_and_names_its_app(circle: CircleGateway) -> None:
    await circle.ping()
    assert UUID(await circle.app_id())


async def test_a_wallet_is_made_once_for_a_key_and_comes_back_as_fetched(circle: CircleGateway) -> None:
    wallet_set = await circle.create_wallet_set(KEYS[0], "creators")
    assert wallet_set == await circle.fetch_wallet_set(wallet_set.id)
    assert wallet_set.custody_type == "DEVELOPER"
    made = await circle.create_wallet(KEYS[1], wallet_set.id, CHAIN, "user-1", "Ada")
    assert made == await circle.create_wallet(KEYS[1], wallet_set.id, CHAIN, "user-1", "Ada")
    assert (made.ref_id, made.name, made.blockchain, made.state) == ("user-1", "Ada", CHAIN, "LIVE")
    assert (made.custody_type, made.account_type, made.wallet_set_id) == ("DEVELOPER", "EOA", wallet_set.id)
    Pubkey.from_string(made.address)
    await circle.create_wallet(KEYS[2], wallet_set.id, CHAIN, "user-2", "Bo")
    assert await circle.list_wallets(ref_id="user-1") == [made]


async def test_a_list_longer_than_a_page_comes_whole(circle: CircleGateway) -> None:
    wallet_set = await circle.create_wallet_set(KEYS[0], "creators")
    made = [(await circle.create_wallet(key, wallet_set.id, CHAIN, "same", "x")).id for key in KEYS[1:101]]
    assert [wallet.id for wallet in await circle.list_wallets(ref_id="same")] == made


async def test_users_and_references_made_since_a_moment_come_in_pages(circle: CircleGateway) -> None:
    wallet_set = await circle.create_wallet_set(KEYS[0], "creators")
    users = [str(uuid5(NAMESPACE_DNS, str(number))) for number in range(51)]
    for user, key in zip(users, KEYS[1:], strict=False):
        await circle.create_user(user)
        made = await circle.create_wallet(key, wallet_set.id, CHAIN, user, "x")
    assert [len(page) async for page in circle.users_since(made.create_date - DAY)] == [50, 1]
    assert [one async for page in circle.users_since(made.create_date - DAY) for one in page] == users
    assert [
        one async for page in circle.references_since(wallet_set.id, made.create_date - DAY) for one in page
    ] == users
    assert [one async for page in circle.users_since(made.create_date + DAY) for one in page] == []


async def test_balances_are_read_in_whole_tokens_and_base_units(circle: CircleGateway, platform: Platform) -> None:
    by_address = {balance.token_address: balance for balance in await circle.balances(platform.wallet_id)}
    usdc = by_address[USDC_MINT]
    assert (usdc.amount, usdc.units, usdc.decimals, usdc.token_id) == ("100", 100_000_000, 6, USDC_ID)
    assert by_address[None].is_native
    assert await circle.balances(platform.wallet_id, USDC_MINT) == [usdc]
    assert await circle.balances(platform.wallet_id, SOMEONE) == []


async def test_a_user_gets_a_wallet_by_a_challenge(circle: CircleGateway, world: World) -> None:
    made = await circle.create_user("user-uuid-1")
    assert made == await circle.create_user("user-uuid-1") == await circle.fetch_user("user-uuid-1")
    token = await circle.user_token("user-uuid-1")
    assert token.user_token not in repr(token) and token.encryption_key not in repr(token)
    challenge_id = await circle.initialize_user(token, KEYS[0], CHAIN)
    assert challenge_id == await circle.initialize_user(token, KEYS[0], CHAIN)
    assert isinstance(challenge_id, str)
    waiting = await circle.fetch_challenge(token, challenge_id)
    assert (waiting.type, waiting.status, waiting.correlation_ids) == ("INITIALIZE", "PENDING", ())
    world.pass_ms(1_000)
    done = await circle.fetch_challenge(token, challenge_id)
    (wallet,) = await circle.user_wallets(token)
    assert (done.status, done.correlation_ids) == ("COMPLETE", (wallet.id,))
    assert (wallet.custody_type, wallet.user_id) == ("ENDUSER", "user-uuid-1")
    assert wallet == await circle.fetch_wallet(wallet.id)
    assert (await circle.fetch_user("user-uuid-1")).pin_status == "ENABLED"
    assert await circle.initialize_user(token, KEYS[1], CHAIN) == AlreadyInitialized()


async def test_an_unknown_user_is_refused_and_an_expired_token_is_fetched_anew_next_time(
    circle: CircleGateway, world: World
) -> None:
    with pytest.raises(Rejected) as refusal:
        await circle.user_token("nobody-here")
    assert refusal.value.code == "155102"
    await circle.create_user("user-uuid-1")
    token = await circle.user_token("user-uuid-1")
    world.pass_ms(3_600_000)
    with pytest.raises(Retryable):
        await circle.initialize_user(token, KEYS[0], CHAIN)


async def test_a_transfer_goes_its_way_and_keeps_our_reference(
    circle: CircleGateway, world: World, platform: Platform
) -> None:
    made = await circle.submit_transfer(KEYS[0], order(platform))
    assert (made.ref_id, made.amounts, made.destination_address) == ("purchase-pi_1-distribution", ("2.35",), SOMEONE)
    assert (made.wallet_id, made.token_id, made.blockchain) == (platform.wallet_id, USDC_ID, CHAIN)
    assert (made.transaction_type, made.is_terminal, made.tx_hash) == ("OUTBOUND", False, None)
    assert made.amount_units(6) == 2_350_000
    world.pass_ms(60_000)
    done = await circle.fetch_transaction(made.id)
    assert (done.state, done.is_terminal) == ("COMPLETE", True)
    assert done.tx_hash is not None
    Signature.from_string(done.tx_hash)
    assert world.usdc_of(SOMEONE) == 2_350_000
    assert await circle.submit_transfer(KEYS[0], order(platform)) == done
    assert await everything(circle, platform.wallet_id) == [done]


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.HTML, Fault.CUT_BODY, Fault.LOSE_REQUEST, Fault.STATUS])
async def test_a_lost_answer_to_a_transfer_is_unknown_and_the_same_key_pays_once(
    circle: CircleGateway, world: World, platform: Platform, fault: Fault
) -> None:
    world.circle.faults.add(Rule("POST /v1/w3s/developer/transactions/transfer", fault))
    with pytest.raises(OutcomeUnknown):
        await circle.submit_transfer(KEYS[0], order(platform))
    await circle.submit_transfer(KEYS[0], order(platform))
    world.pass_ms(60_000)
    assert len(await everything(circle, platform.wallet_id)) == 1
    assert world.usdc_of(SOMEONE) == 2_350_000


async def test_a_transfer_that_is_ordered_and_then_can_not_be_read_is_unknown(
    circle: CircleGateway, world: World, platform: Platform
) -> None:
    world.circle.faults.add(Rule("GET /v1/w3s/transactions/", Fault.LOSE_ANSWER))
    with pytest.raises(OutcomeUnknown):
        await circle.submit_transfer(KEYS[0], order(platform))
    assert len(await everything(circle, platform.wallet_id)) == 1


async def test_a_key_that_circle_knows_with_other_fields_is_unknown_for_it_was_used(
    circle: CircleGateway, platform: Platform
) -> None:
    await circle.submit_transfer(KEYS[0], order(platform))
    with pytest.raises(KeySpent, match="156020"):
        await circle.submit_transfer(KEYS[0], order(platform, "9.99"))


async def test_with_a_circle_that_replays_silently_the_caller_sees_the_older_transfer(
    circle: CircleGateway, world: World, platform: Platform
) -> None:
    world.circle.custody.switches.replay_returns_original = True
    first = await circle.submit_transfer(KEYS[0], order(platform))
    second = await circle.submit_transfer(KEYS[0], order(platform, "9.99"))
    assert (second.id, second.amounts) == (first.id, ("2.35",))


async def test_a_bad_destination_is_refused_for_good(circle: CircleGateway, platform: Platform) -> None:
    with pytest.raises(Rejected) as refusal:
        await circle.submit_transfer(KEYS[0], order(platform, destinationAddress="not-an-address"))
    assert refusal.value.code == "155219"
    assert type(refusal.value) is Rejected


async def test_a_wallet_without_enough_may_have_it_later(circle: CircleGateway, platform: Platform) -> None:
    with pytest.raises(Retryable, match="155258"):
        await circle.submit_transfer(KEYS[0], order(platform, "100.01"))


async def test_bad_keys_a_wrong_secret_and_a_frozen_wallet_pause_the_sends(
    circle: CircleGateway, world: World, platform: Platform
) -> None:
    strangers = {
        "401": gateway_to(world, key="TEST_API_KEY:other:key")[0],
        "156007": gateway_to(world, key="OTHER:other:key")[0],
        "156013": gateway_to(world, secret="cd" * 32)[0],
    }
    for code, stranger in strangers.items():
        with pytest.raises(Rejected) as refusal:
            await stranger.submit_transfer(KEYS[0], order(platform))
        assert refusal.value.code == code
        assert isinstance(refusal.value, AccessRefused)
    world.call("POST", f"/_sandbox/wallets/{platform.wallet_id}/freeze", {})
    with pytest.raises(Rejected) as refusal:
        await circle.submit_transfer(KEYS[0], order(platform))
    assert isinstance(refusal.value, AccessRefused)
    assert await everything(circle, platform.wallet_id) == []


async def test_every_request_carries_a_fresh_ciphertext_an_own_request_id_and_the_key_in_the_header_only(
    world: World, platform: Platform
) -> None:
    circle, transport = gateway_to(world)
    for key in KEYS[:5]:
        await circle.submit_transfer(key, order(platform, "0.01"))
    posts = [orjson.loads(request.body) for request in transport.sent if request.method == "POST"]
    assert len({post["entitySecretCiphertext"] for post in posts}) == 5
    assert len({request.headers["x-request-id"] for request in transport.sent}) == len(transport.sent)
    assert [request.url for request in transport.sent].count(f"{API}/v1/w3s/config/entity/publicKey") == 1
    assert all(b"sandbox-secret" not in request.body for request in transport.sent)


async def test_the_public_key_is_fetched_once_by_many_at_once_and_anew_when_circle_changed_it(
    world: World, platform: Platform
) -> None:
    circle, transport = gateway_to(world)
    await asyncio.gather(*(circle.create_wallet_set(key, "x") for key in KEYS[:10]))
    assert public_key_fetches(transport) == 1
    changed = World(seed=7)
    changed.circle.custody.entity = _other_rsa_key(changed)
    transport.services[API] = changed.circle
    await circle.create_wallet_set(KEYS[50], "y")
    assert public_key_fetches(transport) == 2


def _other_rsa_key(world: World) -> Entity:
    entity = world.circle.custody.entity
    return Entity(entity.app_id, entity.api_keys, rsa_key(2048), entity.secret)


def public_key_fetches(transport: ServiceTransport) -> int:
    return sum(request.url.endswith("/publicKey") for request in transport.sent)


async def test_the_wallet_signs_its_slot_of_a_transaction(
    circle: CircleGateway, world: World, platform: Platform
) -> None:
    payer = Pubkey.from_string(platform.address)
    message = Message.new_with_blockhash(
        [transfer(TransferParams(from_pubkey=payer, to_pubkey=Keypair().pubkey(), lamports=5_000))],
        payer,
        Hash.new_unique(),
    )
    wire = bytes(VersionedTransaction.from_legacy(Transaction.new_unsigned(message)))
    for lane in Lane:
        signature = await circle.sign_transaction(platform.wallet_id, wire, "mint of pi_1", lane)
        assert Signature.from_string(signature).verify(payer, bytes(message))
    world.circle.faults.add(Rule("sign/transaction", Fault.LOSE_ANSWER))
    with pytest.raises(Retryable):
        await circle.sign_transaction(platform.wallet_id, wire, "mint of pi_1", Lane.MINT)


async def test_what_a_wallet_can_not_sign_is_refused(circle: CircleGateway, platform: Platform) -> None:
    with pytest.raises(Rejected) as refusal:
        await circle.sign_transaction(platform.wallet_id, b"\x00", "x", Lane.PAYOUT)
    assert refusal.value.code == "2"


async def test_transactions_are_listed_from_a_time_on_in_pages_and_a_broken_listing_goes_on(
    circle: CircleGateway, world: World, platform: Platform
) -> None:
    for key in KEYS[:60]:
        await circle.submit_transfer(key, order(platform, "0.01"))
    world.pass_ms(60_000)
    later = START + timedelta(milliseconds=world.now_ms - START_MS)
    await circle.submit_transfer(KEYS[60], order(platform, "0.02"))
    pages = [page async for page in circle.list_transactions(platform.wallet_id, START)]
    assert [len(page.transactions) for page in pages] == [50, 11]
    assert [found.create_date for page in pages for found in page.transactions] == sorted(
        found.create_date for page in pages for found in page.transactions
    )
    rest = [page async for page in circle.list_transactions(platform.wallet_id, START, pages[0].next_cursor)]
    assert rest == pages[1:]
    newest = [page async for page in circle.list_transactions(platform.wallet_id, later)]
    assert [found.amounts for page in newest for found in page.transactions] == [("0.02",)]
    for address, there in ((SOMEONE, 61), (platform.address, 0)):
        to_it = [page async for page in circle.list_transactions(platform.wallet_id, START, destination=address)]
        assert sum(len(page.transactions) for page in to_it) == there
    inbound = [page async for page in circle.list_transactions(platform.wallet_id, START, tx_type="INBOUND")]
    assert {found.transaction_type for page in inbound for found in page.transactions} == {"INBOUND"}


async def test_subscriptions_are_made_and_listed(circle: CircleGateway) -> None:
    assert await circle.list_subscriptions() == []
    made = await circle.create_subscription("https://agent.example/api/circle/webhook/")
    assert await circle.list_subscriptions() == [made]
    assert (made.enabled, made.notification_types) == (True, ("transactions.*", "challenges.*"))


async def test_at_circles_real_rates_nothing_is_refused(platform: Platform, world: World) -> None:
    world.circle.limits = "real"
    circle, _ = gateway_to(world, Rates())
    start_ms = world.now_ms
    for key in KEYS[:40]:
        await circle.submit_transfer(key, order(platform, "0.01"))
    wire = base64.b64decode("AQAB")
    for _ in range(40):
        with pytest.raises(Rejected):
            await circle.sign_transaction(platform.wallet_id, wire, "x", Lane.PAYOUT)
    assert world.circle.rates.refused == 0
    assert (world.now_ms - start_ms) / 1000 == pytest.approx(39 / 5 + 40 / 10, abs=0.5)


async def test_a_refusal_by_rate_holds_the_class_for_a_moment(platform: Platform, world: World) -> None:
    world.circle.limits = "real"
    circle, _ = gateway_to(world, Rates(write=50))
    refused = 0
    for key in KEYS[:20]:
        try:
            await circle.submit_transfer(key, order(platform, "0.01"))
        except Retryable:
            refused += 1
    assert 0 < refused < 5


def test_a_secret_of_the_wrong_form_is_not_shown(world: World) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal") as failure:
        gateway_to(world, secret="canary")
    assert "canary" not in str(failure.value)
    gateway, _ = gateway_to(world)
    assert "sandbox-secret" not in repr(gateway) + repr(vars(gateway))
