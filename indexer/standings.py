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
        self._asked: dict[str, list[AccountStanding | Exception]] = {}
        """Owner → where those who asked of him find the answer."""

    async def of(self, *owners: str) -> list[AccountStanding]:
        """As the newest confirmed block has them. Raises Retryable; a defect comes out at those whose call met it, and
        is in nobody's way after them."""
        found = [self._asked.setdefault(owner, []) for owner in owners]
        async with self._reading:
            if not all(found):
                await self._answer()
        return [_told(answers[0]) for answers in found]

    async def _answer(self) -> None:
        owners = list(self._asked)
        try:
            answers: Sequence[AccountStanding | Exception] = await self._read(owners)
        except Exception as error:  # noqa: BLE001 (raised again to each who asked)
            answers = [error] * len(owners)
        for owner, answer in zip(owners, answers, strict=True):
            self._asked.pop(owner).append(answer)


def _told(answer: AccountStanding | Exception) -> AccountStanding:
    if isinstance(answer, Retryable):
        raise Retryable(str(answer), answer.retry_after_seconds)
    if isinstance(answer, Exception):
        raise answer
    return answer
