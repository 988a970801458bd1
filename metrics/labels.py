"""Labels with an end: whatever a caller passes, a metric never has more than so many series."""

import re

OTHER = "other"
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


class Bounded:
    """The first `most` different plain words pass; all others, and everything that is no plain word, are `other`.

    A safety net: callers pass names from the code. It holds if one ever passes what came from outside.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._most or _PLAIN.fullmatch(value) is None:
            return OTHER
        self._known.add(value)
        return value


class OneOf:
    """Only the words given; all others are `other`."""

    def __init__(self, *words: str) -> None:
        self._words = frozenset(words)

    def __call__(self, value: str) -> str:
        return value if value in self._words else OTHER
