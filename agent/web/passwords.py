"""Passwords: argon2id off the event loop, a few at a time, and the same time for an unknown e-mail address."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from domain.errors import RequestError
from ports.executor import Executor

T = TypeVar("T")

AT_ONCE = 4
"""Hashes computed at the same time: each takes a core and `memory_kib` of memory."""
WAITING_MAX = 64
"""Callers that may wait for one; beyond it a quick 503 is kinder than a minute in line."""


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """Argon2id parameters; the defaults are OWASP's minimum."""

    memory_kib: int = 19_456
    iterations: int = 2
    lanes: int = 1


NOBODY = f"${'A' * 22}${'A' * 43}"
"""Salt and hash, all zeros, of an account that does not exist: to check a password against it takes as long."""
QUICK = PasswordCost(memory_kib=8, iterations=1)
"""For random passwords of 256 bits, which no hardware guesses whatever the hash costs."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, executor: Executor, cost: PasswordCost) -> None:
        self._executor = executor
        self._hasher = PasswordHasher(time_cost=cost.iterations, memory_cost=cost.memory_kib, parallelism=cost.lanes)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._callers = 0
        self._decoy = f"$argon2id$v=19$m={cost.memory_kib},t={cost.iterations},p={cost.lanes}{NOBODY}"

    async def hash(self, password: str) -> str:
        """The hash to store. Raises RequestError 503 `busy`."""
        return await self._run(lambda: self._hasher.hash(password))

    async def check(self, stored: str | None, password: str) -> bool:
        """Whether the password fits; for None (no such account) it takes as long and says no."""
        return await self._run(lambda: self._fits(stored, password))

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _fits(self, stored: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(stored or self._decoy, password) and stored is not None
        except (VerifyMismatchError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._callers >= WAITING_MAX:
            raise RequestError(503, "busy", "too many people are signing in; try again in a moment")
        self._callers += 1
        try:
            async with self._gate:
                return await self._executor.run(work)
        finally:
            self._callers -= 1
