"""Several endpoints as one: what counts as an answer, and what a failed send may mean."""

from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from domain.errors import (
    AlreadyProcessed,
    BlockhashNotFound,
    Misuse,
    OutcomeUnknown,
    PreflightFailed,
    Rejected,
    Retryable,
)
from indexer.rpc.errors import Disagreement
from indexer.rpc.pool import RpcPool
from sandbox.faults import Fault, Rule
from tests.indexer.world import HOST, Indexed
from tests.sandbox.solana.world import SOL

Quick = Callable[..., Indexed]

GARBAGE: list[Any] = [
    None,
    [],
    {},
    "x",
    -1,
    1.5,
    True,
    {"context": {"slot": 1}},
    {"context": {"slot": -1}, "value": 1},
    {"context": {"slot": 2**60}, "value": {}},
    {"context": {"slot": 435_889_000}, "value": [None, {"slot": "x"}]},
    {"context": {"slot": 435_889_000}, "value": {"blockhash": "0OIl", "lastValidBlockHeight": 1}},
    {"context": {"slot": 435_889_000}, "value": [{"slot": 1, "err": None, "confirmationStatus": []}] * 2},
]


async def test_when_one_endpoint_fails_another_answers(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    indexed.world.node.faults.add(Rule("POST /a", Fault.LOSE_ANSWER, times=1000))
    balance = await indexed.rpc.get_balance(indexed.wallet)
    assert balance.amount == 100 * SOL
    first, second = indexed.rpc.health()
    assert (first.errors, second.errors) == (1, 0)


async def test_an_endpoint_that_failed_rests_and_is_asked_first_again_later(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    indexed.world.node.faults.add(Rule("POST /a", Fault.LOSE_ANSWER, times=1))
    for _ in range(3):
        await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [1, 3]
    await indexed.clock.sleep(5)
    await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [2, 3]


async def test_a_limited_endpoint_rests_as_long_as_it_asked_for(quick: Quick) -> None:
    indexed = quick("/")
    indexed.world.node.faults.add(Rule("getSlot", Fault.STATUS, times=1, status=429))
    with pytest.raises(Retryable) as caught:
        await indexed.rpc.get_slot()
    assert caught.value.retry_after_seconds == 2.0
    await indexed.rpc.get_slot()  # the only one there is gets asked all the same


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
@pytest.mark.parametrize(
    ("method", "ask"),
    [
        ("getSlot", lambda rpc: rpc.get_slot()),
        ("getBlockHeight", lambda rpc: rpc.get_block_height()),
        ("getLatestBlockhash", lambda rpc: rpc.latest_blockhash()),
        ("getBalance", lambda rpc: rpc.get_balance("11111111111111111111111111111111")),
        ("getMultipleAccounts", lambda rpc: rpc.get_accounts(["11111111111111111111111111111111"])),
        ("getSignatureStatuses", lambda rpc: rpc.get_signature_statuses(["x"] * 2)),
        ("getSignaturesForAddress", lambda rpc: rpc.ask(lambda node: node.get_signatures_for_address("x"))),
        ("getGenesisHash", lambda rpc: rpc.get_genesis_hash()),
        ("getMinimumBalanceForRentExemption", lambda rpc: rpc.minimum_rent(165)),
    ],
)
async def test_garbage_is_an_error_of_its_endpoint(quick: Quick, method: str, ask: Any, garbage: Any) -> None:
    if method == "getSignaturesForAddress" and garbage == []:
        pytest.skip("an empty list is an answer")
    indexed = quick("/a")
    indexed.world.node.endpoints["/a"].lies[method] = lambda _: garbage
    with pytest.raises(Retryable):
        await ask(indexed.rpc)
    assert indexed.rpc.health()[0].errors == 1


async def test_an_answer_older_than_the_newest_finalized_slot_seen_does_not_count(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    await indexed.rpc.survey(lambda node: node.get_slot())
    indexed.world.node.endpoints["/b"].lag_slots = 150
    before = await indexed.rpc.get_balance(indexed.wallet)
    indexed.world.send(indexed.world.pay(SOL))
    indexed.finalize()
    after = await indexed.rpc.get_balance(indexed.wallet)
    assert after.amount < before.amount
    indexed.world.node.faults.add(Rule("POST /a", Fault.LOSE_ANSWER, times=1000))
    with pytest.raises(Retryable, match="Minimum context slot"):
        await indexed.rpc.get_balance(indexed.wallet)
    with pytest.raises(Retryable, match="before"):
        await indexed.rpc.get_signature_statuses([indexed.world.send(indexed.world.pay(SOL))])
    indexed.world.node.endpoints["/b"].lag_slots = 20
    assert (await indexed.rpc.get_balance(indexed.wallet)).slot >= after.slot, "one a little behind is waited for"


async def test_an_endpoint_that_always_lags_a_little_is_waited_for_as_a_witness_of_what_is_not_there(
    quick: Quick,
) -> None:
    """A siege, seed 1000: the newest slot of one provider was always ahead of the other, and nothing was proven."""
    indexed = quick("/a", "/b")
    indexed.world.node.endpoints["/b"].lag_slots = 20
    for _ in range(2):
        await indexed.rpc.survey(lambda node: node.get_slot())
    assert await indexed.rpc.agree_absent(str(indexed.world.bob.pubkey()))
    indexed.world.node.endpoints["/b"].lag_slots = 1_000
    before = indexed.rpc.health()[1].calls
    with pytest.raises(Retryable, match="Minimum context slot"):
        await indexed.rpc.agree_absent(str(indexed.world.bob.pubkey()))
    assert indexed.rpc.health()[1].calls - before < 20


async def test_a_block_height_counts_as_reached_by_two_endpoints_and_as_the_highest_by_one(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    indexed.world.node.endpoints["/a"].lag_slots = 50
    highest, witnessed = await indexed.rpc.highest_block_height(), await indexed.rpc.witnessed_block_height()
    assert highest == witnessed + 50
    indexed.world.node.endpoints["/a"].lies["getBlockHeight"] = lambda _: 2**47
    assert await indexed.rpc.highest_block_height() == await indexed.rpc.witnessed_block_height() == highest
    indexed.world.node.faults.add(Rule("POST /b", Fault.LOSE_ANSWER, times=1))
    with pytest.raises(Retryable, match="fewer than 2"):
        await indexed.rpc.highest_block_height()


async def test_a_negative_fact_needs_two_endpoints_that_agree(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    nobody = str(indexed.world.bob.pubkey())
    assert await indexed.rpc.agree_absent(nobody)
    here: Any = lambda _: {  # noqa: E731
        "context": {"slot": indexed.rpc.finalized_slot},
        "value": [{"lamports": 1, "owner": nobody, "data": ["", "base64"], "executable": False}],
    }
    indexed.world.node.endpoints["/b"].lies["getMultipleAccounts"] = here
    with pytest.raises(Disagreement):
        await indexed.rpc.agree_absent(nobody)
    indexed.world.node.faults.add(Rule("POST /b", Fault.LOSE_REQUEST, times=1000))
    with pytest.raises(Retryable, match="fewer than 2"):
        await indexed.rpc.agree_absent(nobody)


async def test_no_message_shows_the_key_in_an_endpoints_address(quick: Quick) -> None:
    indexed = quick()
    rpc = RpcPool(["http://chain.invalid/v2/SECRETKEY?api-key=SECRETKEY"], indexed.wire, indexed.clock)
    with pytest.raises(Retryable) as caught:
        await rpc.get_slot()
    assert "SECRETKEY" not in str(caught.value)
    assert "chain.invalid" in str(caught.value)


async def test_the_rate_bound_spaces_calls_and_refuses_what_would_wait_too_long(quick: Quick) -> None:
    indexed = quick()
    rpc = RpcPool([HOST + "/"], indexed.wire, indexed.clock, requests_per_second=2.0, deadline_seconds=5.0)
    begun = indexed.clock.monotonic()
    for _ in range(24):
        await rpc.get_slot()
    assert indexed.clock.monotonic() - begun == pytest.approx(2.0, abs=0.6)


async def test_rent_is_asked_once_in_ten_seconds(quick: Quick) -> None:
    indexed = quick()
    first = await indexed.rpc.minimum_rent(165)
    indexed.world.node.set_rent(1000)
    assert await indexed.rpc.minimum_rent(165) == first
    await indexed.clock.sleep(11)
    assert await indexed.rpc.minimum_rent(165) < first
    assert indexed.wire.count("getMinimumBalanceForRentExemption") == 2


async def test_too_many_signatures_or_accounts_at_once_are_our_own_mistake(quick: Quick) -> None:
    indexed = quick()
    with pytest.raises(Misuse):
        await indexed.rpc.get_signature_statuses(["x"] * 257)
    with pytest.raises(Misuse):
        await indexed.rpc.get_accounts(["x"] * 101)


async def test_the_same_bytes_can_be_sent_again_and_again(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    raw = indexed.world.pay(SOL)
    signature = await indexed.rpc.send(raw)
    assert await indexed.rpc.send(raw, skip_preflight=True) == signature
    indexed.world.pass_slots(2)
    with pytest.raises(AlreadyProcessed):
        await indexed.rpc.send(raw)
    assert indexed.world.lamports(indexed.world.bob) == SOL


async def test_a_send_that_would_fail_tells_the_error_and_the_logs(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    with pytest.raises(PreflightFailed) as caught:
        await indexed.rpc.send(indexed.world.pay(1000 * SOL))
    assert caught.value.err == {"InstructionError": [0, {"Custom": 1}]}
    assert any("insufficient lamports" in line for line in caught.value.logs)


async def test_an_old_blockhash_is_named_when_every_endpoint_says_so(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    raw = indexed.world.pay(SOL)
    indexed.world.pass_slots(200)
    with pytest.raises(BlockhashNotFound):
        await indexed.rpc.send(raw)
    assert indexed.wire.count("sendTransaction") == 2


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.HTML, Fault.CUT_BODY, Fault.LOSE_REQUEST, Fault.STATUS])
async def test_a_send_whose_answer_is_lost_has_an_unknown_outcome(quick: Quick, fault: Fault) -> None:
    indexed = quick()
    indexed.world.node.faults.add(Rule("sendTransaction", fault))
    with pytest.raises(OutcomeUnknown):
        await indexed.rpc.send(indexed.world.pay(SOL))


async def test_a_refusal_after_a_lost_answer_is_no_refusal(quick: Quick) -> None:
    """The second endpoint says that it would fail: perhaps because the first one has sent it, and it landed."""
    indexed = quick("/a", "/b")
    error = {"code": -32002, "message": "would fail", "data": {"err": {"InstructionError": [1, {"Custom": 0}]}}}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "error": error})
    indexed.world.node.faults.add(Rule("POST /a sendTransaction", Fault.LOSE_ANSWER, times=1))
    indexed.world.node.faults.add(Rule("POST /b sendTransaction", Fault.STATUS, status=200, body=body))
    with pytest.raises(OutcomeUnknown):
        await indexed.rpc.send(indexed.world.pay(SOL))


async def test_a_send_that_was_refused_unread_did_not_happen(quick: Quick) -> None:
    indexed = quick()
    indexed.world.node.faults.add(Rule("sendTransaction", Fault.STATUS, status=429))
    with pytest.raises(Retryable):
        await indexed.rpc.send(indexed.world.pay(SOL))
    with pytest.raises(Retryable):
        await RpcPool(["http://nowhere.test/"], indexed.wire, indexed.clock).send(indexed.world.pay(SOL))


async def test_bytes_with_a_wrong_signature_are_refused_for_good(quick: Quick) -> None:
    indexed = quick()
    raw = indexed.world.pay(SOL)
    with pytest.raises(Rejected) as caught:
        await indexed.rpc.send(raw[:10] + bytes([raw[10] ^ 1]) + raw[11:])
    assert caught.value.code == "invalid_signature"


async def test_a_simulation_changes_nothing_and_tells_what_would_happen(quick: Quick) -> None:
    indexed = quick()
    good = await indexed.rpc.simulate(indexed.world.pay(SOL))
    bad = await indexed.rpc.simulate(indexed.world.pay(1000 * SOL))
    assert (good.err, bad.err) == (None, {"InstructionError": [0, {"Custom": 1}]})
    assert indexed.world.lamports(indexed.world.bob) == 0


async def test_blockhashes_and_fees_are_read(quick: Quick) -> None:
    indexed = quick()
    latest = await indexed.rpc.latest_blockhash()
    assert latest.last_valid_block_height == await indexed.rpc.get_block_height("confirmed") + 150
    assert all(fee >= 0 for fee in await indexed.rpc.priority_fees([indexed.wallet]))


def weighted(indexed: Indexed, *weights: int) -> RpcPool:
    urls = [f"{HOST}/{number}" for number in range(len(weights))]
    return RpcPool(urls, indexed.wire, indexed.clock, weights=weights, requests_per_second=1_000.0)


async def test_weights_share_the_questions_out(quick: Quick) -> None:
    rpc = weighted(quick(), 3, 1, 0)
    for _ in range(40):
        await rpc.get_slot()
    assert [one.calls for one in rpc.health()] == [30, 10, 0]


async def test_without_weights_the_others_are_the_first_ones_reserve(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    for _ in range(10):
        await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [10, 0]


async def test_each_endpoint_keeps_to_a_rate_of_its_own(quick: Quick) -> None:
    indexed = quick()
    urls = [f"{HOST}/slow", f"{HOST}/quick"]
    rpc = RpcPool(urls, indexed.wire, indexed.clock, weights=(1, 1), requests_per_second=(2.0, 100.0))
    begun = indexed.clock.monotonic()
    for _ in range(44):  # 22 each: two more than the slow one may send at once
        await rpc.get_slot()
    assert indexed.clock.monotonic() - begun == pytest.approx(1.0, abs=0.3)


async def test_an_endpoint_that_lags_is_asked_last_until_it_has_caught_up(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    indexed.world.node.endpoints["/a"].lag_slots = 120
    first, second = await indexed.rpc.look_around()
    assert (first.is_well, first.lag_slots, second.is_well) == (False, 120, True)
    await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [1, 2]
    indexed.world.node.endpoints["/a"].lag_slots = 0
    await indexed.rpc.look_around()
    await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [3, 3]


async def test_the_error_rate_of_an_endpoint_rises_with_its_errors_and_falls_with_its_answers(quick: Quick) -> None:
    indexed = quick("/")
    indexed.world.node.faults.add(Rule("getSlot", Fault.LOSE_ANSWER, times=5))
    for _ in range(5):
        with pytest.raises(Retryable):
            await indexed.rpc.get_slot()
    (ill,) = indexed.rpc.health()
    for _ in range(20):
        await indexed.rpc.get_slot()
    (well,) = indexed.rpc.health()
    assert ill.error_rate > 0.4 > 0.1 > well.error_rate > 0
    assert (ill.is_well, well.is_well) == (False, True)


async def test_the_pool_says_why_the_chain_cannot_be_read_or_nothing_proven(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    await indexed.rpc.look_around()
    assert indexed.rpc.trouble() == []
    indexed.world.node.faults.add(Rule("POST /b", Fault.LOSE_REQUEST, times=3))
    for _ in range(3):
        await indexed.rpc.look_around()
    assert indexed.rpc.trouble() == ["1 of 2 RPC endpoints are well, 2 needed; not: rpc2"]
    indexed.world.node.faults.add(Rule("POST /", Fault.LOSE_REQUEST, times=1000))
    with pytest.raises(Retryable):
        await indexed.rpc.get_slot()
    await indexed.clock.sleep(40)
    assert indexed.rpc.trouble() == ["no RPC endpoint has answered for 40 s"]
    indexed.world.node.faults.clear()
    await indexed.rpc.look_around()
    assert indexed.rpc.trouble() == []


@pytest.mark.parametrize("as_date", [False, True])
async def test_a_429_without_any_other_endpoint_is_waited_out_as_long_as_it_says(quick: Quick, as_date: bool) -> None:
    indexed = quick("/a", "/b")
    until = format_datetime(indexed.clock.now() + timedelta(seconds=7), usegmt=True)
    limited = Rule("POST /a", Fault.STATUS, status=429, headers={"retry-after": until if as_date else "7"})
    indexed.world.node.faults.add(limited)
    await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [1, 1]
    await indexed.clock.sleep(6)
    await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [1, 2]
    await indexed.clock.sleep(2)
    await indexed.rpc.get_slot()
    assert [one.calls for one in indexed.rpc.health()] == [2, 2]


async def test_the_slot_time_is_measured_and_follows_the_clusters_change(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    assert indexed.rpc.pace.seconds == pytest.approx(0.01)
    for slot_ms in (10, 40, 20):
        indexed.world.node.slots.set_slot_ms(slot_ms)
        for _ in range(20):
            await indexed.clock.sleep(6)
            await indexed.rpc.look_around()
        assert indexed.rpc.pace.seconds == pytest.approx(slot_ms / 1000, rel=0.05)


async def test_a_cluster_that_stands_still_stretches_waits_tenfold_at_most(quick: Quick) -> None:
    indexed = quick()
    indexed.world.node.slots.set_slot_ms(5_000)
    for _ in range(40):
        await indexed.clock.sleep(6)
        await indexed.rpc.look_around()
    assert indexed.rpc.pace.seconds == pytest.approx(0.1)
