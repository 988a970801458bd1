"""Circle takes no orders: after a few in a row without an answer (ADR 75), or one that it refuses for all (ADR 77), no
other one leaves, and one asks, ever more rarely, until it is taken. That they are held stands in a row, for all
replicas; each counts for itself what is not taken.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta

import structlog

from domain.errors import AccessRefused, PaymentSystemError, Retryable
from domain.waits import look_again_after
from payouts.rails.circle_orders import CircleOrders
from ports.clock import Clock
from storage.payouts import held_orders
from storage.payouts.transfers import TransferCase
from storage.store import Store
from storage.work import REFUSED_ACCESS

log = structlog.get_logger(__name__)

FEW = 3
"""Orders in a row without an answer."""
ON_THEIR_WAY_MOST = 6
"""New orders at once whose first call has not ended. Circle takes five a second: this slows nothing down while it
answers within a second, and where it lets each wait for half a minute, eight are out when the third has ended."""
POLL = timedelta(seconds=3)
UNANSWERED_MOST, ASK_MOST = timedelta(hours=1), timedelta(minutes=5)
"""Between two tries of an order that is not taken, and of the one that asks for all: the next order that is answered
makes all of them due."""


class Silence:
    def __init__(self, store: Store, clock: Clock, orders: CircleOrders) -> None:
        self._store, self._clock, self._orders = store, clock, orders
        self._transfers = set[int]()
        """Whose orders were not taken in this process, since one was, or others were held."""
        self._had_any = False
        self._refused = set[int]()
        """Whose orders were refused for all since one was taken."""
        self._at_fault = set[int]()
        """Whose orders were refused while others were taken: what they meet says nothing of the others."""
        self._room = asyncio.Semaphore(ON_THEIR_WAY_MOST)

    def room(self, case: TransferCase) -> AbstractAsyncContextManager[None]:
        """For an order that may leave for the first time: kept until what came of it has been counted."""
        return self._room if case.never_left else nullcontext()

    async def wait(self, case: TransferCase, error: PaymentSystemError, taken: timedelta) -> timedelta:
        """Until an order is tried again that was not taken, or did not leave, for so long."""
        transfer_id, now = case.transfer.id, self._clock.now()
        self._had_any = True
        self._transfers.add(transfer_id)
        is_for_all = isinstance(error, AccessRefused) and transfer_id not in self._at_fault
        if is_for_all:
            self._refused.add(transfer_id)
        if is_for_all or len(self._transfers) == FEW:
            await self._begin(why_not_taken(error))
        asks = await self._store.read(lambda conn: held_orders.asks_for_all(conn, case.live.id, now))
        if case.never_left and not asks:
            self._orders.tried_another(now)
        asked = error.retry_after_seconds if isinstance(error, Retryable) else None
        most = ASK_MOST if asks or case.never_left else UNANSWERED_MOST
        return max(timedelta(seconds=asked or 0), look_again_after(taken, POLL, most))

    async def _begin(self, why: str) -> None:
        self._transfers.clear()
        self._orders.hold_back()
        now = self._clock.now()
        if await self._store.write(lambda conn: held_orders.hold(conn, why, now)):
            log.error("circle takes no orders: one asks for all others", why=why)

    async def ended(self) -> None:
        """Circle has answered an order: it takes others, and those again that it did not."""
        had_any, now = self._had_any, self._clock.now()
        self._at_fault |= self._refused
        self._refused.clear()
        self._transfers.clear()
        self._had_any = False
        if not had_any and not await self._store.read(held_orders.are_held):
            return
        if await self._store.write(lambda conn: held_orders.answered(conn, now)):
            log.warning("circle takes orders again: what waited goes on")

    async def keep_asking(self) -> None:
        """While orders are held somebody asks: who did may have been found in Circle's list, or have ended."""
        now = self._clock.now()
        if not await self._store.read(lambda conn: held_orders.stands_still(conn, now)):
            return
        done = await self._store.write(lambda conn: held_orders.move(conn, now))
        if done is not None:
            log.warning("orders are held, and nobody was to ask", done=done)


def why_not_taken(error: PaymentSystemError) -> str:
    """In words for the operator."""
    return f"{REFUSED_ACCESS}{error}" if isinstance(error, AccessRefused) else str(error)
