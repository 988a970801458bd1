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

    def uuids(self, count: int) -> list[str]:
        """Written down by hand: a plan needs ten thousand, and the class takes three times as long for each."""
        drawn = secrets.token_hex(16 * count)
        return [_as_uuid(drawn[start : start + 32]) for start in range(0, len(drawn), 32)]

    def token(self) -> str:
        return secrets.token_urlsafe(32)

    def jitter(self) -> float:
        return random.random()  # noqa: S311, TID251 (spreads retries; guards nothing)


def _as_uuid(drawn: str) -> str:
    """The form of version 4 (RFC 9562, section 5.4) of 32 hexadecimal digits: two of them say version and variant."""
    variant = "89ab"[int(drawn[16], 16) & 3]
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-{variant}{drawn[17:20]}-{drawn[20:]}"
