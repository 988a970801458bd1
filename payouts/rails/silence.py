"""Circle answers no orders: after a few in a row no other one leaves, and one asks, ever more rarely, until it is
answered (ADR 75). That they are held stands in a row, for all replicas; each counts for itself what stays unanswered.
"""

from datetime import timedelta

import structlog

from domain.errors import PaymentSystemError, Retryable
from domain.waits import look_again_after
from payouts.rails.circle_orders import CircleOrders
from ports.clock import Clock
from storage.payouts import held_orders
from storage.payouts.transfers import TransferCase
from storage.store import Store

log = structlog.get_logger(__name__)

FEW = 3
"""Orders in a row without an answer."""
POLL = timedelta(seconds=3)
UNANSWERED_MOST, ASK_MOST = timedelta(hours=1), timedelta(minutes=5)
"""Between two tries of an order that nobody answers, and of the one that asks for all: the next order that is answered
makes all of them due."""


class Silence:
    def __init__(self, store: Store, clock: Clock, orders: CircleOrders) -> None:
        self._store, self._clock, self._orders = store, clock, orders
        self._transfers = set[int]()
        """Whose orders were not answered in this process, since one was, or others were held."""
        self._had_any = False

    async def wait(self, case: TransferCase, error: PaymentSystemError, taken: timedelta) -> timedelta:
        """Until an order is tried again that was not answered, or did not leave, for so long."""
        self._had_any = True
        self._transfers.add(case.transfer.id)
        if len(self._transfers) == FEW:
            await self._begin(str(error))
        asks = await self._store.read(lambda conn: held_orders.asks_for_all(conn, case.live.id))
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
        """Circle has answered an order: it takes others, and answers those again that it did not."""
        had_any, now = self._had_any, self._clock.now()
        self._transfers.clear()
        self._had_any = False
        if not had_any and not await self._store.read(held_orders.are_held):
            return
        if await self._store.write(lambda conn: held_orders.answered(conn, now)):
            log.warning("circle takes orders again: what waited goes on")
