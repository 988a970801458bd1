"""Packs the covered transfers of a batch into groups, once their token accounts are there and good.

A missing account is made first, in a wave; a bad one parks its payout with the reason; a payout that costs more rent
than it is worth waits for the next week, and so does one whose address is denied since it was planned.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, Row

from chain import programs
from chain.account_waves import WAVE, into_waves
from chain.packed_plan import TransactionFormat, into_groups
from chain.usdc_payouts import PackedTransfer
from domain.dead_attempts import DeadAttempts
from domain.destinations import WHY_NOT, AccountStanding
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from domain.states import BatchStatus
from payouts.rails.packed_terms import PackedTerms, transaction_fee
from payouts.rails.stops import PAUSED, Stop
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts import batches, groups, packing, transfers, upkeep
from storage.store import Store
from storage.work import Claim

log = structlog.get_logger(__name__)

GROUPS_AT_ONCE = 64
"""Transactions' worth of transfers looked at in one run: the first are being signed while the next are packed."""
CLOSED_AGAIN = "the recipient closed the USDC account that we paid for: he opens it himself"
NOT_MADE = "the recipient's USDC account could not be made"
NOT_WORTH_IT = "is worth less than the rent of the missing USDC account: waits for the next plan"


class PackChain(Protocol):
    async def standings(self, owners: Sequence[str]) -> list[AccountStanding]: ...

    async def minimum_rent(self, size: int) -> int: ...

    async def lamports(self, address: str) -> int: ...


class Formats(Protocol):
    """Which transaction format signer and chain take."""

    @property
    def current(self) -> TransactionFormat: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of the page's owners: whom we made an account for before, and how often in vain."""

    made: frozenset[str]
    dead_tries: Mapping[str, DeadAttempts]

    def pause(self, owners: Sequence[str]) -> timedelta:
        """Before their accounts are tried again: what no block takes is sent ever less often."""
        return max(self.dead_tries.get(owner, DeadAttempts()).pause for owner in owners)


@dataclass(slots=True)
class Sorted:
    """Where each transfer of a page goes."""

    ready: list[Row[Any]] = field(default_factory=list)
    missing: list[Row[Any]] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)
    left_out: list[tuple[int, str]] = field(default_factory=list)


class PackStep:
    """Kind `pack`, subject: batch id."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, chain: PackChain, formats: Formats, terms: PackedTerms
    ) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._chain, self._formats, self._terms = chain, formats, terms

    async def run(self, claim: Claim) -> Outcome:
        batch_id, packed_format = int(claim.subject), self._formats.current
        room = self._terms.room(packed_format)
        most = room * GROUPS_AT_ONCE

        def look(conn: Connection) -> tuple[Row[Any], Sequence[Row[Any]], int, Known]:
            page = packing.waiting(conn, batch_id, most)
            owners = {row.destination_address for row in page}
            known = Known(packing.once_made(conn, owners), packing.dead_tries(conn, batch_id, owners))
            return batches.by_id(conn, batch_id), page, packing.waiting_count(conn, batch_id), known

        batch, page, waiting, known = await self._store.read(look)
        if batch.status != BatchStatus.SENDING or not page:
            return Done()
        if batch.paused:
            return Stop(f"its batch is paused: {batch.pause_reason}").outcome
        owners = list(dict.fromkeys(row.destination_address for row in page))
        standings = dict(zip(owners, await self._chain.standings(owners), strict=True))
        rent = await self._chain.minimum_rent(programs.TOKEN_ACCOUNT_SIZE)
        found = self._sort(page, standings, known, rent)
        short = await self._short_of_sol(rent, -(-waiting // room), len(found.missing))
        if short is not None:
            log.error("the platform wallet lacks SOL", batch=batch_id, why=short)
            return Again(PAUSED, short)
        commit = self._commit(batch, found, known, packed_format, room, more=len(page) == most)
        return Again(timedelta(0), "packs on", commit=commit) if len(page) == most else Done(commit)

    def _sort(
        self, page: Sequence[Row[Any]], standings: Mapping[str, AccountStanding], known: Known, rent: int
    ) -> Sorted:
        found = Sorted()
        for row in page:
            owner = row.destination_address
            standing, denied = standings[owner], self._terms.judge(owner)
            if denied is not None:
                found.left_out.append((row.id, packing.SCREENED_OUT + denied))
            elif standing is AccountStanding.READY:
                found.ready.append(row)
            elif standing is not AccountStanding.MISSING:
                found.bad.append((row.id, WHY_NOT[standing]))
            elif owner in known.made:
                found.bad.append((row.id, CLOSED_AGAIN))
            elif known.dead_tries.get(owner, DeadAttempts()).are_too_many(self._terms.attempts_max):
                found.bad.append((row.id, NOT_MADE))
            elif costs_more_than_it_pays(row.amount, rent, self._terms.sol_cents):
                found.left_out.append((row.id, NOT_WORTH_IT))
            else:
                found.missing.append(row)
        return found

    async def _short_of_sol(self, rent: int, transactions: int, accounts: int) -> str | None:
        """The rents, read from the chain, and the fees of all that is not signed yet must lie in the wallet."""
        fee = transaction_fee(self._terms.priority_lamports)
        need = transactions * (rent + fee) + accounts * rent + -(-accounts // WAVE) * fee
        have = await self._chain.lamports(self._terms.address)
        if have >= need:
            return None
        return f"rents and fees need {need} lamports, the platform wallet has {have}: send {need - have} more"

    def _commit(
        self, batch: Row[Any], found: Sorted, known: Known, packed_format: TransactionFormat, room: int, *, more: bool
    ) -> Commit:
        """Everything made ready before the transaction, so that it may run twice."""
        packed = packed_members(found.ready, room)
        if more and len(packed) > 1:
            packed = [group for group in packed if len(group) == room]  # the next page fills up what is left over
        made = [self._terms.new_group(self._ids, batch.uuid, packed_format, group) for group in packed]
        waves = into_waves([row.destination_address for row in found.missing])
        now = self._clock.now()
        named = [(str(self._ids.uuid()), wave, now + known.pause(wave)) for wave in waves]

        def commit(conn: Connection) -> None:
            for transfer_id, why in found.bad:
                transfers.failed(conn, transfer_id, why, now)
            for transfer_id, why in found.left_out:
                packing.leave_out(conn, transfer_id, why, now)
            for uuid, wave, due_at in named:
                upkeep.plan(conn, "accounts", uuid, self._terms.payer, wave, now, batch.id, due_at)
            for group in made:
                groups.create(conn, batch.id, group, now)

        return commit

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def costs_more_than_it_pays(amount: int, rent_lamports: int, sol_cents: int) -> bool:
    """Whether a payout (base units of a dollar's millionth) is worth less than the rent, at a price of SOL in cents."""
    return amount * 10**9 < rent_lamports * sol_cents * 10_000


def packed_members(ready: Collection[Row[Any]], room: int) -> list[list[tuple[int, str, int]]]:
    """The transfers put together, none with an owner twice: (transfer id, owner, base units)."""
    by_leg: dict[PackedTransfer, list[int]] = {}
    for row in ready:
        by_leg.setdefault(PackedTransfer(row.destination_address, row.amount), []).append(row.id)
    legs = [PackedTransfer(row.destination_address, row.amount) for row in ready]
    return [[(by_leg[leg].pop(0), leg.owner, leg.amount) for leg in group] for group in into_groups(legs, room)]
