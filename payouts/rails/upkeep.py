"""Transactions beside the payouts: missing token accounts in waves, receipts closed. Signed, stored, sent, followed.

Making an account that is there and closing one that is gone change nothing, so a repetition costs a fee at most.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy import Connection

from chain.account_waves import TRACE_ERROR, build_wave, halved
from chain.bids import bid
from chain.nft_build import ComputeBudget
from chain.receipts import build_close
from chain.transactions import signature_of, with_signature
from chain.upkeep_check import assert_close_matches, assert_wave_matches
from domain.dead_attempts import EXPIRY
from domain.errors import OutcomeUnknown, Rejected, Retryable
from domain.evidence import Evidence
from domain.outcomes import Again, Commit, Done, Outcome, Unknown
from domain.states import UpkeepState, WatchState
from domain.waits import send_again_after
from gateways.circle_api import Lane
from payouts.rails.packed_terms import PackedTerms
from payouts.rails.stops import PAUSED, Stop, why_paused
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts import receipts
from storage.payouts import upkeep as rows
from storage.payouts.packing import dead_tries
from storage.payouts.transfers import watch_state
from storage.payouts.upkeep import UpkeepCase
from storage.store import Store
from storage.work import Claim, enqueue, fenced

log = structlog.get_logger(__name__)


ACCOUNT_UNITS = 50_000
"""Compute units bought with a bid, for each account of a wave: looking for its address may take a good part of them."""


class UpkeepChain(Protocol):
    async def latest_blockhash(self) -> tuple[str, int]: ...

    async def priority_fees(self, accounts: Sequence[str]) -> list[int]: ...

    async def simulate(self, wire: bytes) -> str | None: ...

    async def send(self, wire: bytes, *, skip_preflight: bool) -> None: ...


class UpkeepWitness(Protocol):
    async def landed(self, signature: str) -> Evidence: ...


class Signer(Protocol):
    def require_key(self) -> None:
        """Raises KeyRefused while our key is refused: nothing could be signed."""
        ...

    async def sign_transaction(self, wallet_id: str, raw_wire: bytes, memo: str, lane: Lane) -> str: ...


class UpkeepStep:
    """Kind `upkeep`, subject: upkeep id."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        chain: UpkeepChain,
        witness: UpkeepWitness,
        signer: Signer,
        terms: PackedTerms,
        signed: Callable[[], None],
    ) -> None:
        """`signed` is called after a signature was stored to be watched."""
        self._store, self._clock, self._ids = store, clock, ids
        self._chain, self._witness, self._signer = chain, witness, signer
        self._terms, self._told_signed = terms, signed

    async def run(self, claim: Claim) -> Outcome:
        upkeep_id = int(claim.subject)
        case = await self._store.read(lambda conn: rows.load(conn, upkeep_id))
        match UpkeepState(case.row.state):
            case UpkeepState.FINALIZED | UpkeepState.DEAD:
                return Done()
            case UpkeepState.INTENDED:
                return await self._sign(case, claim)
            case _:
                return await self._follow(case)

    async def _sign(self, case: UpkeepCase, claim: Claim) -> Outcome:
        stopped = await self._store.read(why_paused)
        if stopped is not None:
            return Stop(stopped).outcome
        terms, upkeep_id = self._terms, case.row.id
        self._signer.require_key()
        budget = await self._budget(case)
        blockhash, last_valid_block_height = await self._chain.latest_blockhash()
        wire = self._build(case, blockhash, budget)
        failure = await self._chain.simulate(wire)
        if failure is not None:
            return self._ended(case, {"why": f"the simulation fails: {failure}"})
        signature = await self._signer.sign_transaction(terms.wallet_id, wire, f"upkeep {case.row.uuid}", Lane.PAYOUT)
        signed = with_signature(wire, terms.address, signature)
        known = signature_of(signed)

        def save(conn: Connection) -> bool:
            if rows.is_signed(conn, known):
                return False
            rows.signed(conn, upkeep_id, signed, known, last_valid_block_height, self._clock.now())
            return True

        if not await self._store.write(fenced(claim, save)):
            return Again(terms.resend_every * 2, f"another batch's transaction is the same to the last byte: {known}")
        self._told_signed()
        return Again(timedelta(0), "signed")

    async def _budget(self, case: UpkeepCase) -> ComputeBudget | None:
        """Of a wave, which a batch waits for. Receipts are closed whenever there is room in a block."""
        most, batch_id, owners = self._terms.priority_lamports, case.row.batch_id, case.addresses
        if not most or batch_id is None:
            return None
        tries = await self._store.read(lambda conn: dead_tries(conn, batch_id, owners))
        recent = await self._chain.priority_fees([self._terms.address])
        dead = max((one.count for one in tries.values()), default=0)
        return bid(ACCOUNT_UNITS * len(owners), most, recent, dead)

    def _build(self, case: UpkeepCase, blockhash: str, budget: ComputeBudget | None) -> bytes:
        """The bytes, held against what is meant. Raises Rejected."""
        wallet, mint, addresses = self._terms.address, self._terms.usdc_mint, case.addresses
        if case.row.kind == "accounts":
            wire = build_wave(wallet, mint, addresses, blockhash, budget)
            assert_wave_matches(wire, wallet, mint, addresses, budget)
        else:
            wire = build_close(wallet, addresses, blockhash)
            assert_close_matches(wire, wallet, mint, addresses)
        return wire

    async def _follow(self, case: UpkeepCase) -> Outcome:
        row, watch, every = case.row, case.watch, self._terms.resend_every
        match watch_state(watch):
            case WatchState.FINALIZED if watch is not None and watch.err is None:
                return self._settle(case, await self._witness.landed(row.signature))
            case WatchState.FINALIZED:
                return self._ended(case, {"why": f"landed with an error: {watch.err if watch else ''}"})
            case WatchState.EXPIRED:
                return self._ended(case, {"why": "expired", EXPIRY: watch.proof if watch else None})
            case WatchState.CONFIRMED:
                return Again(every * 2, "confirmed, waits for finalized")
            case _:
                return await self._send(case)

    async def _send(self, case: UpkeepCase) -> Outcome:
        now, row, watch = self._clock.now(), case.row, case.watch
        why = "sent, waits for its block"
        taken = now - watch.created_at if watch is not None else timedelta(0)
        wait = send_again_after(taken, self._terms.resend_every)
        try:
            await self._chain.send(row.wire, skip_preflight=row.state == UpkeepState.SENT)
        except OutcomeUnknown as error:
            why = f"perhaps sent: {error}"
        except (Retryable, Rejected) as error:
            return Again(wait, f"not accepted yet: {error}")
        return Again(wait, why, commit=lambda conn: rows.sent(conn, row.id, now))

    def _settle(self, case: UpkeepCase, evidence: Evidence) -> Outcome:
        if not evidence.matches:
            return Unknown(PAUSED, f"it does not read back: {evidence.why}")
        now = self._clock.now()

        def commit(conn: Connection) -> None:
            rows.finalized(conn, case.row.id, evidence, now)
            if case.row.kind == "closing":
                for address in case.addresses:
                    receipts.closed(conn, address, evidence.signature, evidence.slot, 0, now)

        return Done(commit)

    def _ended(self, case: UpkeepCase, proof: dict[str, object]) -> Outcome:
        """It can't take effect any more. A wave whose trace is too long is halved; else the need for it is looked at
        anew: the batch packs again, receipts are chosen again."""
        why, now, row = str(proof["why"]), self._clock.now(), case.row
        log.warning("upkeep ended without effect", kind=row.kind, why=why)
        smaller: Sequence[Sequence[str]] = ()
        if TRACE_ERROR in why and len(case.addresses) > 1:
            smaller = halved(case.addresses)
        named = [(str(self._ids.uuid()), part) for part in smaller]

        def commit(conn: Connection) -> None:
            rows.dead(conn, row.id, proof, now)
            for uuid, part in named:
                rows.plan(conn, row.kind, uuid, self._terms.payer, part, now, row.batch_id)
            if not named and row.batch_id is not None:
                enqueue(conn, "pack", row.batch_id, now)

        return Done(commit)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        """Nothing signed, nothing to prove: what it was for is looked at anew, and given up after so many tries."""
        now = self._clock.now()
        return lambda conn: rows.given_up(conn, int(claim.subject), f"{code}: {why}", now)
