"""Signatures and their fate: final only at finalized, dead only with proof."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from solders.signature import Signature

from domain.errors import Misuse, Retryable
from domain.states import WatchState
from sandbox.faults import Fault, Rule
from storage import work
from storage.queues import Queue
from storage.tables import jobs
from storage.treasury.chain_rows import Fate, open_watch_count, record_fates, unwatch, watch
from tests.indexer.world import Indexed, subjects
from tests.sandbox.solana.world import SOL

Quick = Callable[..., Indexed]


async def send(indexed: Indexed, lamports: int = SOL, subject: int = 1, *, land: bool = True) -> tuple[str, bytes]:
    """Sign, have it watched, and send it, as the mint step does."""
    latest = await indexed.rpc.latest_blockhash()
    raw = indexed.world.pay(lamports, blockhash=indexed.world.node.latest_blockhash()[0])
    signature = str(Signature.from_bytes(raw[1:65]))
    now = indexed.clock.now()
    await indexed.store.write(lambda conn: watch(conn, signature, "mint", subject, latest.last_valid_block_height, now))
    if land:
        await indexed.rpc.send(raw)
    return signature, raw


async def due(indexed: Indexed) -> list[tuple[str, str]]:
    now = indexed.clock.now()
    claims = await indexed.store.write(lambda conn: work.claim(conn, Queue(jobs), 10, "w", now, timedelta(minutes=1)))
    return subjects(claims)


async def test_a_signature_is_final_only_at_finalized_and_then_wakes_its_job(indexed: Indexed) -> None:
    signature, _ = await send(indexed, subject=7)
    assert await indexed.tracker.poll() == 1
    assert (await indexed.fate(signature)).state is WatchState.WATCHING
    indexed.world.pass_slots(2)
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.CONFIRMED
    assert await due(indexed) == []
    indexed.finalize()
    assert await indexed.tracker.poll() == 0
    row = await indexed.fate(signature)
    assert (row.state, row.err) == (WatchState.FINALIZED, None)
    assert row.slot is not None
    assert await due(indexed) == [("mint", "7")]


async def test_a_parked_job_is_revived_by_its_signatures_fate(indexed: Indexed) -> None:
    now = indexed.clock.now()
    await indexed.store.write(lambda conn: work.enqueue(conn, "mint", 1, now))
    (claim,) = await indexed.store.write(lambda conn: work.claim(conn, Queue(jobs), 1, "w", now, timedelta(minutes=1)))
    await indexed.store.write(lambda conn: work.park(conn, claim, "attempts_used_up", "no answer"))
    await send(indexed)
    indexed.finalize()
    await indexed.tracker.poll()
    assert await due(indexed) == [("mint", "1")]


async def test_a_finalized_error_is_kept_as_the_node_wrote_it(quick: Quick) -> None:
    indexed = quick()
    signature, raw = await send(indexed, land=False)
    indexed.world.send(indexed.world.pay(99 * SOL))  # nothing is left for the watched one
    await indexed.rpc.send(raw, skip_preflight=True)
    indexed.finalize()
    await indexed.tracker.poll()
    row = await indexed.fate(signature)
    assert row.state is WatchState.FINALIZED
    assert row.err is not None
    assert json.loads(row.err) == {"InstructionError": [0, {"Custom": 1}]}


async def test_what_never_lands_is_expired_with_its_proof(indexed: Indexed) -> None:
    signature, _ = await send(indexed, land=False)
    indexed.world.pass_slots(150)
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.WATCHING  # the last valid block is not finalized yet
    indexed.finalize()
    await indexed.tracker.poll()
    row = await indexed.fate(signature)
    assert row.state is WatchState.EXPIRED
    proof = json.loads(row.proof or "")
    assert proof["finalized_block_height"] > proof["last_valid_block_height"] == row.last_valid_block_height
    assert proof["endpoints"] == ["rpc1 (chain.test)"]
    assert proof["slot"] > 0
    assert await due(indexed) == [("mint", "1")]


async def test_a_transaction_that_lands_in_its_last_valid_block_is_never_called_expired(quick: Quick) -> None:
    indexed = quick()
    signature, raw = await send(indexed, land=False)
    indexed.world.node.switches.land_after_slots = 117  # the blockhash is 33 slots old
    await indexed.rpc.send(raw, skip_preflight=True)
    for _ in range(20):
        indexed.world.pass_slots(10)
        await indexed.tracker.poll()
        assert (await indexed.fate(signature)).state is not WatchState.EXPIRED
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.HTML, Fault.CUT_BODY, Fault.STATUS])
@pytest.mark.parametrize("method", ["getSignatureStatuses", "getBlockHeight", "getSlot"])
async def test_an_rpc_error_never_expires_a_signature(quick: Quick, fault: Fault, method: str) -> None:
    indexed = quick()
    signature, _ = await send(indexed, land=False)
    indexed.world.pass_slots(200)
    indexed.world.node.faults.add(Rule(method, fault, times=1000))
    with pytest.raises(Retryable):
        await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.WATCHING
    indexed.world.node.faults.clear()
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.EXPIRED


async def test_an_endpoint_that_lags_behind_the_last_valid_block_proves_nothing(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    signature, _ = await send(indexed, land=False)
    indexed.world.node.endpoint("/b").lag_slots = 120
    indexed.world.pass_slots(200)
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.WATCHING
    indexed.world.node.endpoint("/b").lag_slots = 5
    await indexed.tracker.poll()
    row = await indexed.fate(signature)
    assert row.state is WatchState.EXPIRED
    assert len(json.loads(row.proof or "")["endpoints"]) == 2


async def test_an_endpoint_that_denies_a_landed_transaction_is_outvoted_by_two_that_show_it(quick: Quick) -> None:
    indexed = quick("/a", "/b", "/c")
    signature, _ = await send(indexed)
    indexed.world.node.endpoint("/a").hides.add(signature)
    indexed.world.pass_slots(400)
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


async def test_an_endpoint_that_lies_about_the_block_height_expires_nothing_alone(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    signature, raw = await send(indexed, land=False)
    indexed.world.node.endpoints["/a"].lies["getBlockHeight"] = lambda _: 2**40
    indexed.world.pass_slots(20)
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.WATCHING
    await indexed.rpc.send(raw)
    indexed.finalize()
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


async def test_an_endpoint_that_gives_a_blockhash_a_short_life_has_nothing_expire_that_can_still_land(
    quick: Quick,
) -> None:
    """It hands out the blockhash, keeps the bytes, and lets them land when they count as dead."""
    indexed = quick("/a", "/b")
    told = indexed.world.rpc("getLatestBlockhash")
    told["value"]["lastValidBlockHeight"] -= 150
    indexed.world.node.endpoints["/a"].lies["getLatestBlockhash"] = lambda _: told
    signature, raw = await send(indexed, land=False)
    for _ in range(5):
        indexed.world.pass_slots(20)
        await indexed.tracker.poll()
        assert (await indexed.fate(signature)).state is WatchState.WATCHING
    await indexed.rpc.send(raw)
    indexed.finalize()
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


def final(err: object = None) -> Any:
    """A lie: whatever is asked about is finalized."""
    status = {"slot": 7, "confirmations": None, "err": err, "confirmationStatus": "finalized"}
    return lambda params: {"context": {"slot": 2**31}, "value": [status] * len(params[0])}


@pytest.mark.parametrize("err", [None, {"InstructionError": [0, {"Custom": 1}]}])
async def test_one_endpoint_that_calls_a_signature_final_ends_nothing_alone(quick: Quick, err: object) -> None:
    indexed = quick("/a", "/b")
    signature, _ = await send(indexed, land=False)
    indexed.world.node.endpoints["/a"].lies["getSignatureStatuses"] = final(err)
    for _ in range(20):
        indexed.world.pass_slots(20)
        await indexed.tracker.poll()
        assert (await indexed.fate(signature)).state is WatchState.WATCHING
    assert await due(indexed) == []
    indexed.world.now_ms += 60_000
    assert indexed.rpc.trouble() == ["1 transactions are final by the word of one RPC endpoint alone"]
    indexed.world.node.endpoints["/a"].lies.clear()
    await indexed.tracker.poll()
    assert indexed.rpc.trouble() == []
    assert (await indexed.fate(signature)).state is WatchState.EXPIRED


async def test_an_endpoint_that_says_a_landed_transaction_failed_is_not_believed(quick: Quick) -> None:
    indexed = quick("/a", "/b", "/c")
    signature, _ = await send(indexed)
    indexed.world.node.endpoints["/c"].hides.add(signature)
    indexed.world.node.endpoints["/a"].lies["getSignatureStatuses"] = final("AccountInUse")
    indexed.finalize()
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.WATCHING
    indexed.world.node.endpoints["/c"].hides.clear()
    indexed.world.node.faults.add(Rule("POST /a", Fault.LOSE_REQUEST, times=1))
    await indexed.tracker.poll()
    row = await indexed.fate(signature)
    assert (row.state, row.err) == (WatchState.FINALIZED, None)


async def test_what_became_final_together_is_vouched_for_with_one_more_call(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    for number in range(20):
        await send(indexed, SOL // 1000 + number, number)
    indexed.finalize()
    before = indexed.wire.count("getSignatureStatuses")
    assert await indexed.tracker.poll() == 0
    assert indexed.wire.count("getSignatureStatuses") - before == 2
    assert [one.calls for one in indexed.rpc.health()][1] == 1


async def test_an_endpoint_some_slots_behind_is_waited_for(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    signature, _ = await send(indexed)
    indexed.world.node.endpoint("/b").lag_slots = 10
    indexed.finalize()
    assert await indexed.tracker.poll() == 1
    indexed.world.pass_slots(10)
    assert await indexed.tracker.poll() == 0
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


async def test_what_is_final_stays_so_whatever_is_said_later(quick: Quick) -> None:
    indexed = quick()
    signature, _ = await send(indexed)
    indexed.finalize()
    await indexed.tracker.poll()
    now = indexed.clock.now()
    late = [Fate(signature, WatchState.WATCHING), Fate(signature, WatchState.EXPIRED, proof="{}")]
    assert await indexed.store.write(lambda conn: record_fates(conn, late, now)) == 0
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


async def test_with_two_endpoints_one_answer_is_no_proof(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    signature, _ = await send(indexed, land=False)
    indexed.world.pass_slots(400)
    indexed.world.node.faults.add(Rule("POST /b", Fault.LOSE_REQUEST, times=1000))
    with pytest.raises(Retryable):
        await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.WATCHING


async def test_a_confirmed_transaction_that_a_fork_takes_back_is_watched_again_and_its_job_due(quick: Quick) -> None:
    indexed = quick()
    signature, raw = await send(indexed)
    indexed.world.pass_slots(3)
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.CONFIRMED
    assert await due(indexed) == []
    indexed.world.node.fork(10)
    await indexed.tracker.poll()
    row = await indexed.fate(signature)
    assert (row.state, row.slot) == (WatchState.WATCHING, None)
    assert await due(indexed) == [("mint", "1")]
    await indexed.rpc.send(raw, skip_preflight=True)
    indexed.finalize()
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


async def test_a_signature_that_left_the_status_cache_is_found_in_history(quick: Quick) -> None:
    indexed = quick()
    signature, _ = await send(indexed)
    indexed.world.node.purge_status_cache()
    indexed.world.pass_slots(1000)
    await indexed.tracker.poll()
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED


async def test_without_a_last_valid_block_a_signature_is_watched_until_somebody_gives_it_up(quick: Quick) -> None:
    indexed = quick()
    now, signature = indexed.clock.now(), str(Signature.new_unique())
    await indexed.store.write(lambda conn: watch(conn, signature, "transfer", 3, None, now))
    indexed.world.pass_slots(100_000)
    assert await indexed.tracker.poll() == 1
    await indexed.store.write(lambda conn: unwatch(conn, signature))
    assert await indexed.tracker.poll() == 0


async def test_a_signature_cannot_be_watched_for_two_things(indexed: Indexed) -> None:
    now, signature = indexed.clock.now(), str(Signature.new_unique())
    for _ in range(2):
        await indexed.store.write(lambda conn: watch(conn, signature, "mint", 3, 100, now))
    with pytest.raises(Misuse):
        await indexed.store.write(lambda conn: watch(conn, signature, "mint", 4, 100, now))


async def test_a_thousand_signatures_take_at_most_eight_calls_a_poll(quick: Quick) -> None:
    indexed = quick()
    now = indexed.clock.now()
    signatures = [str(Signature.new_unique()) for _ in range(1000)]

    def save(conn: object) -> None:
        for number, signature in enumerate(signatures):
            watch(conn, signature, "mint", number, 2**40, now)  # type: ignore[arg-type]

    await indexed.store.write(save)
    assert await indexed.tracker.poll() == 1000
    assert indexed.wire.count("getSignatureStatuses") == 4
    assert len(indexed.wire.calls) <= 8


async def test_with_nothing_to_watch_no_rpc_call_is_made(quick: Quick) -> None:
    indexed = quick()
    running = asyncio.create_task(indexed.tracker.run())
    before = indexed.clock.now()
    while indexed.clock.now() - before < timedelta(minutes=10):
        await asyncio.sleep(0)
    running.cancel()
    assert indexed.wire.calls == []


async def test_the_loop_follows_a_new_signature_to_its_end(quick: Quick) -> None:
    indexed = quick()
    running = asyncio.create_task(indexed.tracker.run())
    await asyncio.sleep(0)
    indexed.world.node.faults.add(Rule("getSignatureStatuses", Fault.LOSE_ANSWER, times=2))
    signature, _ = await send(indexed)
    indexed.tracker.poke()
    for _ in range(2000):
        await asyncio.sleep(0)
        if await indexed.store.read(open_watch_count) == 0:
            break
    running.cancel()
    assert (await indexed.fate(signature)).state is WatchState.FINALIZED
    assert indexed.woken > 0
