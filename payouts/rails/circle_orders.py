"""A transfer as an order at Circle: asked for under its one key, found again, and held against what was meant."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from domain.errors import AccessRefused, KeySpent, Misuse, Retryable
from domain.keys import KEY_TRUSTED_FOR
from domain.money import USDC_DECIMALS
from gateways.circle_api import CircleTransaction, TransactionPage
from ports.clock import Clock, SendWindow
from storage.payouts import held_orders
from storage.payouts import transfers as rows
from storage.payouts.transfers import TransferCase
from storage.store import Store
from storage.work import Claim, fenced

CLOCK_AHEAD_MOST = timedelta(minutes=3)
"""By more than this our clock is never ahead of Circle's while anything is sent (`agent.clock_watch`). It is not looked
further back: an attempt before this one may have left an order that nobody has named."""


class CircleTransfers(Protocol):
    def require_key(self) -> None:
        """Raises KeyRefused while our key is refused: nothing would leave."""
        ...

    async def submit_transfer(
        self, key: UUID, body_fields: Mapping[str, Any], window: SendWindow
    ) -> CircleTransaction: ...

    async def fetch_transaction(self, transaction_id: str) -> CircleTransaction: ...

    def list_transactions(
        self, wallet_id: str, since: datetime, *, destination: str | None = None
    ) -> AsyncIterator[TransactionPage]: ...


class OrdersHeld(Exception):
    """Circle takes no orders now, and this one has not left."""


class CircleOrders:
    """Of transfers whose attempt is committed."""

    def __init__(self, store: Store, clock: Clock, circle: CircleTransfers, blockchain: str) -> None:
        self._store, self._clock, self._circle, self._blockchain = store, clock, circle, blockchain
        self._leaving: set[SendWindow] = set()
        self._tried_at: datetime | None = None

    def require_key(self) -> None:
        """Raises KeyRefused while nothing could be ordered."""
        self._circle.require_key()

    def is_asked_for(self, case: TransferCase) -> bool:
        """Whether the next look orders it: Circle has not named it yet, and its key is still good."""
        return case.live.circle_transaction_id is None and not self._is_old(case)

    def would_be_sent_again(self, case: TransferCase) -> bool:
        """Whether its outcome is unknown and its key still good: where Circle never got it, that is a new order."""
        return self.is_asked_for(case) and case.live.first_sent_at is not None

    async def fetch_or_submit(self, case: TransferCase, claim: Claim, window: SendWindow) -> CircleTransaction | None:
        """The transfer at Circle, ordered if it is not; None when a key too old to be used again left no trace. Raises
        OrdersHeld."""
        attempt = case.live
        if attempt.circle_transaction_id is not None:
            return await self._circle.fetch_transaction(attempt.circle_transaction_id)
        if self._is_old(case):
            return await self.find(case)
        self._circle.require_key()
        now, is_first = self._clock.now(), case.never_left
        why = await self._store.write(fenced(claim, lambda conn: self._begin(conn, case, now)))
        if why is not None:
            raise OrdersHeld(why)
        if is_first:
            self._leaving.add(window)
        try:
            return await self._circle.submit_transfer(UUID(attempt.idempotency_key), json.loads(attempt.body), window)
        except KeySpent:
            found = await self.find(case)
            if found is None:
                raise
            return found
        except (AccessRefused, Retryable):
            if is_first:
                over = self._clock.now()
                await self._store.write(fenced(claim, lambda conn: rows.not_sent(conn, attempt.id, now, over)))
            raise
        finally:
            self._leaving.discard(window)

    def _begin(self, conn: Connection, case: TransferCase, now: datetime) -> str | None:
        """Committed before the call; or why it is not made."""
        why = self.why_held(conn, case, now, lock=True) if case.never_left else None
        if why is None:
            rows.first_send(conn, case.live.id, now)
        return why

    def why_held(self, conn: Connection, case: TransferCase, now: datetime, *, lock: bool = False) -> str | None:
        """Why one that has not left, and may have no attempt yet, must not leave now. `lock`: where it is let go."""
        attempt_id = None if case.attempt is None else case.attempt.id
        return held_orders.why_held(conn, attempt_id, now, self._tried_at, lock=lock)

    def tried_another(self, now: datetime) -> None:
        """One that does not ask for all others was not taken either, and is known not to have left."""
        self._tried_at = now

    def hold_back(self) -> None:
        """Orders that wait for their turn to leave for the first time do not leave."""
        for window in self._leaving:
            window.close()

    async def find(self, case: TransferCase) -> CircleTransaction | None:
        """Circle has no filter by reference, so the listing since the attempt's birth is read: the newest under it that
        no other attempt has named."""
        return await self._newest(case)

    async def glimpse(self, case: TransferCase) -> CircleTransaction | None:
        """As `find`, among those to its address alone: one page, where a batch's list has hundreds. That it is nowhere
        only `find` tells."""
        return await self._newest(case, destination=case.transfer.destination_address)

    async def _newest(self, case: TransferCase, destination: str | None = None) -> CircleTransaction | None:
        attempt = case.live
        others = await self._store.read(lambda conn: rows.others_at_circle(conn, case.transfer.id, attempt.id))
        newest = None
        since = attempt.created_at - CLOCK_AHEAD_MOST
        async for page in self._circle.list_transactions(attempt.wallet_id, since, destination=destination):
            for found in page.transactions:
                if found.ref_id == case.transfer.reference and found.id not in others:
                    newest = found
        return newest

    async def fetch(self, case: TransferCase) -> CircleTransaction:
        """What Circle says now of a transfer that it has named."""
        seen = await self._circle.fetch_transaction(case.live.circle_transaction_id)
        self.require_ours(case, seen)
        return seen

    async def renamed(self, case: TransferCase) -> CircleTransaction | None:
        """The transfer, if Circle names another signature by now: it may until the transfer is confirmed. Never of an
        outflow that a person named."""
        if case.live.circle_transaction_id is None:
            return None
        seen = await self.fetch(case)
        return None if seen.tx_hash in (None, case.live.signature) else seen

    def require_ours(self, case: TransferCase, seen: CircleTransaction) -> None:
        """After any answer, replayed or not, the object must be the one that was meant."""
        transfer = case.transfer
        meant = (case.live.wallet_id, transfer.destination_address, transfer.amount, transfer.reference)
        found = (seen.wallet_id, seen.destination_address, seen.amount_units(USDC_DECIMALS), seen.ref_id)
        if meant != found or seen.blockchain != self._blockchain:
            raise Misuse(f"Circle's transaction {seen.id} is not transfer {transfer.reference}: {found}")

    def _is_old(self, case: TransferCase) -> bool:
        """Whether Circle may have forgotten the key that was sent."""
        sent_at = case.live.first_sent_at
        return sent_at is not None and self._clock.now() - sent_at > KEY_TRUSTED_FOR
