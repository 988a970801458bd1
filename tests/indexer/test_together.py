"""Several questions at once: the first failure ends the others, a cancellation ends all."""

import asyncio

import pytest

from domain.errors import Retryable
from indexer.together import together


async def fails_when_ended() -> None:
    """As a call does that turns the end of its task into an error of its own."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise Retryable("broken off") from None


async def test_a_cancellation_is_not_taken_for_the_failure_it_causes() -> None:
    running = asyncio.create_task(together([fails_when_ended(), fails_when_ended()]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_first_failure_ends_the_others_and_comes_out_by_itself() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise Retryable("no answer")

    with pytest.raises(Retryable, match="no answer"):
        await together([waits(), fails()])
    assert ended == ["waits"]


async def test_results_come_in_the_order_of_the_questions() -> None:
    async def answer(number: int) -> int:
        for _ in range(3 - number):
            await asyncio.sleep(0)
        return number

    assert await together([answer(number) for number in range(3)]) == [0, 1, 2]
    assert await together([]) == []
