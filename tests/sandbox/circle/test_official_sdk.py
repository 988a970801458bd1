"""Circle's official Python SDK against the sandbox, over real sockets."""

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, TypeVar, cast
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from sandbox.circle_service import Platform
from tests.sandbox.circle.server import Server, running
from tests.sandbox.circle.world import API_KEY, SECRET, USDC_ID, USDC_MINT

cfg, dcw, ucw, utils = (
    cast(Any, import_module(f"circle.web3.{name}"))  # half of the SDK is untyped
    for name in ("configurations", "developer_controlled_wallets", "user_controlled_wallets", "utils")
)
T = TypeVar("T")
WAIT_SECONDS = 60
DEVNET = "SOL-DEVNET"


def wait_for(look: Callable[[], T | None]) -> T:
    """Ask until there is an answer. The SDK is synchronous, so this waits by asking, bounded in time."""
    end, pause = time.monotonic() + WAIT_SECONDS, threading.Event()
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        pause.wait(0.02)
    raise AssertionError("it did not happen in time")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module: the SDK keeps one host per process in its globals."""
    with running() as running_server:
        utils.CONF_CLIENT = utils.CIRCLE_PUBLIC_KEY = None
        utils.init_configurations_client(api_key=API_KEY, host=running_server.url)
        yield running_server
        utils.CONF_CLIENT = utils.CIRCLE_PUBLIC_KEY = None


@pytest.fixture(scope="module")
def developer(server: Server) -> Any:
    return utils.init_developer_controlled_wallets_client(api_key=API_KEY, entity_secret=SECRET, host=server.url)


@pytest.fixture(scope="module")
def users(server: Server) -> Any:
    return utils.init_user_controlled_wallets_client(api_key=API_KEY, host=server.url)


@pytest.fixture
def platform(server: Server) -> Platform:
    assert server.platform is not None
    return server.platform


def control(server: Server, path: str, body: dict[str, Any]) -> Any:
    request = Request(f"{server.url}/_sandbox/{path}", json.dumps(body).encode(), method="POST")
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_wallet_sets_and_wallets(developer: Any) -> None:
    sets, wallets = dcw.WalletSetsApi(developer), dcw.WalletsApi(developer)
    made = sets.create_wallet_set(dcw.CreateWalletSetRequest(name="ops")).data.wallet_set.actual_instance
    assert sets.get_wallet_set(made.id).data.wallet_set.actual_instance.id == made.id
    assert made.id in [each.actual_instance.id for each in sets.get_wallet_sets(page_size=50).data.wallet_sets]
    request = dcw.CreateWalletRequest(
        wallet_set_id=made.id,
        blockchains=[DEVNET],
        account_type="EOA",
        count=2,
        metadata=[dcw.WalletMetadata(name=f"hot{n}", ref_id=f"{made.id}-{n}") for n in range(2)],
    )
    created = [each.actual_instance for each in wallets.create_wallet(request).data.wallets]
    assert [each.name for each in created] == ["hot0", "hot1"]
    found = wallets.get_wallets(
        ref_id=f"{made.id}-1",
        blockchain=DEVNET,
        var_from=datetime(2026, 1, 1, tzinfo=UTC),
        page_size=10,
        order="ASC",
    ).data.wallets
    assert [each.actual_instance.id for each in found] == [created[1].id]
    assert wallets.get_wallet(created[0].id).data.wallet.actual_instance.address == created[0].address
    renamed = wallets.update_wallet(created[0].id, dcw.UpdateWalletRequest(name="cold"))
    assert renamed.data.wallet.actual_instance.name == "cold"


def test_wallet_creation_is_idempotent(developer: Any) -> None:
    key = str(uuid.UUID(bytes=bytes(range(16)), version=4))
    sets = dcw.WalletSetsApi(developer)
    answers = [
        sets.create_wallet_set_with_http_info(dcw.CreateWalletSetRequest(name="same", idempotency_key=key))
        for _ in range(2)
    ]
    assert [each.status_code for each in answers] == [201, 200]
    ids = {each.data.data.wallet_set.actual_instance.id for each in answers}
    assert len(ids) == 1
    with pytest.raises(dcw.exceptions.ForbiddenException) as refused:
        sets.create_wallet_set(dcw.CreateWalletSetRequest(name="other", idempotency_key=key))
    assert json.loads(refused.value.body)["code"] == 156020


def test_balances(developer: Any, platform: Platform) -> None:
    wallets = dcw.WalletsApi(developer)

    def usdc() -> Any:
        balances = wallets.list_wallet_balance(platform.wallet_id, include_all=True, token_address=USDC_MINT)
        return balances.data.token_balances

    balance = wait_for(usdc)[0]
    assert (balance.token.id, balance.token.symbol, balance.token.decimals) == (USDC_ID, "USDC", 6)
    together = wallets.get_wallets_with_balances(DEVNET, address=platform.address).data.wallets
    assert together[0].token_balances
    assert wallets.list_wallet_nfts(platform.wallet_id).data.nfts == []


def test_a_transfer_from_order_to_complete(developer: Any, platform: Platform) -> None:
    api = dcw.TransactionsApi(developer)
    payee = str(Keypair.from_seed(bytes([21]) * 32).pubkey())
    wait_for(lambda: dcw.WalletsApi(developer).list_wallet_balance(platform.wallet_id).data.token_balances)
    valid = api.create_validate_address(dcw.ValidateAddressRequest(address=payee, blockchain=DEVNET))
    assert valid.data.is_valid
    estimate = api.create_transfer_estimate_fee(
        dcw.EstimateTransferTransactionFeeRequest(
            amounts=["1.5"], destination_address=payee, token_id=USDC_ID, wallet_id=platform.wallet_id
        )
    )
    assert estimate.data.high.network_fee == "0.000007"
    sent = api.create_developer_transaction_transfer(
        dcw.CreateTransferTransactionForDeveloperRequest(
            amounts=["1.5"],
            destination_address=payee,
            token_id=USDC_ID,
            wallet_id=platform.wallet_id,
            fee_level="MEDIUM",
            ref_id="payout-7",
        )
    )
    assert sent.data.state.value == "INITIATED"

    def done() -> Any:
        found = api.get_transaction(sent.data.id, tx_type="OUTBOUND").data.transaction
        return found if found.state.value == "COMPLETE" else None

    transaction = wait_for(done)
    assert transaction.ref_id == "payout-7"
    listed = api.list_transactions(
        wallet_ids=platform.wallet_id, state="COMPLETE", tx_type="OUTBOUND"
    ).data.transactions
    assert transaction.id in [each.id for each in listed]


def test_a_transfer_by_address(developer: Any, platform: Platform) -> None:
    api = dcw.TransactionsApi(developer)
    wait_for(lambda: dcw.WalletsApi(developer).list_wallet_balance(platform.wallet_id).data.token_balances)
    blockchain = dcw.CreateTransferTransactionForDeveloperRequestBlockchain(dcw.TransferBlockchain(DEVNET))
    sent = api.create_developer_transaction_transfer(
        dcw.CreateTransferTransactionForDeveloperRequest(
            amounts=["0.01"],
            destination_address=str(Keypair.from_seed(bytes([22]) * 32).pubkey()),
            token_address=USDC_MINT,
            blockchain=blockchain,
            wallet_address=platform.address,
            fee_level="LOW",
        )
    )
    assert uuid.UUID(sent.data.id)


def test_refusals_are_the_sdks_own_exceptions(developer: Any, platform: Platform) -> None:
    api = dcw.TransactionsApi(developer)
    with pytest.raises(dcw.exceptions.NotFoundException):
        api.get_transaction(str(uuid.UUID(bytes=bytes(range(16)), version=4)))
    with pytest.raises(dcw.exceptions.BadRequestException) as refused:
        api.create_developer_transaction_transfer(
            dcw.CreateTransferTransactionForDeveloperRequest(
                amounts=["1000000000"],
                destination_address=platform.address,
                token_id=USDC_ID,
                wallet_id=platform.wallet_id,
                fee_level="LOW",
            )
        )
    assert json.loads(refused.value.body)["code"] == 155258


def test_signing(developer: Any, platform: Platform) -> None:
    api = dcw.SigningApi(developer)
    payer = Pubkey.from_string(platform.address)
    pay = transfer(TransferParams(from_pubkey=payer, to_pubkey=Keypair().pubkey(), lamports=1))
    message = MessageV0.try_compile(payer, [pay], [], Hash.default())
    raw = base64.b64encode(bytes(VersionedTransaction.populate(message, [Signature.default()]))).decode()
    signed = api.sign_transaction(
        dcw.SignTransactionRequest(wallet_id=platform.wallet_id, raw_transaction=raw, memo="m")
    )
    assert Signature.from_string(signed.data.signature).verify(payer, to_bytes_versioned(message))
    assert base64.b64decode(signed.data.signed_transaction)
    text = api.sign_message(dcw.SignMessageRequest(wallet_id=platform.wallet_id, message="0xabcd", encoded_by_hex=True))
    assert len(bytes.fromhex(text.data.signature[2:])) == 64


def test_users_and_their_wallets(users: Any) -> None:
    name = f"user-{uuid.UUID(bytes=bytes(16), version=4)}"
    pins, people, wallets = ucw.PINAuthenticationApi(users), ucw.UsersApi(users), ucw.WalletsApi(users)
    pins.create_user(ucw.CreateUserRequest(user_id=name))
    with pytest.raises(ucw.exceptions.ApiException) as taken:
        pins.create_user(ucw.CreateUserRequest(user_id=name))
    assert (taken.value.status, json.loads(taken.value.body)["code"]) == (409, 155101)
    token = pins.get_user_token(ucw.UserTokenRequest(user_id=name)).data.user_token
    challenge = people.create_user_with_pin_challenge(
        token, ucw.SetPinAndInitWalletRequest(account_type="EOA", blockchains=[DEVNET])
    ).data.challenge_id
    found = wait_for(lambda: wallets.list_wallets(token).data.wallets)[0].actual_instance
    assert found.user_id == name
    shown = people.get_user_challenge(token, challenge).data.challenge
    assert (shown.status, shown.correlation_ids) == ("COMPLETE", [found.id])
    assert people.get_user(name).data.user.pin_status.value == "ENABLED"
    assert people.get_user_by_token(token).data.id == name
    assert name in [each.id for each in people.list_users(page_size=50).data.users]
    assert wallets.list_wallet_balance(token, found.id).data.token_balances == []


def test_subscriptions_and_signed_notifications(server: Server, platform: Platform) -> None:
    api = cfg.WebhookSubscriptionsApi(utils.CONF_CLIENT)
    made = api.create_subscription(
        cfg.CreateSubscriptionRequest(endpoint=server.hook_url, notification_types=["transactions.*"])
    ).data
    assert made.restricted
    assert made.id in [each.id for each in api.get_subscriptions().data]
    wait_for(lambda: server.probes)
    control(server, "faucet", {"walletId": platform.wallet_id, "usdc": "5"})

    def arrived() -> Any:
        return [each for each in server.received if b"transactions.inbound" in each.body]

    first = wait_for(arrived)[0]
    key = api.get_notification_signature(first.headers["x-circle-key-id"]).data
    public = serialization.load_der_public_key(base64.b64decode(key.public_key))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(first.headers["x-circle-signature"]), first.body, ec.ECDSA(hashes.SHA256()))
    changed = api.update_subscription(made.id, cfg.UpdateSubscriptionRequest(name="new", enabled=False)).data
    assert changed.enabled is False
    api.delete_subscription(made.id)


def test_configuration_and_health(server: Server) -> None:
    assert server.url
    account = cfg.DeveloperAccountApi(utils.CONF_CLIENT)
    assert account.get_public_key().data.public_key.startswith("-----BEGIN PUBLIC KEY-----")
    assert uuid.UUID(account.get_entity_config().data.app_id)
    assert cfg.HealthApi(utils.CONF_CLIENT).ping().message == "pong"
