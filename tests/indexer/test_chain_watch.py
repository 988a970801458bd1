"""Whether this is the chain we were told it is, and what happens when it changes."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from sqlalchemy import select

from chain import programs
from domain.errors import Rejected, Retryable
from indexer.chain_watch import ChainWatch
from indexer.guard import GENESIS_HASHES, ChainGuard
from indexer.rpc.pool import RpcPool
from metrics import Metrics
from ports.transport import HttpResponse
from sandbox.faults import Fault, Rule
from sandbox.solana_node.token_layouts import TOKEN, mint_data
from storage.tables import state_history
from storage.treasury.chain_facts import known_facts
from tests.indexer.world import HOST, SLOT_SECONDS, Indexed
from tests.sandbox.solana.world import SOL

Quick = Callable[..., Indexed]
BUYER = Keypair.from_seed(bytes([8] * 32)).pubkey()
USDC = 10**6


def guard(indexed: Indexed, genesis: str = GENESIS_HASHES["devnet"], mint: str | None = None) -> ChainGuard:
    return ChainGuard(
        indexed.rpc,
        indexed.clock,
        expected_genesis=genesis,
        usdc_mint=mint or indexed.usdc_mint,
        platform_wallet=indexed.wallet,
    )


async def test_the_right_chain_passes_and_its_slot_time_is_measured(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    found = await guard(indexed).check()
    assert found.slot_seconds == pytest.approx(SLOT_SECONDS, rel=0.2)
    assert found.genesis_hash == GENESIS_HASHES["devnet"]
    assert found.version


async def test_another_cluster_stops_the_start_even_if_one_endpoint_alone_is_on_it(quick: Quick) -> None:
    with pytest.raises(Rejected, match="SOLANA_RPC_URLS") as caught:
        await guard(quick(), GENESIS_HASHES["mainnet"]).check()
    assert caught.value.code == "wrong_cluster"
    indexed = quick("/a", "/b")
    indexed.world.node.endpoints["/b"].lies["getGenesisHash"] = lambda _: GENESIS_HASHES["mainnet"]
    with pytest.raises(Rejected, match="rpc2"):
        await guard(indexed).check()


async def test_one_unreachable_endpoint_is_borne_and_all_of_them_are_not(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    indexed.world.node.faults.add(Rule("POST /a", Fault.LOSE_REQUEST, times=1000))
    await guard(indexed).check()
    indexed.world.node.faults.add(Rule("POST /b", Fault.LOSE_REQUEST, times=1000))
    with pytest.raises(Rejected, match="SOLANA_RPC_URLS: no RPC endpoint answered") as caught:
        await guard(indexed).check()
    assert caught.value.code == "rpc_unreachable"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mint", ["no such account", "nine decimals", "a wallet"])
async def test_a_mint_that_is_not_usdc_stops_the_start(quick: Quick, mint: str) -> None:
    indexed = quick()
    address = Keypair.from_seed(bytes([5] * 32)).pubkey()
    if mint == "nine decimals":
        indexed.world.node.place_account(address, Account(SOL, mint_data(BUYER, 9), TOKEN))
    if mint == "a wallet":
        address = indexed.world.alice.pubkey()
    with pytest.raises(Rejected) as caught:
        await guard(indexed, mint=str(address)).check()
    assert caught.value.code == "wrong_usdc_mint"


async def test_a_frozen_usdc_account_stops_the_start(quick: Quick) -> None:
    indexed = quick()
    indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), USDC)
    indexed.finalize()
    address = Pubkey.from_string(indexed.usdc_account)
    account = indexed.world.node.account(address)
    assert account is not None
    frozen = bytes(account.data[:108]) + b"\x02" + bytes(account.data[109:])
    indexed.world.node.place_account(address, Account(account.lamports, frozen, TOKEN))
    with pytest.raises(Rejected) as caught:
        await guard(indexed).check()
    assert caught.value.code == "usdc_frozen"


async def test_lamports_at_the_address_of_a_usdc_account_that_is_not_made_yet_stop_nothing(quick: Quick) -> None:
    """Anyone may send some there before the first deposit makes the account."""
    indexed = quick("/a", "/b")
    account = Pubkey.from_string(indexed.usdc_account)
    indexed.world.node.place_account(account, Account(SOL, b"", Pubkey.from_string(programs.SYSTEM)))
    indexed.finalize()
    await guard(indexed).check()
    assert await indexed.treasury.unseen_outflow() == 0
    indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), USDC)
    indexed.finalize()
    assert (await indexed.treasury.follow()).deposits == 1
    assert (await indexed.rpc.get_token_amount(indexed.usdc_account)).amount == USDC
    assert [one.errors for one in indexed.rpc.health()] == [0, 0]


async def test_a_chain_that_stands_still_stops_the_start(quick: Quick) -> None:
    indexed = quick()
    slot = await indexed.rpc.get_slot()
    indexed.world.node.endpoints["/"].lies["getSlot"] = lambda _: slot
    with pytest.raises(Rejected) as caught:
        await guard(indexed).check()
    assert caught.value.code == "chain_stands_still"


async def test_what_the_chain_is_like_is_read_and_not_assumed(quick: Quick) -> None:
    indexed = quick()
    indexed.world.node.set_rent(1234)
    found = await guard(indexed).check()
    assert found.rent_lamports == indexed.world.node.minimum_rent(165)
    assert (found.fee_lamports, found.transaction_version) == (5000, 1)
    assert (found.usdc_decimals, found.usdc_freeze_authority, found.usdc_frozen) == (6, None, False)


async def test_a_cluster_that_cannot_read_the_newest_transactions_is_found_out(quick: Quick) -> None:
    indexed = quick()
    refused = b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32602,"message":"failed to deserialize"}}'

    class Old:
        """A node from before v1: it answers the trial run with what it makes of the bytes."""

        def __init__(self) -> None:
            self.inner = indexed.wire

        async def send(self, request: Any) -> Any:
            answer = await self.inner.send(request)
            if b"simulateTransaction" not in request.body:
                return answer
            number = orjson.loads(request.body)["id"]
            return HttpResponse(200, {}, refused % number)

        async def close(self) -> None: ...

    indexed.rpc = RpcPool([HOST + "/"], Old(), indexed.clock, requests_per_second=1e6, slot_seconds=SLOT_SECONDS)
    assert (await guard(indexed).check()).transaction_version == 0


class Watched:
    """The watch over one chain, with real metrics."""

    def __init__(self, indexed: Indexed) -> None:
        self.indexed, self.metrics = indexed, Metrics()
        self.watch = ChainWatch(guard(indexed), indexed.rpc, indexed.store, indexed.clock, self.metrics)

    def shown(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"payment_agent_{name}", labels)

    async def facts(self) -> dict[str, str]:
        return {fact.name: fact.value for fact in await self.indexed.store.read(known_facts)}

    async def history(self) -> list[tuple[str, str | None]]:
        query = select(state_history.c.subject, state_history.c.reason).where(state_history.c.machine == "chain")
        return [
            (row.subject, row.reason) for row in await self.indexed.store.read(lambda conn: conn.execute(query).all())
        ]

    async def run_for(self, seconds: float) -> None:
        running = asyncio.create_task(self.watch.run())
        begun = self.indexed.clock.monotonic()
        while self.indexed.clock.monotonic() - begun < seconds:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_is_found_at_the_start_is_stored_and_shown_and_is_no_change(quick: Quick) -> None:
    watched = Watched(quick("/a", "/b"))
    found = await watched.watch.check()
    assert (await watched.facts())["rent_lamports"] == str(found.rent_lamports)
    assert watched.shown("chain_token_account_rent_lamports") == found.rent_lamports
    assert watched.shown("chain_signature_fee_lamports") == 5000
    assert watched.shown("chain_fact_changes_total", fact="rent_lamports") == 0
    assert watched.shown("rpc_endpoint_well", endpoint="2") == 1
    assert await watched.history() == []


async def test_a_rent_that_changes_is_seen_within_the_hour_with_its_history(indexed: Indexed) -> None:
    watched = Watched(indexed)
    before = (await watched.watch.check()).rent_lamports
    watched.indexed.world.node.set_rent(1000)
    await watched.run_for(3700)
    after = watched.indexed.world.node.minimum_rent(165)
    assert after != before
    assert await watched.history() == [("rent_lamports", f"{before} → {after}")]
    assert watched.shown("chain_fact_changes_total", fact="rent_lamports") == 1
    await watched.run_for(3700)
    assert len(await watched.history()) == 1


async def test_a_slot_time_that_drifts_a_little_is_none_and_one_that_doubles_is_a_change(quick: Quick) -> None:
    watched = Watched(quick("/a", "/b"))
    await watched.watch.check()
    for slot_ms, changes in ((11, 0), (20, 1), (22, 1)):
        watched.indexed.world.node.slots.set_slot_ms(slot_ms)
        await watched.run_for(7300)
        assert len(await watched.history()) == changes, slot_ms


async def test_an_endpoint_that_moves_to_another_cluster_is_asked_nothing_until_it_is_back(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    watched = Watched(indexed)
    await watched.watch.check()
    indexed.world.node.endpoints["/a"].lies["getGenesisHash"] = lambda _: GENESIS_HASHES["mainnet"]
    await watched.run_for(3700)
    assert "SOLANA_RPC_URLS: rpc1" in watched.watch.trouble()[-1]
    assert watched.shown("chain_trouble") == len(watched.watch.trouble()) == 2  # and proofs have one witness only
    calls = indexed.rpc.health()[0].calls
    await indexed.rpc.get_balance(indexed.wallet)
    assert indexed.rpc.health()[0].calls == calls
    with pytest.raises(Retryable, match="left out"):
        await indexed.rpc.agree_absent(indexed.wallet)
    indexed.world.node.endpoints["/a"].lies.clear()
    await watched.run_for(120)
    assert watched.watch.trouble() == []
    assert await indexed.rpc.agree_absent(indexed.wallet) is False


async def test_a_frozen_usdc_account_is_trouble_while_it_lasts_and_ends_nothing(quick: Quick) -> None:
    indexed = quick()
    indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), USDC)
    indexed.finalize()
    watched = Watched(indexed)
    await watched.watch.check()
    address = Pubkey.from_string(indexed.usdc_account)
    account = indexed.world.node.account(address)
    assert account is not None
    frozen = bytes(account.data[:108]) + b"\x02" + bytes(account.data[109:])
    indexed.world.node.place_account(address, Account(account.lamports, frozen, TOKEN))
    await watched.run_for(3700)
    assert "frozen" in watched.watch.trouble()[0]
    assert watched.shown("chain_usdc_frozen") == 1
    assert indexed.usdc_account not in " ".join(watched.watch.trouble_without_addresses())
    indexed.world.node.place_account(address, account)
    await watched.run_for(120)
    assert watched.watch.trouble() == []
    assert [name for name, _ in await watched.history()] == ["usdc_frozen", "usdc_frozen"]


async def test_endpoints_that_stop_answering_are_trouble_and_their_return_ends_it(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    watched = Watched(indexed)
    await watched.watch.check()
    fault = indexed.world.node.faults.add(Rule("POST /", Fault.LOSE_REQUEST, times=10_000))
    await watched.run_for(100)
    assert watched.watch.trouble()[0].startswith("no RPC endpoint has answered")
    fault.times = 0
    await watched.run_for(70)
    assert watched.watch.trouble() == []
    assert watched.shown("chain_trouble") == 0
