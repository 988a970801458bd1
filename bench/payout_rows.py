"""Rows of a platform on the eve of a large batch, as the daemon would have left them: sold, minted, priced, owed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from solders.keypair import Keypair
from sqlalchemy import Connection, Table, insert

from domain.states import CheckoutState, PurchaseStatus, UsdcStatus, WalletState
from storage.tables import checkouts, contents, payouts, purchases, state_history, users

GROSS_CENTS, FEE_CENTS, DUE = 300, 39, 2_350_000
"""The sale of $3.00: what the creator is due of it, in base units."""
PAGE = 2_000
BUYER = 1


@dataclass(frozen=True, slots=True)
class Eve:
    """Creators have the user ids from 2 on; purchase n is of creator n modulo their number."""

    creators: int
    purchases: int
    now: datetime
    seed: int = 1

    def owners(self) -> list[str]:
        """The creators' addresses."""
        rng = random.Random(self.seed)
        return [str(Keypair.from_seed(rng.randbytes(32)).pubkey()) for _ in range(self.creators)]

    @property
    def total(self) -> int:
        """Base units owed to all of them."""
        return self.purchases * DUE

    def due(self) -> list[int]:
        """Base units by creator."""
        whole, more = divmod(self.purchases, self.creators)
        return [(whole + (number < more)) * DUE for number in range(self.creators)]

    def payout_uuid(self, number: int) -> str:
        return self._uuid(5, number)

    def write(self, conn: Connection) -> None:
        """All rows, in pages."""
        owners = self.owners()
        _pages(conn, users, [self._user(BUYER, "buyer", None), *self._creators(owners)])
        _pages(conn, contents, [self._content(number) for number in range(self.creators)])
        for table, make in (
            (checkouts, self._checkout),
            (purchases, self._purchase),
            (payouts, self._payout),
            (state_history, self._history),
        ):
            for start in range(0, self.purchases, PAGE):
                conn.execute(insert(table), [make(n) for n in range(start, min(start + PAGE, self.purchases))])

    def _creators(self, owners: Sequence[str]) -> Iterator[dict[str, Any]]:
        for number, owner in enumerate(owners):
            yield self._user(number + 2, f"creator{number}", owner)

    def _user(self, user_id: int, name: str, owner: str | None) -> dict[str, Any]:
        return {
            "id": user_id,
            "uuid": self._uuid(0, user_id),
            "email": f"{name}@example.com",
            "username": name,
            "password_hash": "-",
            "circle_wallet_id": None if owner is None else self._uuid(1, user_id),
            "circle_wallet_address": owner,
            "wallet_state": WalletState.READY if owner else WalletState.NONE,
            "created_at": self.now,
        }

    def _content(self, number: int) -> dict[str, Any]:
        return {
            "id": number + 1,
            "uuid": self._uuid(2, number),
            "author_id": number + 2,
            "title": f"Work {number}",
            "price_cents": GROSS_CENTS,
            "ipfs_hash": "QmWork",
            "created_at": self.now,
        }

    def _checkout(self, number: int) -> dict[str, Any]:
        return {
            "id": number + 1,
            "uuid": self._uuid(3, number),
            "content_id": number % self.creators + 1,
            "buyer_id": BUYER,
            "idempotency_key": self._uuid(4, number),
            "params": "{}",
            "state": CheckoutState.COMPLETED,
            "price_cents": GROSS_CENTS,
            "expires_at": self.now,
            "created_at": self.now,
        }

    def _purchase(self, number: int) -> dict[str, Any]:
        return {
            "id": number + 1,
            "uuid": self._uuid(3, number),
            "stripe_payment_intent_id": f"pi_{number:024d}",
            "checkout_id": number + 1,
            "content_id": number % self.creators + 1,
            "buyer_id": BUYER,
            "gross_amount": GROSS_CENTS,
            "stripe_fee": FEE_CENTS,
            "net_after_stripe": GROSS_CENTS - FEE_CENTS,
            "available_on": self.now,
            "paid_at": self._paid_at(number),
            "status": PurchaseStatus.COMPLETED,
            "edition_held": True,
            "creator_amount": DUE,
            "platform_amount": (GROSS_CENTS - FEE_CENTS) * 10_000 - DUE,
            "minted_at": self.now,
            "created_at": self.now,
        }

    def _payout(self, number: int) -> dict[str, Any]:
        return {
            "id": number + 1,
            "uuid": self.payout_uuid(number),
            "purchase_id": number + 1,
            "recipient_id": number % self.creators + 2,
            "recipient_number": 1,
            "share_bps": 10_000,
            "amount": DUE,
            "state": UsdcStatus.PENDING_CONVERSION,
            "paid_at": self._paid_at(number),
            "created_at": self.now,
        }

    def _history(self, number: int) -> dict[str, Any]:
        return {
            "machine": "payout",
            "subject": str(number + 1),
            "before": None,
            "after": UsdcStatus.PENDING_CONVERSION,
            "at": self.now,
        }

    def _paid_at(self, number: int) -> datetime:
        return self.now - timedelta(days=3) + timedelta(seconds=number)

    def _uuid(self, kind: int, number: int) -> str:
        return str(UUID(int=(self.seed << 96 | kind << 88 | number), version=4))


def _pages(conn: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(rows), PAGE):
        conn.execute(insert(table), rows[start : start + PAGE])
