"""Blockhashes: made from the seed and the slot, and good for 150 blocks."""

import hashlib
from collections import deque

from solders.hash import Hash

MAX_PROCESSING_AGE = 150
"""Blocks for which a blockhash may be used (agave's constant of the same name)."""


class Blockhashes:
    """Remembers the hashes handed out, as long as they are good.

    A hash is only known here once someone was told it, so a chain that stands idle for a week keeps nothing.
    """

    def __init__(self, seed: bytes, keep_slots: int) -> None:
        self._seed = seed
        self._keep = keep_slots
        """Slots for which a hash is remembered beyond its life, because a lagging endpoint may still ask about it."""
        self._slots: dict[Hash, int] = {}
        self._order: deque[tuple[int, Hash]] = deque()
        self._forks: list[tuple[int, int]] = []
        self._private = 0

    def of(self, slot: int) -> Hash:
        """The hash of a slot's block."""
        branch = sum(1 for base, top in self._forks if base < slot <= top)
        return self._issue(slot, b"block", slot, branch)

    def private(self, slot: int) -> Hash:
        """A hash nobody else gets, so that two equal transactions of the faucet have different signatures."""
        self._private += 1
        return self._issue(slot, b"faucet", self._private, 0)

    def good_at(self, blockhash: Hash, slot: int) -> bool:
        """Whether a transaction with this hash may run in `slot` (block heights move with slots here)."""
        born = self._slots.get(blockhash)
        return born is not None and born <= slot <= born + MAX_PROCESSING_AGE

    def fork(self, base: int, top: int) -> None:
        """The blocks after `base` up to `top` are replaced by others: their hashes were never valid."""
        self._forks.append((base, top))
        for blockhash in [known for known, slot in self._slots.items() if base < slot <= top]:
            del self._slots[blockhash]

    def forget(self, current: int) -> None:
        horizon = current - MAX_PROCESSING_AGE - self._keep
        while self._order and self._order[0][0] < horizon:
            self._slots.pop(self._order.popleft()[1], None)
        if self._forks and self._forks[0][1] < horizon:
            self._forks = [fork for fork in self._forks if fork[1] >= horizon]

    def _issue(self, slot: int, kind: bytes, number: int, branch: int) -> Hash:
        text = b"%s:%s:%d:%d" % (self._seed, kind, number, branch)
        blockhash = Hash(hashlib.sha256(text).digest())
        if blockhash not in self._slots:
            self._slots[blockhash] = slot
            self._order.append((slot, blockhash))
        return blockhash
