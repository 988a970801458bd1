"""Things to do later: a heap of due times and actions, run by `tick`."""

import heapq
from collections.abc import Callable
from itertools import count


class Agenda:
    """Actions due at the same millisecond run in the order in which they were put in."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, due_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (due_ms, next(self._numbers), action))

    def run(self, now_ms: int) -> None:
        """Run all that is due by `now_ms`, also what running it makes due."""
        while self._heap and self._heap[0][0] <= now_ms:
            heapq.heappop(self._heap)[2]()

    def next_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None
