"""solana-py talks to the node over real sockets, HTTP and WebSocket."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.models import TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from sandbox.solana_node import Commitment, NodeFront, SolanaNode
from sandbox.solana_node.token_layouts import associated_token_address
from tests.sandbox.solana.world import SOL, World, mint_nft, nft_address

WAIT_SECONDS = 60


class Served:
    def __init__(self, world: World, front: NodeFront) -> None:
        self.world = world
        self.front = front
        self.http = f"http://127.0.0.1:{front.port}/"
        self.ws = f"ws://127.0.0.1:{front.port}/"

    def pass_slots(self, count: int) -> None:
        self.world.pass_slots(count)
        self.front.poke()


@pytest.fixture
async def served(world: World) -> AsyncIterator[Served]:
    front = NodeFront(world.node, lambda: world.now_ms, "127.0.0.1", 0, ws_port=0)
    await front.start()
    try:
        yield Served(world, front)
    finally:
        await front.stop()


@pytest.fixture
async def client(served: Served) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(served.http) as client:
        yield client


async def test_it_reads_the_cluster(served: Served, client: AsyncClient) -> None:
    world = served.world
    assert await client.is_connected()
    assert (await client.get_version()).value.solana_core == "4.2.1"
    assert str((await client.get_genesis_hash()).value).startswith("EtWTRABZ")
    slot = (await client.get_slot(Finalized)).value
    assert slot == (await client.get_slot(Processed)).value - 32
    latest = await client.get_latest_blockhash()
    assert latest.value.last_valid_block_height == (await client.get_block_height(Finalized)).value + 150
    assert (await client.get_epoch_info()).value.absolute_slot == slot
    assert (await client.get_block_time(slot)).value == world.node.slots.block_time(slot)
    assert (await client.get_minimum_balance_for_rent_exemption(165)).value == world.node.minimum_rent(165)
    assert len((await client.get_recent_prioritization_fees()).value) == 150
    assert (await client.get_transaction_count()).value == 1


async def test_it_sends_and_follows_a_payment(served: Served, client: AsyncClient) -> None:
    world = served.world
    transaction = VersionedTransaction.from_bytes(world.pay(SOL, form="v0"))
    signature = (await client.send_transaction(transaction, TxOpts(preflight_commitment=Processed))).value
    assert signature == transaction.signatures[0]
    served.pass_slots(40)
    (status,) = (await client.get_signature_statuses([signature])).value
    assert status is not None and status.err is None and status.confirmations is None
    told = (await client.get_transaction(signature, "json", max_supported_transaction_version=0)).value
    assert told is not None and told.transaction.meta is not None
    assert told.transaction.meta.fee == 5000
    parsed = (await client.get_transaction(signature, "jsonParsed", max_supported_transaction_version=0)).value
    assert parsed is not None
    raw = (await client.get_transaction(signature, "base64", max_supported_transaction_version=0)).value
    assert raw is not None and raw.transaction.transaction == transaction
    listed = (await client.get_signatures_for_address(world.bob.pubkey())).value
    assert [entry.signature for entry in listed] == [signature]
    assert (await client.get_balance(world.bob.pubkey())).value == SOL
    assert isinstance(transaction.message, MessageV0)
    fee = await client.get_fee_for_message(transaction.message)
    assert fee.value == 5000


async def test_it_reads_v1_transactions(served: Served, client: AsyncClient) -> None:
    world = served.world
    signature = (await client.send_raw_transaction(world.pay(SOL, form="v1"))).value
    served.pass_slots(40)
    for encoding in ("base64", "json", "jsonParsed"):
        told = (await client.get_transaction(signature, encoding, max_supported_transaction_version=1)).value
        assert told is not None and told.transaction.version == 1


async def test_it_reads_tokens_and_the_nft(served: Served, client: AsyncClient) -> None:
    world = served.world
    alice, bob, usdc = world.alice.pubkey(), world.bob.pubkey(), world.node.usdc_mint
    world.node.mint_usdc(bob, 1_250_000)
    signature = (await client.send_raw_transaction(mint_nft(world, bob))).value
    served.pass_slots(40)
    balance = (await client.get_token_account_balance(associated_token_address(bob, usdc))).value
    assert (balance.amount, balance.ui_amount_string) == ("1250000", "1.25")
    assert (await client.get_token_supply(usdc)).value.amount == "1250000"
    owned = (await client.get_token_accounts_by_owner_json_parsed(bob, TokenAccountOpts(mint=usdc))).value
    assert len(owned) == 1
    mint = (await client.get_account_info_json_parsed(nft_address(alice))).value
    assert mint is not None
    assert mint.data.parsed["info"]["extensions"][1]["state"]["name"] == "Sunrise #7"  # type: ignore[union-attr,index,call-overload]
    many = (await client.get_multiple_accounts([usdc, Pubkey.new_unique()])).value
    assert many[0] is not None and many[1] is None
    told = (await client.get_transaction(signature, "json", max_supported_transaction_version=0)).value
    assert told is not None and told.transaction.meta is not None
    balances = told.transaction.meta.post_token_balances
    assert balances is not None and balances[0].owner == bob


async def test_it_understands_a_refused_and_a_simulated_transaction(served: Served, client: AsyncClient) -> None:
    world = served.world
    with pytest.raises(Exception, match="custom program error: 0x1"):
        await client.send_raw_transaction(world.pay(1000 * SOL))
    simulated = (await client.simulate_transaction(VersionedTransaction.from_bytes(world.pay(SOL)))).value
    assert (simulated.err, simulated.units_consumed) == (None, 150)
    with pytest.raises(Exception, match="Blockhash not found"):
        raw = world.pay(SOL)
        served.pass_slots(400)
        await client.send_raw_transaction(raw)


async def test_it_gets_an_airdrop(served: Served, client: AsyncClient) -> None:
    await client.request_airdrop(served.world.bob.pubkey(), 7 * SOL)
    assert (await client.get_balance(served.world.bob.pubkey(), Processed)).value == 7 * SOL


async def test_its_socket_client_hears_signatures_accounts_logs_and_slots(served: Served) -> None:
    world = served.world
    raw = world.pay(SOL)
    signature = VersionedTransaction.from_bytes(raw).signatures[0]
    async with asyncio.timeout(WAIT_SECONDS), SolanaWsClient(served.ws) as socket:
        by_signature = await socket.signature_subscribe(signature=signature, commitment=Confirmed)
        by_account = await socket.account_subscribe(pubkey=world.bob.pubkey(), commitment=Confirmed, encoding="base64")
        by_logs = await socket.logs_subscribe(commitment=Confirmed)
        by_slot = await socket.slot_subscribe()
        world.node.send_raw(raw)
        served.pass_slots(1)
        told: dict[int, Any] = {}
        while len(told) < 4:
            notification = await socket.recv()
            told[notification.subscription] = notification.result
        await socket.unsubscribe(by_slot)
    assert told[by_signature.subscription_id].value.err is None
    assert told[by_account.subscription_id].value.lamports == SOL
    assert told[by_logs.subscription_id].value.signature == signature
    assert told[by_slot.subscription_id].slot == world.node.tip()


async def test_a_socket_client_that_leaves_is_forgotten(served: Served) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        async with SolanaWsClient(served.ws) as socket:
            await socket.signature_subscribe(signature=Signature.default())
            assert served.world.node.subscriptions.active()
        await _until(lambda: not served.world.node.subscriptions.active())


async def test_plain_clients_may_use_the_port_above(served: Served) -> None:
    async with asyncio.timeout(WAIT_SECONDS), ClientSession() as session:
        address = f"ws://127.0.0.1:{served.front.ws_port}/"
        async with session.ws_connect(address) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
            assert (await socket.receive_json())["result"] >= 1
            served.pass_slots(1)
            assert (await socket.receive_json())["method"] == "slotNotification"
            await served.front.stop()
            assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)


async def test_on_a_running_clock_the_node_tells_by_itself() -> None:
    loop = asyncio.get_running_loop()

    def clock() -> int:
        return int(loop.time() * 1000)

    node = SolanaNode(clock, random.Random(1), slot_ms=2)
    front = NodeFront(node, clock, "127.0.0.1", 0)
    await front.start()
    try:
        async with asyncio.timeout(WAIT_SECONDS), SolanaWsClient(f"ws://127.0.0.1:{front.port}/") as socket:
            signature = Signature.from_string(node.airdrop(Pubkey.new_unique(), SOL))
            await socket.signature_subscribe(signature=signature, commitment=Finalized)
            await socket.recv()
        status = node.signature_status(str(signature))
        assert status is not None and status.commitment is Commitment.FINALIZED
    finally:
        await front.stop()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)
