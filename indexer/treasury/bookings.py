"""What read transactions did to the wallet, as rows; each is booked once, whoever comes first."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from domain.ledger import Asset
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import receipts_closed
from indexer.movements import lamport_movement, usdc_movement
from indexer.treasury.tracks import Track
from storage.payouts import receipts
from storage.treasury.deposits import lock_explaining
from storage.treasury.movement_rows import MovementKind
from storage.treasury.movements import book_usdc
from storage.treasury.network_costs import book_lamports


class Bookings:
    def __init__(self, wallet: str, usdc_account: str, usdc_mint: str) -> None:
        self._wallet, self._usdc_account, self._usdc_mint = wallet, usdc_account, usdc_mint

    def book(
        self, conn: Connection, track: Track, facts: Sequence[TransactionFacts], now: datetime
    ) -> list[MovementKind | None]:
        """What each was booked as; None where it moved nothing or was booked before."""
        return self._usdc(conn, facts, now) if track.asset is Asset.USDC else self._lamports(conn, facts, now)

    def _usdc(self, conn: Connection, facts: Sequence[TransactionFacts], now: datetime) -> list[MovementKind | None]:
        moved = [usdc_movement(one, self._usdc_account, self._usdc_mint) for one in facts]
        if any(one is not None and one.amount > 0 for one in moved):
            lock_explaining(conn)  # before what an outflow on the same page books
        return [None if one is None else book_usdc(conn, one, now) for one in moved]

    def _lamports(
        self, conn: Connection, facts: Sequence[TransactionFacts], now: datetime
    ) -> list[MovementKind | None]:
        found = [lamport_movement(one, self._wallet) for one in facts]
        new = book_lamports(conn, [one for one in found if one is not None], now)
        for one in facts:
            for receipt in receipts_closed(one, self._wallet, self._usdc_mint, self._usdc_account):
                freed = sum(-moved.delta for moved in one.lamport_movements if moved.account == receipt)
                receipts.closed(conn, receipt, one.signature, one.slot, freed, now)
        return [*[MovementKind.OTHER] * new, *[None] * (len(facts) - new)]
