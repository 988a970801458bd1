"""Asks a service that has refused our key whether it takes it by now: one call for all the work that waits for it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

import structlog

from domain.waits import look_again_after
from ports.clock import Clock

log = structlog.get_logger(__name__)

ASK_AGAIN, ASK_AGAIN_MOST = timedelta(seconds=5), timedelta(minutes=5)


class Key(Protocol):
    """Our key, as a service takes it or not."""

    async def refusal(self) -> str:
        """Wait until it is refused; in the service's words."""
        ...

    async def is_taken(self) -> bool:
        """Ask the service."""
        ...


class KeyWatch:
    """`run` until cancelled. `keys` by the service's name; `observe` is told of each change."""

    def __init__(self, clock: Clock, keys: Mapping[str, Key], observe: Callable[[str, bool], None]) -> None:
        """`observe` gets the service and whether it refuses our key."""
        self._clock, self._keys, self._observe = clock, keys, observe

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for service, key in self._keys.items():
                self._observe(service, False)
                group.create_task(self._watch(service, key))

    async def _watch(self, service: str, key: Key) -> None:
        while True:
            why = await key.refusal()
            log.error("our key is refused: what needs it waits, an operator must act", service=service, why=why)
            self._observe(service, True)
            begun = self._clock.monotonic()
            while True:
                waited = timedelta(seconds=self._clock.monotonic() - begun)
                await self._clock.sleep(look_again_after(waited, ASK_AGAIN, ASK_AGAIN_MOST).total_seconds())
                if await key.is_taken():
                    break
            log.warning("our key is taken again: what waited goes on", service=service)
            self._observe(service, False)
