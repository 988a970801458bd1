"""How long what an earlier process signed can still land, counted once for all the lives that wait for it."""

from collections.abc import Callable, Set
from typing import Protocol

from ports.clock import Clock
from storage.recovery import gate_waits
from storage.recovery.gate_waits import GateWait
from storage.store import Store

LATE_LANDING_BLOCKS = 150 + 32
"""A blockhash is taken from a confirmed block, up to 32 ahead of the finalized ones, and lives 150 blocks: what an
earlier process signed can land for so long (reference: Solana, section 1)."""
HANDED_ON_BLOCKS, TOO_FEW_BLOCKS = 40, 15
"""So much longer stays closed what has taken over a wait, for the next life should this one be as short; not where it
can come to its end before."""


class Heights(Protocol):
    """Finalized block heights."""

    async def highest_block_height(self) -> int:
        """That any endpoint tells."""
        ...

    async def witnessed_block_height(self) -> int:
        """That as many endpoints have reached as there must be witnesses."""
        ...


class LateLandings:
    """`begin` as early as can be, `pass_by` before what must see all that landed, `end` before the gate opens.

    A wait that an earlier life began goes on. Until the chain has come to `closed_until` none of those who wait can
    have opened his gate and signed anything: not who went on from the same rows in another copy of them either.
    Finalized heights never fall. Replicas whose gates were open before may have, but their rows tell of it, and a wait
    is told only where no rows can be missing (`storage/recovery/gate_waits.py`).
    """

    def __init__(self, store: Store, clock: Clock, heights: Heights, slot_seconds: Callable[[], float]) -> None:
        self._store, self._clock, self._heights, self._slot_seconds = store, clock, heights, slot_seconds
        self._outlives = store.one_process or store.dialect == "postgresql"
        """Simulated replicas share an SQLite file, which has nothing to tell a copy by."""
        self._wait: GateWait | None = None
        self._taken_over = False

    @property
    def has_begun(self) -> bool:
        return self._wait is not None

    async def had_begun(self) -> bool:
        """Whether an earlier life had reason to wait: whatever that was, it is waited then."""
        return await self._standing() is not None

    async def begin(self) -> None:
        """Nothing, where it has begun."""
        if self._wait is not None:
            return
        before, height = await self._standing(), await self._heights.highest_block_height()
        if before is not None and before.signed_up_to - LATE_LANDING_BLOCKS <= height <= before.closed_until:
            self._wait, self._taken_over = before, True
        else:
            await self._stay_closed(GateWait(height, height + LATE_LANDING_BLOCKS))

    async def left(self) -> int:
        """Blocks until nothing can land any more."""
        assert self._wait is not None
        return await self._until(self._wait.signed_up_to + LATE_LANDING_BLOCKS)

    async def pass_by(self) -> None:
        """Wait until nothing can land any more."""
        while await self.left():
            await self._sleep()
        assert self._wait is not None
        height = await self._heights.highest_block_height()
        if self._taken_over and self._wait.closed_until < height + TOO_FEW_BLOCKS:
            await self._stay_closed(GateWait(self._wait.signed_up_to, height + HANDED_ON_BLOCKS))

    async def looked_at(self) -> set[int]:
        """For the NFTs of which sales an earlier life has looked since nothing can land any more."""
        wait = self._wait
        if wait is None or not self._taken_over:
            return set()
        return await self._store.read(lambda conn: gate_waits.looked_at(conn, wait))

    async def keep_looked_at(self, sales: Set[int]) -> None:
        """For the next life."""
        wait, now = self._wait, self._clock.now()
        if wait is not None and self._outlives:
            await self._store.write(lambda conn: gate_waits.keep_looked_at(conn, wait, sales, now))

    async def end(self) -> None:
        """Wait until the gate may open."""
        while self._wait is not None and await self._until(self._wait.closed_until):
            await self._sleep()

    async def _standing(self) -> GateWait | None:
        return await self._store.read(gate_waits.standing) if self._outlives else None

    async def _stay_closed(self, wait: GateWait) -> None:
        if self._outlives:
            now = self._clock.now()
            await self._store.write(lambda conn: gate_waits.stay_closed(conn, wait, now))
        self._wait = wait

    async def _until(self, height: int) -> int:
        return max(0, height + 1 - await self._heights.witnessed_block_height())

    async def _sleep(self) -> None:
        await self._clock.sleep(max(self._slot_seconds() * 8, 0.05))
