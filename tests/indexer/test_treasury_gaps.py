"""What the wallet holds on chain, held against what is booked of it: what is missing is told, and looked for again."""

from typing import Any

from domain.ledger import CONVERSION_CLEARING, Asset
from indexer.treasury.gap_search import READ_AGAIN_SECONDS
from storage.treasury.chain_rows import reading
from tests.indexer.test_treasury import USDC, Quick, assert_booked_as_on_chain, booked, deposit, pay
from tests.sandbox.solana.world import SOL


async def test_an_endpoint_that_keeps_a_movement_back_shows_as_a_gap(quick: Quick) -> None:
    indexed = quick()
    deposit(indexed, USDC)
    hidden = deposit(indexed, 2 * USDC)
    deposit(indexed, 4 * USDC)
    indexed.world.node.endpoints["/"].hides.add(hidden)
    indexed.finalize()
    assert (await indexed.treasury.follow()).gaps == {}, "what it holds is held against what is read after"
    assert (await indexed.treasury.follow()).gaps == {Asset.USDC: 2 * USDC, Asset.SOL: 0}


async def test_a_gap_is_told_and_goes_on_being_found_while_money_moves(quick: Quick) -> None:
    """A wallet in use always holds something that is not booked yet, and a hole behind it was never looked for."""
    indexed = quick()
    hidden = deposit(indexed, 7 * USDC)
    indexed.finalize()
    indexed.world.node.endpoints["/"].hides.add(hidden)
    told = indexed.gaps
    for units in (3, 4, 5):
        await indexed.treasury.follow()
        deposit(indexed, units * USDC)
        indexed.finalize()
    assert told == [(Asset.USDC, 7 * USDC), (Asset.SOL, 0)] * 2
    indexed.world.node.endpoints["/"].hides.clear()
    await indexed.clock.sleep(READ_AGAIN_SECONDS)
    for units in (6, 8):
        await indexed.treasury.follow()
        deposit(indexed, units * USDC)
        indexed.finalize()
    assert told[-2:] == [(Asset.USDC, 0), (Asset.SOL, 0)]
    assert await indexed.sum_of(indexed.usdc_account) == (7 + 3 + 4 + 5 + 6) * USDC


async def test_a_deposit_is_seen_while_both_histories_are_read_again_for_a_gap(quick: Quick) -> None:
    """The further back, the longer: it waited for the end, and what it paid for with it."""
    indexed = quick("/a")
    hidden = deposit(indexed, 7 * USDC)
    indexed.finalize()
    indexed.world.node.endpoints["/a"].hides.add(hidden)
    for _ in range(2):
        await indexed.treasury.follow()
        deposit(indexed, USDC)
        indexed.finalize()
    listed: list[str] = []

    def show(params: list[Any]) -> Any:
        listed.append(params[0])
        if params[0] == indexed.wallet and listed.count(indexed.wallet) == 2:  # the other history was listed again
            deposit(indexed, 3 * USDC)
            indexed.finalize()
        told = indexed.world.rpc("getSignaturesForAddress", *params)
        return [one for one in told if one["signature"] != hidden]

    indexed.world.node.endpoints["/a"].lies["getSignaturesForAddress"] = show
    await indexed.treasury.follow()
    assert listed.count(indexed.wallet) > 2, "it was not read again"
    assert await indexed.sum_of(indexed.usdc_account) == (1 + 1 + 3) * USDC


async def test_a_second_reading_goes_on_where_deposits_can_t_be_looked_at_in_between(quick: Quick) -> None:
    """Another replica reads them too, and moves the cursor: beside that one it would never come to its end."""
    indexed = quick("/a")
    endpoint = indexed.world.node.endpoints["/a"]
    endpoint.hides.add(indexed.world.node.airdrop(indexed.world.alice.pubkey(), SOL))
    for _ in range(2):
        deposit(indexed, USDC)
        indexed.finalize()
        await indexed.treasury.follow()
    endpoint.hides.clear()
    listed: list[str] = []

    def show(params: list[Any]) -> Any:
        listed.append(params[0])
        lists_in_between = params[0] == indexed.usdc_account and listed.count(indexed.wallet) > 1
        return "gone" if lists_in_between else indexed.world.rpc("getSignaturesForAddress", *params)

    endpoint.lies["getSignaturesForAddress"] = show
    await indexed.treasury.follow()
    endpoint.lies.clear()
    await assert_booked_as_on_chain(indexed)


async def test_an_outflow_that_one_endpoint_hides_whole_is_missed_by_what_another_one_holds(quick: Quick) -> None:
    """Its list lacks the outflow, and by its word the account holds what it held: the gate must not open on that."""
    indexed = quick("/a", "/b")
    deposit(indexed, 9 * USDC)
    indexed.finalize()
    asked = [[indexed.usdc_account], {"encoding": "base64", "commitment": "finalized"}]
    before = indexed.world.rpc("getMultipleAccounts", *asked)["value"]
    gone = pay(indexed, 4 * USDC)
    indexed.finalize()
    liar = indexed.world.node.endpoints["/a"]
    liar.hides.add(gone)
    liar.lies["getMultipleAccounts"] = lambda _: {"context": {"slot": indexed.rpc.finalized_slot}, "value": before}
    assert await indexed.treasury.unseen_outflow() == 4 * USDC
    liar.hides.clear()
    await indexed.treasury.reread(0, lambda _: None)
    liar.lies.clear()
    assert await indexed.treasury.unseen_outflow() == 0


async def test_one_answer_from_a_slot_that_is_far_away_does_not_end_the_comparing(quick: Quick) -> None:
    """The balances of that slot waited for the history to get there, and no newer ones were read or kept."""
    indexed = quick("/a", "/b")
    deposit(indexed, USDC)
    indexed.finalize()
    await indexed.rpc.look_around()
    far = {"context": {"slot": 2**40}, "value": 5}
    indexed.world.node.endpoints["/a"].lies["getBalance"] = lambda _: far
    await indexed.treasury.follow()
    indexed.world.node.endpoints["/a"].lies.clear()
    hidden = deposit(indexed, 2 * USDC)
    for endpoint in indexed.world.node.endpoints.values():
        endpoint.hides.add(hidden)
    indexed.finalize()
    for _ in range(2):
        await indexed.treasury.follow()
    assert indexed.gaps[-2:] == [(Asset.USDC, 2 * USDC), (Asset.SOL, 0)]
    kept = await indexed.store.read(lambda conn: reading(conn, "treasury_sol"))
    assert kept is not None
    assert (kept.amount, kept.slot <= indexed.rpc.finalized_slot) == (100 * SOL, True)


async def test_what_a_node_without_it_was_asked_for_is_booked_once_the_history_has_it(quick: Quick) -> None:
    """`simulate`, seed 1168: the first node to be asked kept no old history, and the opening deposit was missed."""
    indexed = quick()
    hidden = deposit(indexed, 7 * USDC)
    indexed.finalize()
    indexed.world.node.endpoints["/"].hides.add(hidden)
    for found in (None, 7 * USDC):
        deposit(indexed, 2 * USDC)
        indexed.finalize()
        assert (await indexed.treasury.follow()).gaps.get(Asset.USDC) == found
    assert (await indexed.treasury.follow()).gaps[Asset.USDC] == 7 * USDC, "it is looked for in vain"
    indexed.world.node.endpoints["/"].hides.clear()
    before = indexed.wire.count("getSignaturesForAddress")
    assert (await indexed.treasury.follow()).gaps[Asset.USDC] == 7 * USDC, "and not again at once"
    assert indexed.wire.count("getSignaturesForAddress") - before == 2
    await indexed.clock.sleep(READ_AGAIN_SECONDS)
    await indexed.treasury.follow()
    assert (await indexed.treasury.follow()).gaps[Asset.USDC] == 0
    await assert_booked_as_on_chain(indexed)
    assert await booked(indexed, CONVERSION_CLEARING, Asset.USDC) == -11 * USDC
