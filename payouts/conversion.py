"""Orders of USDC from Circle Mint: dollars are wired there by a person or a bank, and leave it as one transfer to the
platform wallet, at most once.

The key is a pure function of the order; key and body are committed before the first call, and every repetition uses
them. Circle's `complete` only announces a conversion: the order is done when the finalized deposit of that very
transaction has been booked, as with any conversion, and only that deposit releases money.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row

from domain.calendar import utc_day
from domain.errors import AccessRefused, Misuse, Rejected, looking_up
from domain.keys import KEY_TRUSTED_FOR, conversion_key
from domain.money import format_usdc
from domain.outcomes import Again, Commit, Done, Outcome, Refused, Unknown, nothing
from domain.states import ConversionState
from domain.waits import CLOCKS_DIFFER, look_again_after
from gateways.circle_mint import DepositFacts, MintTransfer, RecipientFacts
from payouts.rails.stops import PAUSED, Stop, capped_today, why_paused
from ports.clock import Clock, SendWindow
from ports.ids import Ids
from storage.store import Store
from storage.treasury import conversion_orders as rows
from storage.treasury.chain_rows import read_at
from storage.treasury.conversion_orders import MintDeposit
from storage.work import Claim, fenced

log = structlog.get_logger(__name__)

LOOK, LOOK_MOST = timedelta(minutes=5), timedelta(minutes=30)
"""Between two looks for what a person does: wires take hours and Circle books them in batches; an address is approved
when somebody is there."""
POLL = timedelta(seconds=15)
"""Between two looks at a transfer on its way, ever longer where Circle holds it. A finalized deposit makes the order
due by itself."""
SWITCHED_OFF = timedelta(hours=1)
UNKNOWN_WAIT = timedelta(minutes=10)
ARRIVES_WITHIN = timedelta(minutes=30)
"""From Circle's `complete` to the booked deposit. Finality takes seconds; longer means that somebody must look."""
LATE_LANDING = timedelta(minutes=10)
"""How long after Circle's `failed` the wallet's history must have been read without the deposit: several lives of a
blockhash, whatever Circle signed."""
CHAIN = "SOL"
"""Circle Mint's name of the chain on test and live alike (reference/circle.md, section 10)."""


class CircleMint(Protocol):
    def require_key(self) -> None:
        """Raises KeyRefused while our key is refused: nothing would leave."""
        ...

    async def available(self) -> int: ...

    async def deposits(self, since: datetime) -> Sequence[DepositFacts]: ...

    async def recipients(self) -> Sequence[RecipientFacts]: ...

    async def order_transfer(self, key: UUID, body_fields: Mapping[str, Any], window: SendWindow) -> MintTransfer: ...

    async def fetch_transfer(self, transfer_id: str) -> MintTransfer: ...

    def transfers(self, since: datetime) -> AsyncIterator[MintTransfer]: ...


@dataclass(frozen=True, slots=True)
class ConversionTerms:
    """`is_on`: the setting `conversion = circle_mint`; without it Circle Mint is not spoken to. `address` is the
    platform wallet's. Caps in base units, for one order and for one UTC day."""

    is_on: bool
    address: str
    cap: int
    day_cap: int


class ConversionStep:
    """Kind `conversion`, subject: order id."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, mint: CircleMint, terms: ConversionTerms) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._mint, self._terms = mint, terms

    async def run(self, claim: Claim) -> Outcome:
        order_id = int(claim.subject)
        order = await self._store.read(lambda conn: rows.required(conn, order_id))
        if order.state == ConversionState.ARRIVING:
            return await self._arriving(order)
        if order.state not in (ConversionState.APPROVED, ConversionState.SENDING):
            return Done()
        if not self._terms.is_on:
            return Again(SWITCHED_OFF, "AGENT_CONVERSION is manual: nobody asks Circle Mint about this order")
        if order.state == ConversionState.APPROVED:
            waits = await self._prepare(order, claim)
            if waits is not None:
                return waits
            order = await self._store.read(lambda conn: rows.required(conn, order_id))
        with looking_up(order.sent_at is not None):
            return await self._sending(order, claim)

    async def _prepare(self, order: Row[Any], claim: Claim) -> Outcome | None:
        """What the order still waits for; None once its intent is committed."""
        stopped = await self._store.read(lambda conn: self._stopped(conn, order))
        if stopped is not None:
            return stopped.outcome
        available = await self._mint.available()
        wires = [_deposit(one) for one in await self._mint.deposits(order.created_at - CLOCKS_DIFFER)]
        now = self._clock.now()
        await self._store.write(fenced(claim, lambda conn: rows.looked(conn, order.id, available, wires, now)))
        later = look_again_after(now - order.created_at, LOOK, LOOK_MOST)
        if available < order.amount:
            lacking = format_usdc(order.amount - available)
            return Again(later, f"{lacking} USD are still to be wired: Circle Mint holds {format_usdc(available)}")
        recipient = await self._recipient()
        if recipient is None:
            return Again(later, f"{self._terms.address} is no verified recipient yet: add it in Circle Mint's console")
        intended = await self._store.write(fenced(claim, lambda conn: self._intend(conn, order, recipient)))
        return None if intended else Again(timedelta(0), "the order was changed or stopped meanwhile")

    def _stopped(self, conn: Connection, order: Row[Any]) -> Stop | None:
        paused, terms, now = why_paused(conn), self._terms, self._clock.now()
        if paused is not None:
            return Stop(paused)
        for cap, name in ((terms.cap, "AGENT_CAP_CONVERSION"), (terms.day_cap, "AGENT_CAP_CONVERSION_DAY")):
            if order.amount > cap:
                return Stop(f"the order passes the cap of {cap} base units ({name}): raise it, or cancel it")
        if rows.sent_since(conn, utc_day(now)) + order.amount > terms.day_cap:
            why = f"today's orders would pass the cap of {terms.day_cap} base units (AGENT_CAP_CONVERSION_DAY)"
            return capped_today(why, now)
        return None

    async def _recipient(self) -> RecipientFacts | None:
        """The platform wallet's entry in Circle Mint's book of verified addresses: the only destination there is."""
        for one in await self._mint.recipients():
            if (one.address, one.chain) == (self._terms.address, CHAIN) and one.is_verified:
                return one
        return None

    def _intend(self, conn: Connection, order: Row[Any], recipient: RecipientFacts) -> bool:
        body = {
            "destination": {"type": "verified_blockchain", "addressId": recipient.id},
            "amount": {"amount": format_usdc(order.amount), "currency": "USD"},
        }
        if order.destination_address != self._terms.address:
            raise Misuse(f"order {order.uuid} goes to another address than the platform wallet's")
        if self._stopped(conn, order) is not None:
            return False
        key = conversion_key(UUID(order.uuid))
        return rows.intend(conn, order.id, key, body, self._clock.now())

    async def _sending(self, order: Row[Any], claim: Claim) -> Outcome:
        if order.circle_transfer_id is not None:
            return await self._judge(order, await self._mint.fetch_transfer(order.circle_transfer_id))
        window, paused = SendWindow(self._clock), await self._store.read(why_paused)
        was_sent, now = order.sent_at is not None, self._clock.now()
        if not was_sent and paused is not None:
            return Stop(paused).outcome
        if was_sent and (paused is not None or now - order.sent_at > KEY_TRUSTED_FOR):
            return await self._look_up(order, paused)
        self._mint.require_key()
        await self._store.write(fenced(claim, lambda conn: rows.first_send(conn, order.id, now)))
        try:
            found = await self._mint.order_transfer(UUID(order.idempotency_key), json.loads(order.body), window)
        except AccessRefused:
            if not was_sent:
                await self._store.write(fenced(claim, lambda conn: rows.not_sent(conn, order.id, now)))
            raise
        except Rejected as error:
            if was_sent:  # refused now, which tells nothing of the call before
                return Unknown(UNKNOWN_WAIT, f"sent before, and refused now: {error}")
            return self._dead(order, {"why": f"Circle Mint refused it: {error}"}, nothing)
        return await self._judge(order, found)

    async def _look_up(self, order: Row[Any], paused: str | None) -> Outcome:
        """Sent before, and not to be sent again now. Circle Mint has neither a reference nor a look-up by key: the
        transfer of this amount to our address since then, while no other is under way, is it. Of several (somebody
        made one by hand) the first that has not failed: they differ in nothing, and the others are found by the
        listing once this order has its own."""
        listed = [
            one
            async for one in self._mint.transfers(order.sent_at - CLOCKS_DIFFER)
            if (one.address, one.units) == (order.destination_address, order.amount)
        ]
        known = await self._store.read(lambda conn: rows.known_transfers(conn, [one.id for one in listed]))
        left = [one for one in listed if one.id not in known]
        if left:
            return await self._judge(order, min(left, key=lambda one: (one.has_failed, one.create_date, one.id)))
        if paused is not None:
            return Again(PAUSED, f"{paused}; Circle Mint lists no transfer of this order yet")
        sent = f"sent at {order.sent_at:%Y-%m-%d %H:%M} UTC"
        return self._dead(order, {"why": f"{sent}, and half a day later Circle Mint lists no such transfer"}, nothing)

    def _require_ours(self, order: Row[Any], found: MintTransfer) -> None:
        """After any answer, replayed or not, the object must be the one that was meant."""
        meant = (order.destination_address, CHAIN, order.amount, "USD")
        shown = (found.address, found.chain, found.units, found.currency)
        if meant != shown or (order.circle_transfer_id or found.id) != found.id:
            raise Misuse(f"Circle Mint's transfer {found.id} is not order {order.uuid}: {shown}")

    async def _judge(self, order: Row[Any], found: MintTransfer) -> Outcome:
        self._require_ours(order, found)
        now, uuid, signature = self._clock.now(), self._ids.uuid(), found.signature or order.signature

        def learn(conn: Connection) -> None:
            rows.seen(conn, order.id, found.id, found.status, signature, now)

        landed = signature is not None and await self._store.read(lambda conn: rows.deposited(conn, signature))
        if signature is not None and (found.is_complete or landed):
            return Done(self._announcing(order, learn, signature, uuid, now))
        again = look_again_after(_taken(order, now), POLL, LOOK)
        if not found.has_failed:
            return Again(again, f"Circle Mint: {found.status}", commit=learn)
        why = f"Circle Mint: failed, {found.error_code or 'without a reason'}"
        if not await self._is_absent(order, now):
            return Again(again, f"{why}; not yet proven that nothing left", commit=learn)
        return self._dead(order, {"why": why, "circle": found.id, "signature": signature}, learn)

    def _announcing(self, order: Row[Any], learn: Commit, signature: str, uuid: UUID, now: datetime) -> Commit:
        def commit(conn: Connection) -> None:
            learn(conn)
            rows.arriving(conn, order.id, signature, uuid, now)

        return commit

    async def _is_absent(self, order: Row[Any], now: datetime) -> bool:
        """Circle's word alone ends no order: the wallet's history was read long enough after it, without a deposit."""
        since = order.circle_status_since if order.circle_status == "failed" else None
        if since is None or now - since < LATE_LANDING:
            return False
        looked = await self._store.read(lambda conn: read_at(conn, "treasury_usdc"))
        return looked is not None and looked - since >= LATE_LANDING

    def _dead(self, order: Row[Any], proof: Mapping[str, Any], note: Commit) -> Outcome:
        now = self._clock.now()

        def bury(conn: Connection) -> None:
            note(conn)
            rows.failed(conn, order.id, proof, now)

        log.error("a conversion failed", order=order.uuid, why=proof["why"])
        return Refused("conversion_failed", f"{proof['why']}; mend it, then propose another order", bury)

    async def _arriving(self, order: Row[Any]) -> Outcome:
        now = self._clock.now()
        if await self._store.read(lambda conn: rows.has_arrived(conn, order.id)):
            return Done(lambda conn: rows.done(conn, order.id, now))
        why = f"Circle Mint calls it complete; its deposit {order.signature} is not booked yet"
        if now - order.circle_status_since > ARRIVES_WITHIN:
            return Unknown(UNKNOWN_WAIT, why)
        return Again(POLL, why)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def _taken(order: Row[Any], now: datetime) -> timedelta:
    """Since it was sent, as its row was before this run; a transfer that was found there was sent by nobody here."""
    begun: datetime = order.sent_at or (now if order.circle_transfer_id is None else order.created_at)
    return now - begun


def _deposit(facts: DepositFacts) -> MintDeposit:
    return MintDeposit(facts.id, facts.units, facts.status, facts.create_date)
