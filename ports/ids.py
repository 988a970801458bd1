"""Randomness as a port."""

from typing import Protocol
from uuid import UUID


class Ids(Protocol):
    """Every random choice of the daemon. The simulator's is seeded."""

    def uuid(self) -> UUID:
        """A random UUID, version 4."""
        ...

    def uuids(self, count: int) -> list[str]:
        """As many of them as text, drawn in one go."""
        ...

    def token(self) -> str:
        """A secret for a bearer token or an invite: URL-safe, at least 256 bits."""
        ...

    def jitter(self) -> float:
        """Uniform in [0, 1), to spread retries."""
        ...
