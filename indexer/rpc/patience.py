"""An endpoint that has not got as far as it is held to is asked again until it has, for as long as one that is well
may need."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from indexer.rpc.endpoint import LAG_SLOTS_MOST
from indexer.rpc.errors import EndpointError, is_behind
from indexer.rpc.node import Node
from indexer.rpc.pace import SlotPace
from ports.clock import Clock

T = TypeVar("T")
CATCH_UP_SLOTS = 4
"""Between two questions to an endpoint that lags: a dozen of them at most."""


class Patience:
    def __init__(self, clock: Clock, pace: SlotPace) -> None:
        self._clock, self._pace = clock, pace

    def patiently(self, question: Callable[[Node], Awaitable[T]]) -> Callable[[Node], Awaitable[T]]:
        """The same question, which waits for an endpoint that is behind; until when counts from now, for all of them
        together."""
        return partial(self._once_there, question, self._clock.monotonic() + LAG_SLOTS_MOST * self._pace.seconds)

    async def _once_there(self, question: Callable[[Node], Awaitable[T]], give_up: float, node: Node) -> T:
        while True:
            try:
                return await question(node)
            except EndpointError as error:
                if not is_behind(error) or self._clock.monotonic() >= give_up:
                    raise
            await self._clock.sleep(CATCH_UP_SLOTS * self._pace.seconds)
