"""Recipients' accounts are read together where several are asked of at once, and each who asks is answered."""

import asyncio
from collections.abc import Sequence

import pytest

from domain.destinations import AccountStanding
from domain.errors import Retryable
from indexer.standings import Standings

KNOWN = {"ada": AccountStanding.READY, "bob": AccountStanding.FROZEN, "cleo": AccountStanding.MISSING}


class Chain:
    """Answers when it is let go on."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.fails = False

    async def standings(self, owners: Sequence[str]) -> list[AccountStanding]:
        self.asked.append(list(owners))
        await self.may_answer.wait()
        if self.fails:
            raise Retryable("no RPC endpoint answered", 3.0)
        return [KNOWN[owner] for owner in owners]


async def asking(standings: Standings, *owners: str) -> list[asyncio.Task[list[AccountStanding]]]:
    """A task for each, which has come as far as it can."""
    tasks = [asyncio.create_task(standings.of(owner)) for owner in owners]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_asks_while_an_answer_is_on_its_way_shares_the_next_call() -> None:
    chain = Chain()
    standings = Standings(chain.standings)
    first = await asking(standings, "ada")
    others = await asking(standings, "bob", "cleo", "bob")
    chain.may_answer.set()
    assert await asyncio.gather(*first, *others) == [[KNOWN[owner]] for owner in ("ada", "bob", "cleo", "bob")]
    assert chain.asked == [["ada"], ["bob", "cleo"]]
    assert await standings.of("ada", "bob") == [AccountStanding.READY, AccountStanding.FROZEN]
    assert len(chain.asked) == 3


async def test_where_the_chain_can_t_be_read_each_is_told_so_and_may_ask_again() -> None:
    chain = Chain()
    standings = Standings(chain.standings)
    chain.fails = True
    tasks = await asking(standings, "ada", "bob")
    chain.may_answer.set()
    for task in tasks:
        with pytest.raises(Retryable, match="no RPC endpoint answered") as told:
            await task
        assert told.value.retry_after_seconds == 3.0
    chain.fails = False
    assert await standings.of("bob") == [AccountStanding.FROZEN]


async def test_one_who_is_stopped_while_he_asks_for_all_leaves_nobody_without_an_answer() -> None:
    chain = Chain()
    standings = Standings(chain.standings)
    reader, other = await asking(standings, "ada", "bob")
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    chain.may_answer.set()
    assert await other == [AccountStanding.FROZEN]


async def test_an_owner_who_can_t_be_asked_about_is_in_nobody_s_way_afterwards() -> None:
    chain = Chain()
    chain.may_answer.set()
    standings = Standings(chain.standings)
    with pytest.raises(KeyError):
        await standings.of("no address at all")
    assert await standings.of("ada") == [AccountStanding.READY]
