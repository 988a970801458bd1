"""Gives every outflow of the platform wallet to what it paid, as far as that is certain: by the wallet's history, by
what a transaction tells of itself, by Circle's list."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import Connection

from agent.identity import StartRefused
from domain.errors import Misuse
from domain.evidence import MintOutflow, PackedOutflow
from domain.money import USDC_DECIMALS, format_usdc
from gateways.circle_api import CircleTransaction, TransactionPage
from ports.clock import Clock
from ports.ids import Ids
from storage.mints import mint_settlement
from storage.operation.listings import read_since, read_whole
from storage.payouts.receipts import closed_unknown
from storage.payouts.upkeep import Payer
from storage.recovery import adoption, packed_adoption
from storage.recovery.adoption import Outflow
from storage.recovery.placing import Placement, place
from storage.store import Store
from storage.treasury.outflows import kind_of, oldest_orphans

log = structlog.get_logger(__name__)

CURSOR = "circle_outbound"
OVERLAP = timedelta(days=1)
"""A transfer created shortly before the last listing may not have been in it."""
PAGE = 100
NAMED_MOST = 3
COMPLETE = "COMPLETE"
SURELY_LISTED = timedelta(minutes=2)
"""A transaction that has been final for so long stands in the wallet's history, if it changed the wallet's USDC."""
KEPT_FOR = timedelta(hours=1)
"""A pass that was broken off is gone on with for so long."""


class CircleOutflows(Protocol):
    def list_transactions(
        self, wallet_id: str, since: datetime, cursor: str | None = None
    ) -> AsyncIterator[TransactionPage]: ...


class Follower(Protocol):
    async def backfill_until_caught_up(self) -> object: ...

    async def unseen_outflow(self) -> int:
        """As that. USDC (base units) that has left by the balance, and not by the history."""
        ...


class ChainOutflows(Protocol):
    async def packed_outflow(self, signature: str) -> PackedOutflow | None:
        """What a finalized transaction with a receipt of ours paid to whom; None for any other."""
        ...

    async def mint_outflow(self, signature: str) -> MintOutflow | None:
        """What a finalized transaction that made an NFT of ours paid too, to whom; None for any other."""
        ...

    async def was_receipt(self, account: str) -> bool:
        """Whether an account that is gone was a receipt; the operator may close other accounts of the wallet."""
        ...


@dataclass(slots=True)
class _Pass:
    """How far one explanation is. What it has behind it stays so while the gate is closed: what is booked as a payout
    or adopted is never given up, Circle's list is oldest first, so that whatever comes later stands on a later page,
    and the history is read once more at the end. What fitted nothing is asked for anew by the next pass."""

    began: datetime
    history_is_read: bool = False
    asked_up_to: int = 0
    """Id of the movement that the chain was last asked about."""
    list_is_read: bool = False
    listed_since: datetime | None = None
    cursor: str | None = None
    unplaced: int = 0
    named: list[str] = field(default_factory=list)


class Explaining:
    """`explain` may break off with any service that fails, and is called again then: it goes on where it stopped."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        circle: CircleOutflows,
        follower: Follower,
        witness: ChainOutflows,
        payer: Payer,
        seed_of: Callable[[str], str],
    ) -> None:
        """`seed_of` a sale's payment_intent: what its mint's address is derived with."""
        self._store, self._clock, self._ids = store, clock, ids
        self._circle, self._follower, self._witness = circle, follower, witness
        self._payer, self._seed_of = payer, seed_of
        self._pass = _Pass(clock.now())
        self._no_receipts: set[str] = set()
        """Accounts that are gone and were none. What an account was does not change."""

    def begin_anew(self) -> None:
        """Forget how far the pass is."""
        self._pass = _Pass(self._clock.now())

    async def explain(self) -> str | None:
        """Read the history and give every outflow in it to what it paid. In words, what of Circle's list fits nothing,
        or what of the wallet's balance has left beside its history.

        Raises StartRefused for a database from before receipts that have since been closed.
        """
        if self._clock.now() - self._pass.began > KEPT_FOR:
            self.begin_anew()
        at = self._pass
        if not at.history_is_read:
            await self._follower.backfill_until_caught_up()
            at.history_is_read = True
        await self._refuse_closed()
        await self._adopt_by_chain(at)
        await self._adopt(at)
        unseen = await self._follower.unseen_outflow()
        self.begin_anew()
        if unseen:
            return (
                f"{format_usdc(unseen)} USDC have left the platform wallet in transactions that no RPC endpoint lists: "
                "have its history read again (index backfill --all)"
            )
        if not at.unplaced:
            return None
        return f"Circle shows {at.unplaced} transfer(s) that fit no payout: {', '.join(at.named)}"

    async def _refuse_closed(self) -> None:
        for account in await self._store.read(closed_unknown):
            if account in self._no_receipts:
                continue
            if await self._witness.was_receipt(account):
                raise StartRefused(
                    f"DATABASE_URL: this database is older than the receipt {account}, which was closed since: it "
                    "can't tell whom that paid, and the chain would let it be paid again; restore a newer backup"
                )
            self._no_receipts.add(account)

    async def _adopt_by_chain(self, at: _Pass) -> None:
        """What a transaction tells of itself, by its receipt or its mint. Oldest first: each takes the oldest payouts
        that it fits."""
        while found := await self._store.read(lambda conn: oldest_orphans(conn, at.asked_up_to, PAGE)):
            for movement in found:
                if await self._adopted(movement.signature):
                    log.warning("outflow adopted by what the chain shows", signature=movement.signature)
                at.asked_up_to = movement.id

    async def _adopted(self, signature: str) -> bool:
        packed = await self._witness.packed_outflow(signature)
        minted = None if packed else await self._witness.mint_outflow(signature)
        try:
            if packed is not None:
                return await self._store.write(_adopter(packed, self._payer, self._ids, self._clock.now()))
            return minted is not None and await self._adopt_minted(minted)
        except Misuse:
            log.exception("an outflow contradicts what is known", signature=signature)
            return False

    async def _adopt_minted(self, outflow: MintOutflow) -> bool:
        """The seed names the sale, by a secret that only we have."""
        sales = await self._store.read(mint_settlement.unminted)
        named = [sale_id for sale_id, payment_intent_id in sales if self._seed_of(payment_intent_id) == outflow.seed]
        if len(named) != 1:
            return False
        now, payer, new_uuid = self._clock.now(), self._payer, self._ids.uuid
        return await self._store.write(
            lambda conn: mint_settlement.adopt(conn, named[0], outflow, payer, new_uuid, now)
        )

    async def _adopt(self, at: _Pass) -> None:
        if at.list_is_read:
            return
        if at.listed_since is None:
            at.began = self._clock.now()
            at.listed_since = await self._store.read(lambda conn: read_since(conn, CURSOR, at.began)) - OVERLAP
        async for page in self._circle.list_transactions(self._payer.wallet_id, at.listed_since, at.cursor):
            lost = [seen for seen in page.transactions if not await self._place(seen)]
            if any(map(self._is_over, lost)):
                await self._follower.backfill_until_caught_up()
                lost = [seen for seen in lost if not await self._moved_nothing(seen)]
            at.unplaced += len(lost)
            at.named = [*at.named, *(f"{one.id} ({one.ref_id or 'no reference'})" for one in lost)][:NAMED_MOST]
            at.cursor = page.next_cursor
        if not at.unplaced:
            await self._store.write(lambda conn: read_whole(conn, CURSOR, at.began, self._clock.now()))
        at.list_is_read = True

    async def _place(self, seen: CircleTransaction) -> bool:
        """True when the outflow is known, was adopted, or never became one. What Circle has given up is adopted too, if
        it fits: it has used up its key, and its death is proven like any other's."""
        ended = seen.state in adoption.ENDED
        if not ended and await self._store.read(lambda conn: adoption.is_known(conn, seen.id)):
            return True
        outflow, uuid, now = self._outflow(seen), self._ids.uuid(), self._clock.now()
        try:
            placement = await self._store.write(lambda conn: place(conn, outflow, uuid, now))
        except Misuse:
            log.exception("an outflow contradicts what is known", circle=seen.id, reference=seen.ref_id)
            return False
        if placement is Placement.ADOPTED:
            log.warning("outflow adopted", circle=seen.id, reference=seen.ref_id)
        if placement in (Placement.KNOWN, Placement.ADOPTED) or ended:
            return True  # should one that ended have moved money, the wallet's history shows it as unexplained
        if placement is Placement.OTHER:
            # A person took it for his own. Where Circle's reference names what is still to be paid, that counts more.
            return not await self._store.read(lambda conn: adoption.names_due(conn, seen.ref_id or ""))
        return False

    def _is_over(self, seen: CircleTransaction) -> bool:
        return seen.state == COMPLETE and self._clock.now() - seen.update_date > SURELY_LISTED

    async def _moved_nothing(self, seen: CircleTransaction) -> bool:
        """Complete for a while, and no USDC of the platform wallet has moved by it: another token, or a call of a
        program. That the history lacks nothing is seen by the balance, at the end."""
        signature = seen.tx_hash
        if signature is None or not self._is_over(seen):
            return False
        return await self._store.read(lambda conn: kind_of(conn, signature)) is None

    def _outflow(self, seen: CircleTransaction) -> Outflow:
        return Outflow(
            circle_id=seen.id,
            state=seen.state,
            reference=seen.ref_id,
            destination=seen.destination_address,
            amount=seen.amount_units(USDC_DECIMALS),
            wallet_id=self._payer.wallet_id,
            source_address=self._payer.address,
            signature=seen.tx_hash,
            created_at=seen.create_date,
            updated_at=seen.update_date,
        )


def _adopter(outflow: PackedOutflow, payer: Payer, ids: Ids, now: datetime) -> Callable[[Connection], bool]:
    return lambda conn: packed_adoption.adopt(conn, outflow, payer, ids.uuid, now)
