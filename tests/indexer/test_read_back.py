"""What a transaction of ours really did."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.nft_plan import NftPlan
from domain.errors import AlreadyProcessed, Retryable
from domain.evidence import TransferIntent
from indexer.readback import ReadBack
from indexer.rpc.errors import Disagreement
from indexer.sender import Sender
from sandbox.faults import Fault, Rule
from sandbox.solana_node.slots import Commitment
from tests.indexer.world import Indexed
from tests.sandbox.solana.world import NFT_SEED, SOL, mint_nft

Quick = Callable[..., Indexed]
BUYER = Keypair.from_seed(bytes([8] * 32)).pubkey()
USDC = 10**6


def reader(indexed: Indexed) -> ReadBack:
    return ReadBack(indexed.rpc, indexed.wallet, indexed.usdc_mint)


def plan(indexed: Indexed, name: str = "Sunrise #7") -> NftPlan:
    return NftPlan.derived(
        seed=NFT_SEED,
        platform_wallet=indexed.wallet,
        buyer=str(BUYER),
        name=name,
        symbol="RNB",
        uri="ipfs://bafybeigdyrzt5",
    )


async def test_a_mint_is_read_back_only_at_finalized_and_held_against_its_plan(quick: Quick) -> None:
    indexed = quick()
    signature = indexed.world.send(mint_nft(indexed.world, BUYER))
    with pytest.raises(Retryable):
        await reader(indexed).mint_evidence(signature, plan(indexed))
    indexed.finalize()
    evidence = await reader(indexed).mint_evidence(signature, plan(indexed))
    assert evidence.matches, evidence.why
    assert evidence.cost_lamports == 100 * SOL - indexed.world.lamports(indexed.world.alice)
    other = await reader(indexed).mint_evidence(signature, plan(indexed, "Moonrise #7"))
    assert not other.matches
    assert other.why.startswith("wrong_metadata")


async def test_the_maker_of_a_mint_is_found_though_strangers_sent_to_its_address(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    address = plan(indexed).mint_address
    assert await reader(indexed).maker_of(address) is None
    indexed.world.node.airdrop(Pubkey.from_string(address), 1_000_000)
    indexed.finalize()
    assert await reader(indexed).maker_of(address) is None
    signature = indexed.world.send(mint_nft(indexed.world, BUYER))
    indexed.finalize()
    indexed.world.node.airdrop(Pubkey.from_string(address), 5)
    indexed.finalize()
    assert await reader(indexed).maker_of(address) == signature


async def test_a_mint_is_absent_only_when_two_endpoints_say_so(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    address = plan(indexed).mint_address
    indexed.world.node.faults.add(Rule("POST /b", Fault.LOSE_ANSWER, times=1))
    with pytest.raises(Retryable):
        await reader(indexed).maker_of(address)
    indexed.world.send(mint_nft(indexed.world, BUYER))
    indexed.finalize()
    indexed.world.node.endpoints["/a"].lies["getMultipleAccounts"] = lambda _: {
        "context": {"slot": indexed.rpc.finalized_slot},
        "value": [None],
    }
    with pytest.raises(Disagreement):
        await reader(indexed).maker_of(address)


async def test_a_transfer_is_held_against_its_intent(quick: Quick) -> None:
    indexed = quick()
    indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), 10 * USDC)
    signature = indexed.world.send(indexed.world.pay_usdc(3 * USDC, BUYER), skipPreflight=True)
    indexed.finalize()
    good = TransferIntent(indexed.wallet, str(BUYER), 3 * USDC)
    evidence = await reader(indexed).transfer_evidence(signature, good)
    assert evidence.matches
    assert evidence.block_time is not None
    for intent in (
        TransferIntent(indexed.wallet, str(BUYER), 3 * USDC + 1),
        TransferIntent(indexed.wallet, str(indexed.world.bob.pubkey()), 3 * USDC),
        TransferIntent(str(BUYER), indexed.wallet, 3 * USDC),
    ):
        assert not (await reader(indexed).transfer_evidence(signature, intent)).matches


async def test_a_transaction_is_read_from_the_endpoints_that_have_it(quick: Quick) -> None:
    indexed = quick("/a", "/b", "/c")
    signature = indexed.world.send(indexed.world.pay(SOL))
    other = indexed.world.send(indexed.world.pay(2 * SOL))
    indexed.finalize()
    indexed.world.node.endpoints["/a"].hides.add(signature)
    assert (await reader(indexed).read_back(signature)).signature == signature
    answer = indexed.world.rpc("getTransaction", other, {"encoding": "base64", "maxSupportedTransactionVersion": 1})
    indexed.world.node.endpoints["/a"].lies["getTransaction"] = lambda _: answer  # another transaction than asked for
    assert (await reader(indexed).read_back(signature)).signature == signature


def shown(indexed: Indexed, signature: str) -> Any:
    config = {"encoding": "base64", "maxSupportedTransactionVersion": 1}
    return indexed.world.rpc("getTransaction", signature, config)


async def test_a_transaction_that_one_endpoint_alone_shows_is_no_evidence(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    signature = indexed.world.send(indexed.world.pay(SOL))
    indexed.finalize()
    indexed.world.node.endpoints["/b"].hides.add(signature)
    with pytest.raises(Retryable, match="fewer than 2 RPC endpoints"):
        await reader(indexed).read_back(signature)


async def test_an_endpoint_that_invents_an_amount_is_contradicted_and_outvoted(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), 10 * USDC)
    signature = indexed.world.send(indexed.world.pay_usdc(3 * USDC, BUYER), skipPreflight=True)
    indexed.finalize()
    truth = shown(indexed, signature)
    invented = orjson.loads(orjson.dumps(truth).replace(b'"7000000"', b'"2000000"').replace(b'"3000000"', b'"8000000"'))
    assert invented != truth
    indexed.world.node.endpoints["/a"].lies["getTransaction"] = lambda _: invented
    intent = TransferIntent(indexed.wallet, str(BUYER), 8 * USDC)
    with pytest.raises(Disagreement):
        await reader(indexed).transfer_evidence(signature, intent)
    indexed.restart(("/a", "/b", "/c"))
    evidence = await reader(indexed).transfer_evidence(signature, replace(intent, amount=3 * USDC))
    assert evidence.matches
    assert indexed.wire.count("getTransaction") == 3


async def test_an_endpoint_that_was_heard_and_contradicted_is_asked_anew(quick: Quick) -> None:
    """What it had shown once was held against the others for as long as the process lived."""
    indexed = quick("/a", "/b")
    indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), 10 * USDC)
    signature = indexed.world.send(indexed.world.pay_usdc(3 * USDC, BUYER), skipPreflight=True)
    indexed.finalize()
    truth = shown(indexed, signature)
    cut = orjson.loads(orjson.dumps(truth).replace(b'"7000000"', b'"2000000"').replace(b'"3000000"', b'"8000000"'))
    read, others = reader(indexed), indexed.world.node.endpoints
    others["/a"].lies["getTransaction"] = others["/b"].lies["getTransaction"] = lambda _: cut
    heard = await read.hear(signature)
    for one in others.values():
        one.lies.clear()
    with pytest.raises(Disagreement):
        await read.read_back(signature, heard)
    again = await read.hear(signature)
    assert (await read.read_back(signature, again)).signature == signature


async def test_what_two_endpoints_have_shown_is_asked_for_once(quick: Quick) -> None:
    indexed = quick("/a", "/b", "/c")
    signature = indexed.world.send(indexed.world.pay(SOL))
    indexed.finalize()
    read = reader(indexed)
    assert await read.read_back(signature) == await read.read_back(signature)
    assert indexed.wire.count("getTransaction") == 2


async def test_a_sender_builds_on_confirmed_blocks(quick: Quick) -> None:
    indexed = quick()
    sender = Sender(indexed.rpc)
    _, last_valid = await sender.latest_blockhash()
    assert last_valid == await indexed.rpc.get_block_height("confirmed") + 150
    assert await sender.minimum_rent(234) == indexed.world.node.minimum_rent(234)
    raw = indexed.world.pay(SOL)
    await sender.send(raw, skip_preflight=False)
    indexed.world.pass_slots(2)
    assert await sender.lamports(str(indexed.world.bob.pubkey())) == SOL
    await sender.send(raw, skip_preflight=True)
    with pytest.raises(AlreadyProcessed):
        await sender.send(raw, skip_preflight=False)


async def test_a_send_with_preflight_goes_only_to_an_endpoint_that_has_the_newest_blockhash(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    sender = Sender(indexed.rpc)
    indexed.world.node.endpoints["/b"].lag_slots = 20
    await sender.latest_blockhash()
    raw = indexed.world.pay(SOL, blockhash=indexed.world.node.latest_blockhash(Commitment.CONFIRMED)[0])
    indexed.world.node.faults.add(Rule("POST /a", Fault.STATUS, status=429, times=1))
    with pytest.raises(Retryable, match="Minimum context slot"):
        await sender.send(raw, skip_preflight=False)
    assert indexed.world.lamports(indexed.world.bob) == 0
