"""What happened, in order: hashed as it comes, and the end of it kept for the story of a failure."""

import hashlib
from collections import deque
from collections.abc import Callable

KEPT = 4_000
"""Lines that stay in memory: hours of a busy week."""


class Trace:
    """Two runs of one seed have the same `hash`. `listener` hears every line as it is written."""

    def __init__(self, now_ms: Callable[[], int], listener: Callable[[str], None] | None = None) -> None:
        self._now_ms, self._listener = now_ms, listener
        self._begun = now_ms()
        self._hash = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=KEPT)
        self.told: list[str] = []
        """What people and mischief did: the plot, without the traffic."""

    def note(self, *words: object) -> None:
        """One line, under the world's time since its start."""
        line = f"{self._now_ms() - self._begun} {' '.join(map(str, words))}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self.lines.append(line)
        if self._listener is not None:
            self._listener(line)

    def tell(self, *words: object) -> None:
        """A line of the plot."""
        self.note(*words)
        self.told.append(self.lines[-1])

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()
