"""What the checker and the world itself found broken."""

import asyncio
from collections.abc import Iterable


class Findings:
    """Broken invariants in words, each told once. Whoever waits for the `first` one is woken by it: what follows a
    violation only makes its story longer."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}
        self._first = asyncio.Event()

    def add(self, found: str) -> None:
        self._told[found] = None
        self._first.set()

    def extend(self, found: Iterable[str]) -> None:
        for one in found:
            self.add(one)

    async def first(self) -> None:
        """Return as soon as there is one."""
        await self._first.wait()

    def told(self) -> list[str]:
        return list(self._told)
