"""What one endpoint alone says of the wallet's history or balance hides no money."""

from collections.abc import Callable
from typing import Any

import structlog

from domain.ledger import Asset
from tests.indexer.test_treasury import USDC, Quick, assert_booked_as_on_chain, deposit, pay
from tests.indexer.world import Indexed


def lists(indexed: Indexed, path: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """From now on an endpoint lists histories otherwise than they are."""

    def told(params: list[Any]) -> list[Any]:
        return change(indexed.world.rpc("getSignaturesForAddress", *params))

    indexed.world.node.endpoints[path].lies["getSignaturesForAddress"] = told


async def test_a_deposit_that_one_endpoint_calls_failed_is_booked(quick: Quick) -> None:
    """It was passed over for that word, and its money belonged to nobody."""
    indexed = quick("/a", "/b")
    deposit(indexed, USDC)
    hidden = deposit(indexed, 5 * USDC)
    indexed.finalize()
    failed = {"err": {"InstructionError": [0, {"Custom": 1}]}}
    lists(indexed, "/a", lambda told: [one | failed if one["signature"] == hidden else one for one in told])
    await indexed.treasury.follow()
    assert await indexed.sum_of(indexed.usdc_account) == 6 * USDC
    await assert_booked_as_on_chain(indexed)


async def test_what_two_endpoints_call_failed_is_not_read(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    deposit(indexed, USDC)
    for _ in range(20):
        pay(indexed, 1_000 * USDC)
        indexed.world.pass_slots(1)
    indexed.finalize()
    track, _ = indexed.treasury.tracks
    listed = indexed.world.rpc("getSignaturesForAddress", track.address)
    assert sum(one["err"] is not None for one in listed) == 20
    await indexed.treasury.follow()
    assert indexed.wire.count("getSignatureStatuses") == 2
    await assert_booked_as_on_chain(indexed)


async def test_what_one_endpoint_leaves_out_is_missed_by_another_one_and_found_in_its_list(quick: Quick) -> None:
    """It told the balance of before as well: by its own word nothing was missing."""
    indexed = quick("/a", "/b")
    deposit(indexed, USDC)
    indexed.finalize()
    await indexed.treasury.follow()
    asked = [[indexed.usdc_account, indexed.wallet], {"encoding": "base64", "commitment": "finalized"}]
    before = indexed.world.rpc("getMultipleAccounts", *asked)["value"]
    hidden = deposit(indexed, 5 * USDC)
    indexed.finalize()
    lists(indexed, "/a", lambda told: [one for one in told if one["signature"] != hidden])
    liar = indexed.world.node.endpoints["/a"]
    liar.lies["getMultipleAccounts"] = lambda _: {"context": {"slot": indexed.rpc.finalized_slot}, "value": before}
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await indexed.treasury.follow()
    assert (Asset.USDC, 5 * USDC) in indexed.gaps
    named = [line for line in logs if line["event"] == "treasury_differs_from_chain"]
    assert [(line["usdc"], line["endpoints"]) for line in named] == [(5 * USDC, ["rpc2 (chain.test)"])]
    assert await indexed.sum_of(indexed.usdc_account) == 6 * USDC
    liar.lies.clear()
    await assert_booked_as_on_chain(indexed)


async def test_one_endpoint_that_is_down_or_ahead_keeps_no_balances_from_being_compared(quick: Quick) -> None:
    indexed = quick("/a", "/b", "/c")
    hidden = deposit(indexed, 7 * USDC)
    deposit(indexed, USDC)
    indexed.finalize()
    for endpoint in indexed.world.node.endpoints.values():
        endpoint.hides.add(hidden)
    await indexed.rpc.look_around()

    def ahead(params: list[Any]) -> Any:
        kept = {key: value for key, value in params[1].items() if key != "minContextSlot"}
        told = indexed.world.rpc("getMultipleAccounts", params[0], kept)
        return told | {"context": {"slot": told["context"]["slot"] + 500}}

    indexed.world.node.endpoints["/b"].lies["getMultipleAccounts"] = ahead
    indexed.world.node.endpoints["/c"].lies["getMultipleAccounts"] = lambda _: None
    for _ in range(3):
        await indexed.treasury.follow()
    assert indexed.gaps[-2:] == [(Asset.USDC, 7 * USDC), (Asset.SOL, 0)]
