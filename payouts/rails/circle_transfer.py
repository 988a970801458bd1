"""The `circle` rail: one call of Circle's transfer API for each transfer, paid at most once.

The key is a pure function of what is paid and of the attempt's number; key and body are committed before the first
call, and every repetition uses them. Circle's word is a hint: a payout is `distributed` when its transaction is
finalized on Solana and reads back as planned, and an attempt is dead only with a proof.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog
from sqlalchemy import Connection

from domain.errors import (
    AccessRefused,
    KeyRefused,
    OutcomeUnknown,
    PaymentSystemError,
    Rejected,
    Retryable,
    looking_up,
)
from domain.evidence import Evidence, TransferIntent
from domain.keys import transfer_key
from domain.money import format_usdc_exact
from domain.outcomes import Again, Commit, Done, Outcome, Refused, Unknown, nothing
from domain.states import TransferState, WatchState
from domain.waits import look_again_after
from gateways.circle_api import CircleTransaction
from payouts.rails.circle_orders import CircleOrders, CircleTransfers, OrdersHeld
from payouts.rails.destination import Accounts, Destination
from payouts.rails.silence import POLL, Silence, why_not_taken
from payouts.rails.stops import PAUSED, Stop, lock_cap, stop_of, why_no_sol
from ports.clock import Clock, SendWindow
from storage.payouts import held_orders
from storage.payouts import transfers as rows
from storage.payouts.packing import SCREENED_OUT, leave_out
from storage.payouts.planning import Judge
from storage.payouts.transfers import TransferCase, watch_state
from storage.store import Store
from storage.work import Claim, fenced

log = structlog.get_logger(__name__)

POLL_FOLLOWED, POLL_MOST = timedelta(seconds=20), timedelta(minutes=10)
"""Circle's notifications and the chain wake a transfer; beside them it is looked at, the longer it takes the more
rarely: once its signature is followed the chain will tell, and Circle is asked for another one only."""
UNKNOWN_WAIT = timedelta(minutes=10)
NEVER_HAPPENED = frozenset({"DENIED", "CANCELLED"})
FEE_LEVEL = "MEDIUM"
RAIL = "circle"


class TransferWitness(Protocol):
    """What the finalized chain says of a transfer."""

    async def transfer_evidence(self, signature: str, intent: TransferIntent) -> Evidence: ...


class AbsenceProver(Protocol):
    """Whether the chain proves that no transaction of an intent landed and none can any more."""

    async def no_outflow(
        self, intent: TransferIntent, begun_at: datetime, ended_at: datetime, explained: Collection[str]
    ) -> object | None:
        """The proof, or None while that is not proven."""
        ...


@dataclass(frozen=True, slots=True)
class RailTerms:
    """The platform wallet as Circle and the chain know it. `judge` says what speaks against an address that was
    planned, since other settings may have come since."""

    wallet_id: str
    address: str
    usdc_account: str
    usdc_token_id: str
    blockchain: str
    attempts_max: int
    day_cap: int
    judge: Judge


class CircleTransferStep:
    """Kind `transfer`, subject: transfer id."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        circle: CircleTransfers,
        witness: TransferWitness,
        prover: AbsenceProver,
        accounts: Accounts,
        terms: RailTerms,
        watching: Callable[[], None],
    ) -> None:
        """`watching` is called after Circle named a signature to be followed."""
        self._store, self._clock, self._told_watching = store, clock, watching
        self._orders = CircleOrders(store, clock, circle, terms.blockchain)
        self._witness, self._prover, self._terms = witness, prover, terms
        self._silence, self._destination = Silence(store, clock, self._orders), Destination(accounts, terms.address)

    async def run(self, claim: Claim) -> Outcome:
        transfer_id, window = int(claim.subject), SendWindow(self._clock)
        await self._silence.keep_asking()
        case = await self._store.read(lambda conn: rows.load(conn, transfer_id))
        if case.attempt is None and (not case.sendable or case.batch.rail != RAIL):
            return Done()
        unfit = await self._destination.unfit(case)
        if unfit is not None:
            return unfit
        begun = await self._begun(case, claim)
        if isinstance(begun, Stop):
            return begun.outcome
        if begun.live.state == TransferState.FINALIZED:
            return Done()
        overtaken = await self._overtaken(case) if case.attempt is not None else None
        if overtaken is not None:
            return overtaken
        with looking_up(not begun.never_left):
            return await self._look(begun, claim, window)

    async def look(self, claim: Claim) -> Outcome:
        """As `run`, as far as it was ordered already and has landed: nothing is ordered, and nothing called dead."""
        case = await self._store.read(lambda conn: rows.load(conn, int(claim.subject)))
        if not case.is_on_its_way:
            return Done()
        if watch_state(case.watch) == WatchState.FINALIZED and case.watch is not None and case.watch.err is None:
            evidence = await self._evidence(case)
            if evidence.matches:
                return Done(_if_still_so(case, self._distributed(case, evidence)))
        try:
            renamed = await self._orders.renamed(case)
        except Rejected:
            return Done()  # its own step says so
        if renamed is not None:
            await self._store.write(fenced(claim, _if_still_so(case, self._noting(case, renamed))))
            self._told_watching()
        elif watch_state(case.watch) in (None, WatchState.FINALIZED):
            return Done()
        return Again(_poll_of(self._taken(case), followed=True), "its outflow is read back once it is proven final")

    async def _look(self, case: TransferCase, claim: Claim, window: SendWindow) -> Outcome:
        if watch_state(case.watch) == WatchState.FINALIZED:
            return await self._landed(case, claim)
        if case.live.circle_transaction_id is None and case.live.signature is not None:
            return Again(POLL, "its outflow is known, and is read back once it is proven final")  # never sent anew
        async with self._silence.room(case):
            return await self._ask_circle(case, claim, window)

    def _stopped(self, conn: Connection, case: TransferCase) -> Stop | None:
        begins = case.transfer.amount if case.attempt is None else 0
        return stop_of(conn, case.batch, begins, self._terms.day_cap, self._clock.now())

    async def _begun(self, case: TransferCase, claim: Claim) -> TransferCase | Stop:
        """The case with its attempt; or what stops it, which is asked until the attempt was sent."""
        if case.attempt is None:
            self._orders.require_key()
            return await self._intend(case.transfer.id, claim)
        if case.never_left:
            return await self._store.read(lambda conn: self._stopped(conn, case) or self._held(conn, case)) or case
        return case

    def _held(self, conn: Connection, case: TransferCase, *, lock: bool = False) -> Stop | None:
        """Of an order that has not left."""
        why = self._orders.why_held(conn, case, self._clock.now(), lock=lock)
        return None if why is None else Stop(why)

    async def _overtaken(self, case: TransferCase) -> Outcome | None:
        """The end of an attempt that never left, as while our key was refused, and whose sale is held by now or had
        money come back, or whose address is denied: that takes its effect before another attempt. Circle's list has the
        word as well."""
        if not case.never_left:
            return None
        why = self._denied(case) or await self._store.read(lambda conn: rows.why_overtaken(conn, case))
        if why is None:
            return None
        try:
            if await self._orders.find(case) is not None:
                return None
        except AccessRefused:
            raise
        except Rejected as error:
            return Again(PAUSED, f"{why}, and Circle can't be asked for it: {error}")
        return self._dead(case, {"why": f"never sent: {why}"}, nothing, retry=True)

    async def _intend(self, transfer_id: int, claim: Claim) -> TransferCase | Stop:
        """Decided from what this transaction sees: a refund may have made it less, another transfer used up the day's
        cap."""
        terms = self._terms

        def save(conn: Connection) -> TransferCase | Stop:
            lock_cap(conn, terms.day_cap)
            case = rows.load(conn, transfer_id, lock=True)
            stopped = self._stopped(conn, case) or self._held(conn, case, lock=True)
            if stopped is not None:
                return stopped
            if case.attempt is not None:
                return case  # begun by another replica, since its account was looked at
            denied = self._denied(case)
            if denied is not None:
                leave_out(conn, transfer_id, denied, self._clock.now())
                return Stop(denied, timedelta(0))
            short = why_no_sol(conn) if case.dead_attempts else None
            if short is not None:
                return Stop(short, PAUSED)
            transfer = case.transfer
            number = rows.next_attempt(conn, transfer_id)
            key = transfer_key(transfer.key_scope, UUID(transfer.uuid), number)
            body = {
                "walletId": terms.wallet_id,
                "tokenId": terms.usdc_token_id,
                "destinationAddress": transfer.destination_address,
                "amounts": [format_usdc_exact(transfer.amount)],
                "feeLevel": FEE_LEVEL,
                "refId": transfer.reference,
            }
            now = self._clock.now()
            return rows.intend(conn, case, number, key, terms.wallet_id, terms.address, body, now)

        return await self._store.write(fenced(claim, save))

    async def _ask_circle(self, case: TransferCase, claim: Claim, window: SendWindow) -> Outcome:
        orders, stopped = self._orders, await self._not_again(case)
        asks = stopped is None and orders.is_asked_for(case)
        try:
            seen = await (orders.fetch_or_submit(case, claim, window) if stopped is None else orders.find(case))
            if seen is None and stopped is not None:
                return Unknown(UNKNOWN_WAIT, f"{stopped}; Circle lists no such transfer yet")
        except OrdersHeld as held:
            return Stop(str(held)).outcome
        except (AccessRefused, OutcomeUnknown, Retryable) as error:
            if not _is_of_orders(error, case, asks):
                raise
            return await self._not_taken(case, error, claim)
        except Rejected as error:
            if asks:
                await self._silence.ended()  # a refusal of this one is an answer too
            return await self._refused(case, error, claim)
        if asks:
            await self._silence.ended()
        return await self._told(case, seen, claim)

    async def _not_taken(self, case: TransferCase, error: PaymentSystemError, claim: Claim) -> Outcome:
        """Circle may have it from an earlier try, and lists it: then nobody waits until orders are taken again."""
        if case.never_left and not isinstance(error, OutcomeUnknown):
            waited = self._clock.now() - case.live.created_at
            return Again(await self._silence.wait(case, error, waited), why_not_taken(error))
        seen = None
        if not case.never_left:
            with suppress(Retryable, Rejected):
                seen = await self._orders.glimpse(case)
        if seen is not None:
            return await self._told(case, seen, claim)
        log.warning("outcome unknown", error=str(error))
        return Unknown(await self._silence.wait(case, error, self._taken(case)), why_not_taken(error))

    async def _refused(self, case: TransferCase, error: Rejected, claim: Claim) -> Outcome:
        """Of an order that was sent before, a refusal now tells nothing: it is looked for."""
        attempt = case.live
        if attempt.circle_transaction_id is not None:
            return Unknown(UNKNOWN_WAIT, f"Circle no longer shows the transfer: {error}")
        if attempt.first_sent_at is None:
            return self._give_up(case, f"{error.code}: {error}")
        try:
            seen = await self._orders.find(case)
        except AccessRefused:
            raise
        except Rejected as unread:
            return Unknown(UNKNOWN_WAIT, f"sent before, refused now ({error}), and not to be looked for: {unread}")
        return await self._told(case, seen, claim, f"; sent again it was refused: {error}")

    async def _told(
        self, case: TransferCase, seen: CircleTransaction | None, claim: Claim, besides: str = ""
    ) -> Outcome:
        if seen is None:
            return await self._lost(case, claim, besides)
        self._orders.require_ours(case, seen)
        return await self._judge(case, seen, claim)

    async def _not_again(self, case: TransferCase) -> str | None:
        """Why an order of unknown outcome is only looked for."""
        if not self._orders.would_be_sent_again(case):
            return None
        stopped = await self._store.read(lambda conn: self._stopped(conn, case))
        if stopped is not None:
            return stopped.why
        return self._denied(case) or await self._store.read(lambda conn: rows.why_held(conn, case))

    def _denied(self, case: TransferCase) -> str | None:
        """Why its address is not to be paid any more, though it was planned."""
        why = self._terms.judge(case.transfer.destination_address)
        return None if why is None else SCREENED_OUT + why

    async def _lost(self, case: TransferCase, claim: Claim, besides: str) -> Outcome:
        """Sent before, and Circle lists nothing: perhaps it never came. It is not sent again by itself, with
        any key: once the chain shows no such outflow either, a person looks at Circle's console and asks for it. While
        Circle takes no orders, its list says nothing of what it has yet to do."""
        attempt = case.live
        waits = await self._store.read(lambda conn: held_orders.one_waits(conn, self._clock.now()))
        proof = None if waits else await self._absence(case, attempt.first_sent_at)
        why = f"sent at {attempt.first_sent_at:%Y-%m-%d %H:%M} UTC, and Circle lists no such transfer{besides}"
        if proof is None:
            found = await self._followed(case, claim, why)
            return found or Unknown(UNKNOWN_WAIT, f"{why}; not yet proven that nothing left")
        return self._dead(case, {"why": why, "chain": str(proof)}, lambda conn: None, retry=False)

    async def _absence(self, case: TransferCase, ended_at: datetime) -> object | None:
        transfer, attempt = case.transfer, case.live
        explained = await self._store.read(
            lambda conn: rows.explained(conn, transfer.destination_address, transfer.amount)
        )
        return await self._prover.no_outflow(intent_of(case), attempt.created_at, ended_at, explained)

    async def _judge(self, case: TransferCase, seen: CircleTransaction, claim: Claim) -> Outcome:
        attempt, note = case.live, self._noting(case, seen)
        if seen.tx_hash is not None and seen.tx_hash != attempt.signature:
            await self._store.write(fenced(claim, note))
            self._told_watching()
            note = nothing
        if seen.state in NEVER_HAPPENED and seen.tx_hash is None:
            why = f"Circle: {seen.state} {seen.error_reason or ''}".strip()
            return self._dead(case, {"why": why, "circle": seen.id}, note, retry=False)
        if seen.state == "FAILED" or seen.state in NEVER_HAPPENED:
            return await self._given_up_by_circle(case, seen, note, claim)
        followed = seen.tx_hash is not None or attempt.signature is not None
        taken = min(self._taken(case), self._clock.now() - seen.create_date)  # it may have come with a late try only
        return Again(_poll_of(taken, followed), f"Circle: {seen.state}", commit=note)

    def _taken(self, case: TransferCase) -> timedelta:
        """Since it was sent first."""
        sent_at = case.live.first_sent_at
        return timedelta(0) if sent_at is None else self._clock.now() - sent_at  # None: sent in this run

    def _noting(self, case: TransferCase, seen: CircleTransaction) -> Commit:
        """Stores what Circle says, and has the signature followed that it names."""
        attempt, transfer_id, now = case.live, case.transfer.id, self._clock.now()

        def note(conn: Connection) -> None:
            rows.seen_at_circle(conn, attempt.id, seen.id, seen.state, seen.update_date, seen.error_reason)
            if seen.tx_hash is not None and seen.tx_hash != attempt.signature:
                rows.watch_signature(conn, attempt.id, transfer_id, seen.tx_hash, now)

        return note

    async def _given_up_by_circle(
        self, case: TransferCase, seen: CircleTransaction, note: Commit, claim: Claim
    ) -> Outcome:
        """Circle's word alone frees no money: something that it signed may still land."""
        proof = await self._absence(case, seen.update_date)
        why = f"Circle: {seen.state} {seen.error_reason or ''}".strip()
        if proof is None:
            found = await self._followed(case, claim, why)
            return found or Unknown(POLL * 5, f"{why}; not yet proven that nothing left", commit=note)
        return self._dead(case, {"why": why, "circle": seen.id, "chain": str(proof)}, note, retry=True)

    async def _followed(self, case: TransferCase, claim: Claim, why: str) -> Outcome | None:
        """What Circle lost sight of has left all the same: the one outflow like it is followed and read back as if
        Circle had named it."""
        attempt, transfer, now = case.live, case.transfer, self._clock.now()
        signature = await self._store.read(lambda conn: rows.unclaimed(conn, case))
        if signature is None:
            return None
        log.warning("an outflow like the lost transfer is followed", transfer=transfer.reference, signature=signature)
        save = fenced(claim, lambda conn: rows.watch_signature(conn, attempt.id, transfer.id, signature, now))
        await self._store.write(save)
        self._told_watching()
        return Again(POLL, f"{why}; {signature} pays it, and is read back")

    async def _landed(self, case: TransferCase, claim: Claim) -> Outcome:
        attempt, watch = case.live, case.watch
        assert watch is not None
        if watch.err is not None:
            proof = {"why": f"landed with an error: {watch.err}", "signature": attempt.signature, "slot": watch.slot}
            return await self._after_error(case, proof, claim)
        evidence = await self._evidence(case)
        if not evidence.matches:
            log.error("transfer does not read back as planned", transfer=case.transfer.reference, why=evidence.why)
            renamed = await self._orders.renamed(case)
            if renamed is not None:
                return await self._judge(case, renamed, claim)
            return Unknown(UNKNOWN_WAIT, f"read back differs from the plan: {evidence.why}")
        return Done(self._distributed(case, evidence))

    async def _evidence(self, case: TransferCase) -> Evidence:
        return await self._witness.transfer_evidence(case.live.signature, intent_of(case))

    def _distributed(self, case: TransferCase, evidence: Evidence) -> Commit:
        transfer_id, now, account = case.transfer.id, self._clock.now(), self._terms.usdc_account
        return lambda conn: rows.distributed(conn, transfer_id, evidence, account, now)

    async def _after_error(self, case: TransferCase, proof: dict[str, Any], claim: Claim) -> Outcome:
        """The known signature failed on chain. Circle may have signed another one: only its FAILED ends the attempt."""
        attempt = case.live
        seen = await self._orders.fetch(case)
        if seen.tx_hash != attempt.signature or seen.state != "FAILED":
            return await self._judge(case, seen, claim)
        return self._dead(case, proof, lambda conn: None, retry=True)

    def _dead(self, case: TransferCase, proof: dict[str, Any], note: Commit, *, retry: bool) -> Outcome:
        transfer_id, now = case.transfer.id, self._clock.now()

        def bury(conn: Connection) -> None:
            note(conn)
            rows.dead(conn, transfer_id, proof, now)

        if retry and case.dead_attempts + 1 < self._terms.attempts_max:
            return Again(POLL, f"attempt {case.live.attempt} is dead", commit=bury)
        return Refused("transfer_failed", str(proof["why"]), bury)

    def _give_up(self, case: TransferCase, why: str) -> Outcome:
        """Circle refused the request as such: nothing of this key can exist."""
        return self._dead(case, {"why": why}, lambda conn: None, retry=False)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        now = self._clock.now()
        return lambda conn: rows.failed(conn, int(claim.subject), why, now)


def _poll_of(taken: timedelta, followed: bool) -> timedelta:
    return look_again_after(taken, POLL_FOLLOWED if followed else POLL, POLL_MOST)


def _is_of_orders(error: PaymentSystemError, case: TransferCase, asks: bool) -> bool:
    """Whether it tells that Circle takes no orders; else the worker has it, a refused key and a failed look-up too."""
    if isinstance(error, Retryable):
        return case.never_left
    return isinstance(error, OutcomeUnknown) or (asks and not isinstance(error, KeyRefused))


def _if_still_so(case: TransferCase, commit: Commit) -> Commit:
    """Nothing where another replica, whose gate is open, has gone on with the transfer meanwhile."""

    def run(conn: Connection) -> None:
        was, now = case.live, rows.load(conn, case.transfer.id, lock=True).attempt
        if now is not None and (now.id, now.state, now.signature) == (was.id, was.state, was.signature):
            commit(conn)

    return run


def intent_of(case: TransferCase) -> TransferIntent:
    """The movement as frozen in the live attempt."""
    return TransferIntent(case.live.source_address, case.transfer.destination_address, case.transfer.amount)
