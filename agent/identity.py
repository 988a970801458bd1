"""What this installation is, stored at its first start; a later difference stops the start.

Another derivation secret would give every mint another address, another wallet or cluster would make the ledger a lie.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, select

from chain.addresses import parse_address
from domain.errors import PaymentSystemError, Rejected
from domain.keys import derivation_fingerprint
from gateways.circle_api import WalletFacts
from ports.clock import Clock
from storage.operation.listings import INSTALLED_AT
from storage.statements import insert_into
from storage.store import Store
from storage.tables import installation

FINGERPRINT = "derivation_fingerprint"
PLATFORM_ADDRESS = "platform_address"
GENESIS_HASH = "genesis_hash"

REMEDIES: Mapping[str, str] = {
    FINGERPRINT: "AGENT_DERIVATION_SECRET: not the secret this database was made with; restore the old one",
    PLATFORM_ADDRESS: "CIRCLE_W3S_PLATFORM_WALLET_ID: not the wallet this database was made with; use the old one",
    GENESIS_HASH: "SOLANA_RPC_URLS: not the cluster this database was made for; use the old one or another database",
}


class StartRefused(PaymentSystemError):
    """The daemon must not run like this; the text names the setting and the remedy."""


class PlatformWallet(Protocol):
    async def fetch_wallet(self, wallet_id: str) -> WalletFacts: ...


def recorded(conn: Connection, name: str) -> str | None:
    """A stored fact of this installation."""
    return conn.scalar(select(installation.c.value).where(installation.c.name == name))


def pin(conn: Connection, name: str, value: str, now: datetime) -> None:
    """Store a fact at first sight; raise StartRefused when another value is stored."""
    _keep_first(conn, name, value, now)
    if recorded(conn, name) != value:
        raise StartRefused(REMEDIES.get(name, f"{name} differs from what this database was made with"))


def _keep_first(conn: Connection, name: str, value: str, now: datetime) -> None:
    """Of replicas that start together on an empty database, the first one's value stands."""
    conn.execute(
        insert_into(installation, conn.dialect.name).values(name=name, value=value, set_at=now).on_conflict_do_nothing()
    )


async def begin(store: Store, clock: Clock, derivation_secret: bytes, genesis_hash: str) -> None:
    """Pin what the settings alone tell. Raises StartRefused."""
    now = clock.now()

    def write(conn: Connection) -> None:
        _keep_first(conn, INSTALLED_AT, now.isoformat(), now)
        pin(conn, FINGERPRINT, derivation_fingerprint(derivation_secret), now)
        pin(conn, GENESIS_HASH, genesis_hash, now)

    await store.write(write)


async def platform_address(store: Store, clock: Clock, circle: PlatformWallet, wallet_id: str, blockchain: str) -> str:
    """The platform wallet's address: what is stored, else as Circle tells it, then stored.

    Raises StartRefused for a wallet that can't serve, Retryable while Circle can't be read at the first start.
    """
    known = await store.read(lambda conn: recorded(conn, PLATFORM_ADDRESS))
    if known is not None:
        return known
    return await confirm_wallet(store, clock, circle, wallet_id, blockchain)


async def confirm_wallet(store: Store, clock: Clock, circle: PlatformWallet, wallet_id: str, blockchain: str) -> str:
    """Fetch the platform wallet and hold it against what is stored. Raises as `platform_address`."""
    try:
        wallet = await circle.fetch_wallet(wallet_id)
    except Rejected as error:
        name = "CIRCLE_W3S_API_KEY" if error.code in {"401", "403"} else "CIRCLE_W3S_PLATFORM_WALLET_ID"
        raise StartRefused(f"{name}: Circle refuses the platform wallet: {error}") from error
    if wallet.blockchain != blockchain or wallet.custody_type != "DEVELOPER":
        raise StartRefused(
            f"CIRCLE_W3S_PLATFORM_WALLET_ID: a developer-controlled wallet on {blockchain} is needed, "
            f"this one is {wallet.custody_type} on {wallet.blockchain}"
        )
    parse_address(wallet.address)
    now = clock.now()
    await store.write(lambda conn: pin(conn, PLATFORM_ADDRESS, wallet.address, now))
    return wallet.address
