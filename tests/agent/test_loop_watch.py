"""How late the event loop came to its alarm, by a clock that a test moves."""

import asyncio

import pytest

from agent.loop_watch import EVERY_SECONDS, LoopWatch
from tests.web.shop import HandClock


class LateClock(HandClock):
    """Wakes whoever sleeps so much late; after the last one the watch is ended."""

    def __init__(self, *late: float) -> None:
        super().__init__()
        self._late = list(late)

    async def sleep(self, seconds: float) -> None:
        if not self._late:
            raise asyncio.CancelledError
        await super().sleep(seconds + self._late.pop(0))


async def test_each_alarm_is_told_with_how_late_it_was() -> None:
    told: list[float] = []
    clock = LateClock(0.0, 0.25, 30.0)
    with pytest.raises(asyncio.CancelledError):
        await LoopWatch(clock, told.append).run()
    assert [round(seconds, 3) for seconds in told] == [0.0, 0.25, 30.0]
    assert (clock.now() - HandClock().now()).total_seconds() == 3 * EVERY_SECONDS + 30.25
