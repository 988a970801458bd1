"""Sales made through the repositories, without Stripe, Circle or a chain: rows as the daemon would have left them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple
from uuid import UUID, uuid5

from solders.keypair import Keypair
from sqlalchemy import Connection, select

from domain.evidence import Evidence
from domain.keys import hash_secret, transfer_key
from domain.ledger import Asset
from domain.split import SplitRule
from domain.states import BatchStatus
from storage.mints import minting
from storage.mints.minting import MintIntent
from storage.payouts import batches, transfers
from storage.people import users, wallets
from storage.people.users import NewUser
from storage.sales import checkouts, contents, purchases
from storage.sales.checkouts import Mark, Wanted
from storage.sales.contents import NewContent
from storage.sales.purchases import Fee, Payment
from storage.tables import transfers as transfer_rows
from storage.treasury import movement_rows, movements

START = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
PLATFORM = str(Keypair.from_seed(bytes(32)).pubkey())
INVITE = "an invite for everybody"
NAMESPACE = UUID("6f0c6b0e-7a61-4c53-9d0a-0a4dbf0c7a10")
MINT_LAMPORTS = 5_115_000
PAYOUT_LAMPORTS = 5_000


class Open(NamedTuple):
    """A checkout whose Session is open."""

    uuid: str
    id: int
    price: int


@dataclass
class Sales:
    """A shop's rows. Methods run in the caller's transaction; `usdc_account` is the platform wallet's token account."""

    usdc_account: str
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def uuid(self) -> UUID:
        drawn = uuid5(NAMESPACE, str(next(self.numbers)))
        return UUID(int=drawn.int & ~(0xF << 76) | 4 << 76)

    def uuids(self, count: int) -> list[str]:
        return [str(self.uuid()) for _ in range(count)]

    def user(self, conn: Connection, name: str, *, wallet: bool = True) -> int:
        number = next(self.numbers)
        users.ensure_invite(conn, INVITE, None, START)
        account = NewUser(str(self.uuid()), f"u{number}@example.com", name, hash_secret("pw"))
        user_id = users.sign_up(conn, account, INVITE, START)
        if wallet:
            address = str(Keypair.from_seed(number.to_bytes(32, "big")).pubkey())
            wallets.ready(conn, user_id, f"wallet-{number}", address, START)
        return user_id

    def content(self, conn: Connection, author: int, price_cents: int = 300, **shares: int) -> int:
        split = {int(name.removeprefix("user_")): bps for name, bps in shares.items()}
        new = NewContent(str(self.uuid()), "Still life", "", price_cents, None, "bafy", None, split)
        return contents.publish(conn, author, new, START)

    def paid(self, conn: Connection, content: int, buyer: int, at: datetime = START) -> int:
        """A paid purchase with its edition; its mint is queued."""
        return self.pays(conn, self.opened(conn, content, buyer, at), at)

    def opened(self, conn: Connection, content: int, buyer: int, at: datetime = START) -> Open:
        """A Session that waits for its payment."""
        uuid, price = str(self.uuid()), checkouts.for_sale(conn, content).price_cents
        wanted = Wanted(uuid, str(self.uuid()), content, buyer, at + timedelta(hours=1))
        return Open(uuid, checkouts.begin(conn, wanted, price, {}, at).id, price)

    def pays(self, conn: Connection, session: Open, at: datetime = START) -> int:
        payment, name = f"pi_{session.id}", f"cs_{session.id}"
        purchase_id = purchases.ensure(conn, Mark(session.uuid), at, payment, name)
        checkouts.complete(conn, purchase_id, at)
        purchases.record_payment(conn, purchase_id, Payment(payment, None, session.price, "usd", at), at)
        return purchase_id

    def priced(self, conn: Connection, purchase_id: int, fee_cents: int = 39, at: datetime = START) -> None:
        """The fee is final."""
        gross = purchases.required(conn, purchase_id).gross_amount
        fee = Fee(f"txn_{purchase_id}", f"ch_{purchase_id}", gross, fee_cents, gross - fee_cents, at)
        purchases.record_fee(conn, purchase_id, fee, SplitRule(), at)

    def minted(self, conn: Connection, purchase_id: int, fee_cents: int = 39, at: datetime = START) -> None:
        """The fee is final and the NFT exists: the creators' money is owed."""
        self.priced(conn, purchase_id, fee_cents, at)
        attempt_id = self.minting(conn, purchase_id, at)
        signature = f"mint-signature-{purchase_id}"
        minting.signed(conn, attempt_id, b"wire", signature, 150, at)
        minting.finalized(conn, attempt_id, Evidence(signature, True, "", 5, at, MINT_LAMPORTS), at)

    def minting(self, conn: Connection, purchase_id: int, at: datetime = START) -> int:
        """An attempt at its NFT is about to be signed; the attempt's id."""
        intent = MintIntent(
            "wallet",
            PLATFORM,
            PLATFORM,
            f"seed{purchase_id}",
            f"mint{purchase_id}",
            "Still life #1",
            "RBLK",
            "ipfs://b",
        )
        return minting.intend(conn, purchase_id, self.uuid(), intent, at)

    def sold(self, conn: Connection, content: int, buyer: int, at: datetime = START) -> int:
        purchase_id = self.paid(conn, content, buyer, at)
        self.minted(conn, purchase_id, at=at)
        return purchase_id

    def deposit(self, conn: Connection, base_units: int, at: datetime = START) -> None:
        signature = f"deposit-{next(self.numbers)}"
        movement = movement_rows.Movement(signature, self.usdc_account, Asset.USDC, base_units, 7, at)
        movements.book_usdc(conn, movement, at)

    def pay(self, conn: Connection, batch_id: int, at: datetime, *, fails: int = 0) -> None:
        """Every transfer of a covered batch finalized; the last `fails` of them given up instead."""
        found = list(conn.scalars(select(transfer_rows.c.id).where(transfer_rows.c.batch_id == batch_id)))
        for place, transfer_id in enumerate(found):
            if place >= len(found) - fails:
                self._intend(conn, transfer_id, at)
                transfers.failed(conn, transfer_id, "Circle refused the address", at)
            else:
                self.land(conn, transfer_id, at)

    def land(self, conn: Connection, transfer_id: int, at: datetime) -> None:
        """A covered transfer sent and finalized."""
        self.send(conn, transfer_id, at)
        evidence = Evidence(f"payout-{transfer_id}", True, "", 9, at, PAYOUT_LAMPORTS)
        transfers.distributed(conn, transfer_id, evidence, self.usdc_account, at)

    def send(self, conn: Connection, transfer_id: int, at: datetime) -> None:
        """A covered transfer sent, without an answer."""
        self._intend(conn, transfer_id, at)
        transfers.first_send(conn, transfers.load(conn, transfer_id).live.id, at)

    def _intend(self, conn: Connection, transfer_id: int, at: datetime) -> None:
        row = conn.execute(select(transfer_rows).where(transfer_rows.c.id == transfer_id)).one()
        key = transfer_key(row.key_scope, UUID(row.uuid), 1)
        transfers.intend(conn, transfers.load(conn, transfer_id, lock=True), 1, key, "wallet", PLATFORM, {}, at)

    def settle(self, conn: Connection, batch_id: int, at: datetime) -> None:
        batches.move(conn, batch_id, BatchStatus.SETTLED, at)
