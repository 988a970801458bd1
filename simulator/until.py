"""When a long run ends: when all is done, when its time is over, or when a person says so. What was done by then is
told in each case: hours of it are not lost to a Ctrl-C."""

import math
import signal
import sys
import time
from collections.abc import Generator
from types import FrameType, TracebackType
from typing import Any, TypeVar

R = TypeVar("R")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While it is entered, the first Ctrl-C or SIGTERM only asks for an end, and the second one raises
    KeyboardInterrupt. For the main thread."""

    def __init__(self) -> None:
        self.asked = False
        self._before: list[Any] = []

    def __enter__(self) -> "Stop":
        self._before = [signal.signal(one, self._hear) for one in SIGNALS]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for one, before in zip(SIGNALS, self._before, strict=True):
            signal.signal(one, before)

    def _hear(self, _: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("ending: what is under way is finished first; once more ends at once", file=sys.stderr, flush=True)  # noqa: T201


class Until:
    """A time of so many seconds that begins now, and ends early when `stop` is asked for."""

    def __init__(self, stop: Stop, seconds: float = math.inf) -> None:
        self.seconds = seconds
        self._stop, self._began = stop, time.monotonic()

    @property
    def taken(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def over(self) -> bool:
        return self._stop.asked or self.taken > self.seconds

    def part(self, share: float) -> "Until":
        """So much of its time, beginning now."""
        return Until(self._stop, self.seconds * share)

    def each(self, answers: Generator[R, None, None]) -> Generator[R, None, None]:
        """Answer after answer, until it is over; `answers` are closed then."""
        try:
            for answer in answers:
                yield answer
                if self.over():
                    return
        finally:
            answers.close()
