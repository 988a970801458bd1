"""USDC accounts for whoever is about to have one recipient paid: those who ask while an answer is on its way share the
next call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from domain.destinations import AccountStanding
from domain.errors import Retryable

Read = Callable[[Sequence[str]], Awaitable[list[AccountStanding]]]
"""`PackedChain.standings`."""


class Standings:
    """One for the process. An order at Circle goes alone, five a second: a call of its own for each would be half of
    what a public node takes."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._reading = asyncio.Lock()
        self._asked: dict[str, list[AccountStanding | Retryable]] = {}
        """Owner → where those who asked of him find the answer."""

    async def of(self, *owners: str) -> list[AccountStanding]:
        """As the newest confirmed block has them. Raises Retryable."""
        found = [self._asked.setdefault(owner, []) for owner in owners]
        async with self._reading:
            if not all(found):
                await self._answer()
        return [_told(answers[0]) for answers in found]

    async def _answer(self) -> None:
        owners = list(self._asked)
        try:
            answers: Sequence[AccountStanding | Retryable] = await self._read(owners)
        except Retryable as error:
            answers = [error] * len(owners)
        for owner, answer in zip(owners, answers, strict=True):
            self._asked.pop(owner).append(answer)


def _told(answer: AccountStanding | Retryable) -> AccountStanding:
    if isinstance(answer, Retryable):
        raise Retryable(str(answer), answer.retry_after_seconds)
    return answer
