"""Much that strangers send is read by the word of one endpoint, and two prove what all of it comes to."""

from collections.abc import Callable
from typing import Any

import pytest

from indexer.treasury.reader import CHUNK, SMALL_UNITS
from tests.indexer.test_treasury import USDC, Quick, assert_booked_as_on_chain, deposit, pay
from tests.indexer.world import Indexed

SPAM = 8 * CHUNK


def spam(indexed: Indexed, many: int = SPAM) -> None:
    for number in range(many):
        deposit(indexed, 1 + number)
        if number % 3 == 0:
            indexed.world.pass_slots(1)


def reads_of(indexed: Indexed) -> list[int]:
    """Transactions that each endpoint was asked for, by the calls that it had."""
    return [one.calls for one in indexed.rpc.health()]


def lies(indexed: Indexed, path: str, signature: str, moved: Callable[[int], int]) -> None:
    """An endpoint tells otherwise what a deposit has brought: `moved` of what it did."""

    def told(params: list[Any]) -> Any:
        shown = indexed.world.rpc("getTransaction", *params)
        if shown is not None and params[0] == signature:
            before = {
                one["accountIndex"]: int(one["uiTokenAmount"]["amount"]) for one in shown["meta"]["preTokenBalances"]
            }
            for one in shown["meta"]["postTokenBalances"]:
                then, amount = before.get(one["accountIndex"], 0), one["uiTokenAmount"]
                amount["amount"] = str(then + moved(int(amount["amount"]) - then))
        return shown

    indexed.world.node.endpoints[path].lies["getTransaction"] = told


@pytest.mark.parametrize(("paths", "most"), [(("/a",), 1.0), (("/a", "/b"), 0.6), (("/a", "/b", "/c"), 0.45)])
async def test_of_much_that_brings_little_each_endpoint_reads_its_share_once(
    quick: Quick, paths: tuple[str, ...], most: float
) -> None:
    """Each of them was read by the first two, so that ten a second outran a rate of ten calls."""
    indexed = quick(*paths)
    spam(indexed)
    indexed.finalize()
    before = reads_of(indexed)
    await indexed.treasury.follow()
    assert len(await indexed.kinds(indexed.usdc_account)) == SPAM
    assert indexed.wire.count("getTransaction") <= 1.1 * SPAM
    shares = [now - then for now, then in zip(reads_of(indexed), before, strict=True)]
    assert max(shares) <= most * SPAM + CHUNK
    await assert_booked_as_on_chain(indexed)


async def test_what_leaves_and_what_brings_more_is_shown_by_two(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    spam(indexed, CHUNK)
    for _ in range(CHUNK):
        deposit(indexed, SMALL_UNITS)
        pay(indexed, SMALL_UNITS)
        indexed.world.pass_slots(1)
    indexed.finalize()
    await indexed.treasury.follow()
    assert indexed.wire.count("getTransaction") >= CHUNK + 2 * 2 * CHUNK
    await assert_booked_as_on_chain(indexed)


@pytest.mark.parametrize("moved", [lambda _: 1, lambda _: 0], ids=["next-to-nothing", "nothing"])
@pytest.mark.parametrize("path", ["/a", "/b"])
async def test_a_deposit_of_which_one_endpoint_says_that_it_brought_little_is_booked_as_it_was(
    quick: Quick, path: str, moved: Callable[[int], int]
) -> None:
    indexed = quick("/a", "/b", "/c")
    spam(indexed, CHUNK // 2)
    real = deposit(indexed, 500 * USDC)
    spam(indexed, CHUNK // 4)
    indexed.finalize()
    lies(indexed, path, real, moved)
    await indexed.treasury.follow()
    (row,) = [one for one in await indexed.movements() if one.signature == real and one.account == indexed.usdc_account]
    assert row.amount == 500 * USDC
    await assert_booked_as_on_chain(indexed)


@pytest.mark.parametrize("path", ["/a", "/b"])
async def test_what_little_has_brought_is_not_more_by_the_word_of_one_endpoint(quick: Quick, path: str) -> None:
    indexed = quick("/a", "/b", "/c")
    spam(indexed, CHUNK)
    last = indexed.world.node.history.landed[-CHUNK // 2].signature
    indexed.finalize()
    lies(indexed, path, last, lambda was: was + 100)
    await indexed.treasury.follow()
    await assert_booked_as_on_chain(indexed)


async def test_the_next_pass_goes_on_from_what_stood_in_the_account(quick: Quick) -> None:
    """A quiet account costs what it did: each transaction that comes alone is read by two."""
    indexed = quick("/a", "/b")
    for number in range(3):
        deposit(indexed, 1 + number)
        indexed.finalize()
        before = indexed.wire.count("getTransaction")
        assert (await indexed.treasury.follow()).deposits == 1
        assert indexed.wire.count("getTransaction") - before == 2 + 2 * (number == 0)
    spam(indexed, CHUNK)
    indexed.finalize()
    before = indexed.wire.count("getTransaction")
    await indexed.treasury.follow()
    assert indexed.wire.count("getTransaction") - before == CHUNK + 1, "the last one of the chunk is read twice"
    await assert_booked_as_on_chain(indexed)
