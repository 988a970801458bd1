"""JSON over HTTP with the patience of a person: who finds nobody at home comes back a moment later."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import aiohttp

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8
PATIENCE_SECONDS = 60.0
"""How long one call is repeated while nobody answers; a restarted daemon is back well before."""
NO_PROGRESS_SECONDS = 120.0
"""How long nothing at all may change while something is waited for: twice the time of the slowest step."""
RETRY_SECONDS = 0.5
CALL_SECONDS = 30.0


class WeekFailed(Exception):
    """The week can't go on; the text says at what."""


class Wire:
    """One person's HTTP client."""

    def __init__(self, session: aiohttp.ClientSession, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._session = session
        self._patience_seconds = patience_seconds

    async def call(self, method: str, url: str, *, token: str | None = None, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of the answer. Repeats while nobody answers, or the answer is 503 or 429.

        Raises WeekFailed when that lasts too long.
        """
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        give_up = time.monotonic() + self._patience_seconds
        while True:
            try:
                async with self._session.request(
                    method, url, headers=headers, json=body, timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)
                ) as answer:
                    told: Any = await answer.json(content_type=None)
                    if answer.status not in (429, 503):
                        return answer.status, told
                    trouble = f"answered {answer.status}: {told}"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                trouble = f"{type(error).__name__}: {error}"
            if time.monotonic() > give_up:
                raise WeekFailed(f"{method} {url}: {trouble}")
            await asyncio.sleep(RETRY_SECONDS)

    async def must(self, method: str, url: str, *, token: str | None = None, body: Any = None) -> Any:
        """The JSON of a 2xx answer. Raises WeekFailed for any other."""
        status, told = await self.call(method, url, token=token, body=body)
        if not 200 <= status < 300:
            raise WeekFailed(f"{method} {url} answered {status}: {told}")
        return told


async def each(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Do it for every item, a few at once. The first failure ends the others."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with gate:
            return await work(item)

    tasks = [asyncio.create_task(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def follow(
    what: str,
    items: Iterable[T],
    look: Callable[[T], Awaitable[bool]],
    advance: Callable[[int], None],
    no_progress_seconds: float = NO_PROGRESS_SECONDS,
) -> None:
    """Look at all items again and again until each has answered True; tell `advance` how many more have.

    Raises WeekFailed when nothing has changed for too long.
    """
    waiting = list(items)
    give_up = time.monotonic() + no_progress_seconds
    while waiting:
        answers = await each(look, waiting)
        left = [item for item, answer in zip(waiting, answers, strict=True) if not answer]
        if len(left) < len(waiting):
            advance(len(waiting) - len(left))
            give_up = time.monotonic() + no_progress_seconds
        elif time.monotonic() > give_up:
            raise WeekFailed(f"{what}: nothing happened for {no_progress_seconds:.0f} s, {len(left)} are missing")
        waiting = left
        if waiting:
            await asyncio.sleep(max(RETRY_SECONDS, len(waiting) / 200))
