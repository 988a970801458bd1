"""Slots as a function of the clock, and what the three commitment levels mean in slots."""

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

from sandbox.service import Clock

FIRST_SLOT = 435_888_000
"""The first slot of epoch 1009: about as large as today's on the real clusters."""
HEIGHT_BEHIND_SLOT = 21_500_000
"""Slots skipped before the sandbox began. Block height is lower than the slot number on every real cluster; keeping
them apart shows a client that confuses the two."""
SLOTS_PER_EPOCH = 432_000


class Commitment(StrEnum):
    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True)
class _Anchor:
    """From this slot on, which began at `ms`, slots take `slot_ms`."""

    slot: int
    ms: int
    slot_ms: int


class SlotClock:
    """Maps unix milliseconds to slots; never runs backwards.

    `confirmed_slots` and `finality_slots` tell how far these commitments lie behind the newest slot. Equal values give
    a cluster under Alpenglow.
    """

    def __init__(self, clock: Clock, slot_ms: int, confirmed_slots: int, finality_slots: int) -> None:
        if slot_ms < 1 or not 0 <= confirmed_slots <= finality_slots:
            raise ValueError("slot_ms must be positive and 0 <= confirmed_slots <= finality_slots")
        self._clock = clock
        self.slot_ms = slot_ms
        self.depth = {
            Commitment.PROCESSED: 0,
            Commitment.CONFIRMED: confirmed_slots,
            Commitment.FINALIZED: finality_slots,
        }
        self._anchors = [_Anchor(FIRST_SLOT, clock(), slot_ms)]
        self._newest = FIRST_SLOT

    def now_ms(self) -> int:
        return self._clock()

    def current(self) -> int:
        anchor = self._anchors[-1]
        self._newest = max(self._newest, anchor.slot + (self._clock() - anchor.ms) // anchor.slot_ms)
        return self._newest

    def skip(self, slots: int) -> None:
        """Jump ahead by so many slots at once, without the clock moving."""
        if slots < 0:
            raise ValueError("slots only move forward")
        self._anchors.append(_Anchor(self.current() + slots, self._clock(), self.slot_ms))
        self.current()

    def set_slot_ms(self, slot_ms: int) -> None:
        """From the next slot on, slots take so long: the cluster gets slower or faster."""
        if slot_ms < 1:
            raise ValueError("slot_ms must be positive")
        following = self.current() + 1
        self._anchors.append(_Anchor(following, max(self.starts_ms(following), self._clock()), slot_ms))
        self.slot_ms = slot_ms

    def starts_ms(self, slot: int) -> int:
        """When a slot begins (or began)."""
        index = max(0, bisect_right(self._anchors, slot, key=lambda anchor: anchor.slot) - 1)
        anchor = self._anchors[index]
        return anchor.ms + (slot - anchor.slot) * anchor.slot_ms

    def block_time(self, slot: int) -> int:
        """Unix seconds of a block."""
        return self.starts_ms(slot) // 1000

    def status(self, landed: int, tip: int) -> Commitment:
        """The commitment that a block of slot `landed` has reached when `tip` is the newest slot seen."""
        behind = tip - landed
        if behind >= self.depth[Commitment.FINALIZED]:
            return Commitment.FINALIZED
        return Commitment.CONFIRMED if behind >= self.depth[Commitment.CONFIRMED] else Commitment.PROCESSED


def block_height(slot: int) -> int:
    return slot - HEIGHT_BEHIND_SLOT
