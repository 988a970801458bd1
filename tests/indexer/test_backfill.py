"""Reading the history again: what is missing is booked, what is there is not booked twice, memory stays flat."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from solders.signature import Signature
from sqlalchemy import Connection, delete

from domain.errors import Rejected, Retryable
from indexer.history import Since, outline, read_stretch
from indexer.treasury.backfill import Backfill
from sandbox.faults import Fault, Rule
from storage.tables import chain_movements
from storage.treasury.chain_rows import cursor
from tests.indexer.test_treasury import a_busy_day, assert_booked_as_on_chain, deposit
from tests.indexer.world import Indexed, Killed

Quick = Callable[..., Indexed]


async def forget(indexed: Indexed, every: int) -> int:
    """Lose every nth movement, as a database does that was mended by hand; how many that were."""

    def lose(conn: Connection) -> int:
        gone = chain_movements.c.id % every == 0
        return conn.execute(delete(chain_movements).where(gone)).rowcount

    return await indexed.store.write(lose)


async def stored(indexed: Indexed) -> list[Any]:
    return [(row.signature, row.account, row.amount) for row in await indexed.movements()]


def backfill(indexed: Indexed) -> Backfill:
    return Backfill(indexed.treasury, indexed.rpc, indexed.clock)


async def test_what_is_missing_is_booked_and_nothing_twice(indexed: Indexed) -> None:
    a_busy_day(indexed)
    await indexed.treasury.follow()
    before, at = sorted(await stored(indexed)), await indexed.store.read(lambda conn: cursor(conn, "treasury_sol"))
    lost = await forget(indexed, 3)
    work = backfill(indexed)
    await work.perform(await work.start(None))
    assert work.state is not None
    assert (work.state.booked, work.state.error) == (lost, "")
    assert work.state.read == work.state.total > lost > 0
    assert sorted(await stored(indexed)) == before
    assert await indexed.store.read(lambda conn: cursor(conn, "treasury_sol")) == at
    await assert_booked_as_on_chain(indexed)
    await work.perform(await work.start(None))
    assert work.state.booked == 0


async def test_from_a_signature_only_its_slot_and_what_came_after_is_read(quick: Quick) -> None:
    indexed = quick()
    deposit(indexed, 1)
    indexed.world.pass_slots(2)
    second = deposit(indexed, 2)
    indexed.world.pass_slots(2)
    deposit(indexed, 3)
    indexed.finalize()
    await indexed.treasury.follow()
    await indexed.store.write(lambda conn: conn.execute(delete(chain_movements)).rowcount)
    work = backfill(indexed)
    await work.perform(await work.start(second))
    assert [amount for _, account, amount in await stored(indexed) if account == indexed.usdc_account] == [2, 3]


@pytest.mark.parametrize("signature", ["", "x", "0OIl", "1" * 40, "-" * 88, "5" * 2000])
async def test_what_is_no_signature_is_refused_at_once(quick: Quick, signature: str) -> None:
    with pytest.raises(Rejected, match="not 64 bytes in base58"):
        await backfill(quick()).start(signature)


async def test_an_unknown_signature_and_one_that_is_not_final_are_refused(quick: Quick) -> None:
    indexed = quick()
    with pytest.raises(Rejected) as caught:
        await backfill(indexed).start(str(Signature.new_unique()))
    assert caught.value.code == "unknown_signature"
    with pytest.raises(Rejected):
        await backfill(indexed).start(deposit(indexed, 1))
    indexed.world.node.faults.add(Rule("getSignatureStatuses", Fault.LOSE_ANSWER, times=100))
    with pytest.raises(Retryable):
        await backfill(indexed).start(str(Signature.new_unique()))


async def test_one_reading_runs_at_a_time(quick: Quick) -> None:
    work = backfill(quick())
    await work.start(None)
    with pytest.raises(Rejected) as caught:
        await work.start(None)
    assert caught.value.code == "backfill_running"


async def test_a_reading_that_the_endpoints_break_off_begins_anew_and_says_so(quick: Quick) -> None:
    indexed = quick()
    a_busy_day(indexed)
    indexed.world.node.faults.add(Rule("getTransaction", Fault.LOSE_ANSWER, times=1))
    work, errors = backfill(indexed), list[str]()
    await work.perform(await work.start(None), lambda state: errors.append(state.error))
    assert any("getTransaction" in error for error in errors)
    assert work.state is not None and work.state.error == ""
    await assert_booked_as_on_chain(indexed)


async def test_a_reading_that_never_succeeds_ends_with_its_reason(quick: Quick) -> None:
    indexed = quick()
    work = backfill(indexed)
    state = await work.start(None)
    indexed.world.node.faults.add(Rule("POST /", Fault.LOSE_REQUEST, times=100_000))
    await work.perform(state)
    assert work.state is not None and work.state.finished_at is not None
    assert "no RPC endpoint answered" in work.state.error


async def test_killed_at_any_call_a_second_reading_mends_the_rest(quick: Quick) -> None:
    indexed = quick()
    a_busy_day(indexed)
    await indexed.treasury.follow()
    await forget(indexed, 2)
    calls = 0
    while True:
        indexed.restart()
        indexed.wire.kill_at = calls
        try:
            await indexed.treasury.reread(0, lambda done: None)
        except Killed:
            calls += 1
            continue
        break
    assert calls > 3
    await assert_booked_as_on_chain(indexed)


def airdrops(indexed: Indexed, count: int) -> None:
    for number in range(count):
        indexed.world.node.airdrop(indexed.world.alice.pubkey(), 1000 + number)
        if number % 100 == 0:
            indexed.world.pass_slots(1)
    indexed.finalize()


async def test_a_long_history_is_outlined_and_then_listed_stretch_by_stretch_from_any_endpoint(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    airdrops(indexed, 2500)
    wallet = indexed.wallet
    whole = await indexed.rpc.ask(lambda node: outline(node, wallet, None, 0, keep=10_000))
    lean = await indexed.rpc.ask(lambda node: outline(node, wallet, None, 0, keep=0))
    assert [one.kept for one in lean] == [None, None, None]
    assert [replace(one, kept=None) for one in whole] == lean
    indexed.world.node.faults.add(Rule("POST /a", Fault.LOSE_REQUEST, times=1000))
    listed = []
    for stretch in lean:
        listed += await indexed.rpc.ask(lambda node, part=stretch: read_stretch(node, wallet, part, 0))  # type: ignore[misc]
    assert [one.signature for one in listed] == [one.signature for part in whole for one in part.kept or ()]
    assert len(listed) == 2501
    oldest, newest = listed[0], listed[-1]
    assert (oldest.slot, newest.signature) < (newest.slot, "z")
    since = Since(listed[1200].signature, listed[1200].slot)
    rest = await indexed.rpc.ask(lambda node: outline(node, wallet, since, 0, keep=0))
    assert sum(one.count for one in rest) == 2501 - 1201


async def test_a_stretch_from_which_an_endpoint_leaves_something_out_is_not_believed(quick: Quick) -> None:
    indexed = quick()
    airdrops(indexed, 1200)
    (older, _) = await indexed.rpc.ask(lambda node: outline(node, indexed.wallet, None, 0, keep=0))
    indexed.world.node.endpoints["/"].hides.add(indexed.world.node.history.landed[50].signature)
    with pytest.raises(Retryable, match="as before"):
        await indexed.rpc.ask(lambda node: read_stretch(node, indexed.wallet, older, 0))
