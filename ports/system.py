"""The real clock and the real randomness."""

import asyncio
import random
import secrets
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4  # noqa: TID251 (this is the port)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 (this is the port)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemIds:
    """The operating system's randomness."""

    def uuid(self) -> UUID:
        return uuid4()

    def token(self) -> str:
        return secrets.token_urlsafe(32)

    def jitter(self) -> float:
        return random.random()  # noqa: S311, TID251 (spreads retries; guards nothing)
