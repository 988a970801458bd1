"""Turns are evenly spaced, shared fairly by two lanes, and never lost."""

import asyncio
import heapq
import itertools
from datetime import datetime

from gateways.pace import HOLD_MAX_SECONDS, Pace
from tests.gateways.wire import NOW


class AlarmClock:
    """Time moves to the next sleeper once everybody waits."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.Event()
        heapq.heappush(self._sleepers, (self._seconds + seconds, next(self._numbers), wake))
        await wake.wait()

    async def run_until(self, end: float) -> None:
        while True:
            for _ in range(10):
                await asyncio.sleep(0)
            if not self._sleepers or self._sleepers[0][0] > end:
                self._seconds = end
                return
            self._seconds, _, wake = heapq.heappop(self._sleepers)
            wake.set()


def start(pace: Pace, clock: AlarmClock, name: str, log: list[tuple[str, float]], favoured: bool) -> asyncio.Task[None]:
    async def work() -> None:
        await pace.turn(favoured=favoured)
        log.append((name, round(clock.monotonic(), 3)))

    return asyncio.create_task(work())


async def test_turns_come_evenly_in_the_order_of_asking() -> None:
    clock, log = AlarmClock(), list[tuple[str, float]]()
    pace = Pace(clock, 5)
    tasks = [start(pace, clock, str(number), log, favoured=False) for number in range(6)]
    await clock.run_until(10)
    await asyncio.gather(*tasks)
    assert log == [(str(number), round(number * 0.2, 3)) for number in range(6)]


async def test_while_mints_wait_payouts_leave_them_two_of_ten_and_take_the_rest() -> None:
    clock, log = AlarmClock(), list[tuple[str, float]]()
    pace = Pace(clock, 10, reserved=2)
    tasks = [start(pace, clock, "payout", log, favoured=False) for _ in range(100)]
    tasks += [start(pace, clock, "mint", log, favoured=True) for _ in range(20)]
    await clock.run_until(5.05)
    for second in range(1, 5):
        names = [name for name, at in log if second <= at < second + 1]
        assert (names.count("mint"), names.count("payout")) == (2, 8)
    await clock.run_until(60)
    await asyncio.gather(*tasks)
    assert len(log) == 120


async def test_who_waits_alone_gets_every_turn() -> None:
    for favoured in (True, False):
        clock, log = AlarmClock(), list[tuple[str, float]]()
        pace = Pace(clock, 10, reserved=2)
        tasks = [start(pace, clock, "x", log, favoured) for _ in range(20)]
        await clock.run_until(1.95)
        assert len(log) == 20
        await asyncio.gather(*tasks)


async def test_one_who_gives_up_waiting_loses_no_turn_for_the_others() -> None:
    for given_up in range(4):
        clock, log = AlarmClock(), list[tuple[str, float]]()
        pace = Pace(clock, 1)
        await pace.turn()
        tasks = [start(pace, clock, str(number), log, favoured=number % 2 == 0) for number in range(4)]
        await clock.run_until(0.5)
        tasks[given_up].cancel()
        await clock.run_until(20)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(name for name, _ in log) == [str(number) for number in range(4) if number != given_up]
        assert [at for _, at in log] == [1.0, 2.0, 3.0]
        assert pace.waiting == 0


async def test_one_cancelled_at_the_very_moment_of_his_turn_passes_it_on() -> None:
    clock, log = AlarmClock(), list[tuple[str, float]]()
    pace = Pace(clock, 1)
    await pace.turn()

    async def go_and_cancel_the_next() -> None:
        await pace.turn()
        second.cancel()

    first = asyncio.create_task(go_and_cancel_the_next())
    second = start(pace, clock, "second", log, favoured=False)
    third = start(pace, clock, "third", log, favoured=False)
    await clock.run_until(5)
    assert log == [("third", 2.0)]
    await asyncio.gather(first, second, third, return_exceptions=True)


async def test_a_pause_that_was_asked_for_holds_the_class_but_not_for_ever() -> None:
    clock, log = AlarmClock(), list[tuple[str, float]]()
    pace = Pace(clock, 10)
    pace.hold(2.0)
    task = start(pace, clock, "a", log, favoured=False)
    await clock.run_until(3)
    pace.hold(900.0)
    other = start(pace, clock, "b", log, favoured=False)
    await clock.run_until(20)
    await asyncio.gather(task, other)
    assert log == [("a", 2.0), ("b", 3.0 + HOLD_MAX_SECONDS)]


async def test_without_a_limit_nobody_waits() -> None:
    pace = Pace(AlarmClock(), 0)
    for _ in range(1000):
        await pace.turn()
