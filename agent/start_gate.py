"""Before anything is signed or sent after a start: is there an outflow that the database does not know?

Stripe's missed events are fetched, Circle's outbound transactions are listed, the platform wallet's history is read,
and read again once nothing that an earlier process sent can still land. What is unknown is adopted by the payout it
fits; what fits none waits for a person, and until then nothing is sent. Webhooks and console work all the while.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy import Connection

from agent.identity import StartRefused
from domain.errors import OutcomeUnknown, Rejected, Retryable
from domain.evidence import MintOutflow, PackedOutflow
from domain.money import USDC_DECIMALS
from domain.waits import look_again_after
from gateways.circle_api import CircleTransaction, TransactionPage
from ports.clock import Clock
from ports.ids import Ids
from storage import adoption, mint_settlement, minting, packed_adoption, transfers
from storage.adoption import Outflow
from storage.listings import read_since, read_whole
from storage.movement_rows import MovementKind
from storage.outflows import kind_of, orphans
from storage.receipts import closed_unknown
from storage.store import Store
from storage.upkeep import Payer

log = structlog.get_logger(__name__)

CURSOR = "circle_outbound"
OVERLAP = timedelta(days=1)
"""A transfer created shortly before the last listing may not have been in it."""
LATE_LANDING_BLOCKS = 150
"""A blockhash's life: what an earlier process signed can land for so long (reference: Solana, section 1)."""
LOOK_AGAIN, LOOK_AGAIN_MOST = timedelta(seconds=5), timedelta(minutes=1)
"""What waits for a person may wait for days, and each look lists what Circle and the chain have since the last one."""
LOOKED_SECONDS = 0.5
SALES_LOOKED_AT = 500
"""In one round, each by one question to the chain."""
ORDERS_LOOKED_AT = 100
"""In one round, each by a question to Circle at most."""
OUTFLOWS_MOST = 100_000
"""Packed payouts adopted by one start: more than a year of them."""


class Unplaced(Retryable):
    """Something left, and nothing says yet whom it paid."""


class CircleOutflows(Protocol):
    def list_transactions(self, wallet_id: str, since: datetime) -> AsyncIterator[TransactionPage]: ...


class Follower(Protocol):
    async def backfill_until_caught_up(self) -> object: ...


class Heights(Protocol):
    async def get_block_height(self) -> int:
        """At finalized."""
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


class StartGate:
    """`run` opens the gate and ends; `is_open` is asked by the lanes that sign and send."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        sweep: Callable[[], Awaitable[int]],
        circle: CircleOutflows,
        follower: Follower,
        heights: Heights,
        witness: ChainOutflows,
        payer: Payer,
        seed_of: Callable[[str], str],
        slot_seconds: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        """`seed_of` a sale's payment_intent: what its mint's address is derived with."""
        self._store, self._clock, self._ids = store, clock, ids
        self._sweep, self._circle, self._follower, self._heights = sweep, circle, follower, heights
        self._witness, self._payer, self._seed_of = witness, payer, seed_of
        self._slot_seconds, self._wake = slot_seconds, wake
        self._looked_at: set[int] = set()
        self._orders_looked_at = 0
        self.is_open = False
        self.waits_for = "the start checks"

    async def run(self) -> None:
        """Open the gate once everything is explained. Keeps trying while Stripe, Circle or the chain can't be read.

        Raises StartRefused for a database from before receipts that have since been closed.
        """
        begun = self._clock.monotonic()
        while True:
            try:
                await self._check()
            except (Retryable, OutcomeUnknown, Rejected) as error:
                self.waits_for = str(error)
                log.warning("start gate waits", why=self.waits_for)
                taken = timedelta(seconds=self._clock.monotonic() - begun)
                await self._clock.sleep(look_again_after(taken, LOOK_AGAIN, LOOK_AGAIN_MOST).total_seconds())
                continue
            self.is_open, self.waits_for = True, ""
            log.info("start gate open")
            self._wake()
            return

    async def _check(self) -> None:
        await self._sweep()
        await self._look_for_mints()
        sent_before = await self._store.read(adoption.has_ever_sent)
        height = await self._heights.get_block_height()
        await self._explain()
        if sent_before:
            await self._wait_out(height)
            await self._look_for_mints()
            await self._explain()
        unexplained = await self._store.read(orphans)
        if unexplained:
            await self._look_for_orders()
            raise Unplaced(
                f"{len(unexplained)} outflow(s) of the platform wallet fit no payout, the latest "
                f"{unexplained[0].signature}: a person must decide them"
            )

    async def _explain(self) -> None:
        """Read the history and give every outflow in it to what it paid, as far as that is certain."""
        await self._follower.backfill_until_caught_up()
        await self._refuse_closed()
        await self._adopt_by_chain()
        await self._adopt()
        await self._follower.backfill_until_caught_up()

    async def _refuse_closed(self) -> None:
        for account in await self._store.read(closed_unknown):
            if await self._witness.was_receipt(account):
                raise StartRefused(
                    f"DATABASE_URL: this database is older than the receipt {account}, which was closed since: it "
                    "can't tell whom that paid, and the chain would let it be paid again; restore a newer backup"
                )

    async def _adopt_by_chain(self) -> None:
        """What a transaction tells of itself, by its receipt or its mint. Oldest first: each takes the oldest payouts
        that it fits."""
        unexplained = await self._store.read(lambda conn: orphans(conn, OUTFLOWS_MOST))
        for movement in reversed(unexplained):
            packed = await self._witness.packed_outflow(movement.signature)
            minted = None if packed else await self._witness.mint_outflow(movement.signature)
            adopted = False
            if packed is not None:
                adopted = await self._store.write(_adopter(packed, self._payer, self._ids, self._clock.now()))
            elif minted is not None:
                adopted = await self._adopt_minted(minted)
            if adopted:
                log.warning("outflow adopted by what the chain shows", signature=movement.signature)

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

    async def _wait_out(self, height: int) -> None:
        """Until what was signed before the start can't land any more."""
        self.waits_for = "transactions of an earlier process to land or expire"
        while await self._heights.get_block_height() <= height + LATE_LANDING_BLOCKS:
            await self._clock.sleep(max(self._slot_seconds() * 8, 0.05))

    async def _adopt(self) -> None:
        started = self._clock.now()
        since = await self._store.read(lambda conn: read_since(conn, CURSOR, self._clock.now())) - OVERLAP
        unplaced: list[str] = []
        async for page in self._circle.list_transactions(self._payer.wallet_id, since):
            for seen in page.transactions:
                if not await self._place(seen):
                    unplaced.append(f"{seen.id} ({seen.ref_id or 'no reference'})")
        if unplaced:
            await self._look_for_orders()
            raise Unplaced(f"Circle shows {len(unplaced)} transfer(s) that fit no payout: {', '.join(unplaced[:3])}")
        await self._store.write(lambda conn: read_whole(conn, CURSOR, started, self._clock.now()))

    async def _look_for_mints(self) -> None:
        """Have it looked, once for each, whether paid sales without an NFT have one on chain, and wait until it was:
        their creators are due then, an outflow may be what they were paid, and their editions' numbers are taken."""
        while asked := await self._unlooked():
            await self._store.write(partial(minting.look_for, purchase_ids=asked, now=self._clock.now()))
            self._looked_at.update(asked)
            self._wake()
        while await self._store.read(minting.is_looked_for):
            await self._clock.sleep(LOOKED_SECONDS)

    async def _look_for_orders(self) -> None:
        """Have it looked what became of orders that are on their way: their own steps wait for this gate, and it may
        wait for them. Some at a time, the first ones again after the last."""
        above, now = self._orders_looked_at, self._clock.now()
        find = partial(transfers.look_for, above=above, limit=ORDERS_LOOKED_AT, now=now)
        self._orders_looked_at = await self._store.write(find)
        self._wake()

    async def _unlooked(self) -> list[int]:
        unminted = await self._store.read(minting.paid_without_nft)
        return [sale for sale in unminted if sale not in self._looked_at][:SALES_LOOKED_AT]

    async def _place(self, seen: CircleTransaction) -> bool:
        """True when the outflow is known, was adopted, or never became one. What Circle has given up is adopted too, if
        it fits: it has used up its key, and its death is proven like any other's."""
        is_known, kind = await self._store.read(lambda conn: _told_of(conn, seen))
        if is_known or kind not in (None, MovementKind.ORPHAN, MovementKind.OTHER):
            return True
        outflow = Outflow(
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
        uuid, now = self._ids.uuid(), self._clock.now()
        adopted = await self._store.write(lambda conn: adoption.adopt(conn, outflow, uuid, now))
        if adopted:
            log.warning("outflow adopted", circle=seen.id, reference=seen.ref_id)
        if seen.state in adoption.ENDED:
            return True  # should it have moved money all the same, the wallet's history shows it as unexplained
        if adopted or kind is not MovementKind.OTHER:
            return adopted
        # A person took it for his own. Where Circle's reference names what is still to be paid, that counts more.
        return not await self._store.read(lambda conn: adoption.names_due(conn, seen.ref_id or ""))


def _told_of(conn: Connection, seen: CircleTransaction) -> tuple[bool, MovementKind | None]:
    """Whether a transfer of ours is this transaction, and as what its movement is booked."""
    return adoption.is_known(conn, seen.id), kind_of(conn, seen.tx_hash) if seen.tx_hash else None


def _adopter(outflow: PackedOutflow, payer: Payer, ids: Ids, now: datetime) -> Callable[[Connection], bool]:
    return lambda conn: packed_adoption.adopt(conn, outflow, payer, ids.uuid, now)
