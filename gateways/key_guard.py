"""Whether a service takes our key: while it does not, it is asked for that alone."""

import asyncio
from collections.abc import Awaitable, Callable

from domain.errors import KeyRefused, OutcomeUnknown, Rejected, Retryable


class KeyGuard:
    """From the first refusal on no call leaves, until the one that asks for the key alone is answered. It is forgotten
    with the process: another key comes with another start."""

    def __init__(self, service: str, ask: Callable[[], Awaitable[object]]) -> None:
        """`ask`: a cheap call, which needs the key and no right beside it, and leaves whatever the guard says."""
        self._service, self._ask = service, ask
        self._refusal: KeyRefused | None = None
        self._was_refused = asyncio.Event()
        self._stays_open = False

    def stay_open(self) -> None:
        """For who asks on purpose what may be refused: no refusal says anything of the calls after it."""
        self._stays_open = True

    def require(self, call: str) -> None:
        """Raise KeyRefused where `call` would be refused as the one before was."""
        if self._refusal is not None:
            raise KeyRefused(self._refusal.code, f"{call}: not asked, since our key is refused: {self._refusal}")

    def refuse(self, refusal: KeyRefused) -> None:
        """The service has refused the key."""
        if self._stays_open:
            return
        self._refusal = refusal
        self._was_refused.set()

    @property
    def service(self) -> str:
        return self._service

    @property
    def is_refused(self) -> bool:
        return self._refusal is not None

    async def refusal(self) -> str:
        """Wait until the key is refused; in the service's words."""
        await self._was_refused.wait()
        return str(self._refusal)

    async def is_taken(self) -> bool:
        """Ask the service. Without an answer all stays as it is."""
        try:
            await self._ask()
        except (KeyRefused, Retryable, OutcomeUnknown):
            return False
        except Rejected:
            pass  # for another reason than the key
        self._refusal = None
        self._was_refused.clear()
        return True

    def __repr__(self) -> str:
        return f"KeyGuard({self._service!r})"
