"""What the chain's word means for a group: read back and distributed, or proven dead, halved or tried again."""

import json
from datetime import timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection

from chain.packed_check import pays_at
from chain.packed_plan import PackedPlan
from domain.dead_attempts import EXPIRY
from domain.destinations import INSUFFICIENT_FUNDS
from domain.errors import looking_up
from domain.evidence import Evidence
from domain.outcomes import Again, Commit, Done, Outcome, Refused, Unknown, nothing
from domain.states import GroupState, PackedState, WatchState
from payouts.rails.bisect import Bisector
from payouts.rails.packed_terms import PackedTerms
from ports.clock import Clock
from storage.payouts import groups as rows
from storage.payouts.groups import GroupCase
from storage.payouts.transfers import watch_state
from storage.recovery import packed_adoption
from storage.store import Store
from storage.work import Claim, enqueue

log = structlog.get_logger(__name__)

POLL = timedelta(seconds=3)
UNKNOWN_WAIT = timedelta(minutes=10)


class PackedWitness(Protocol):
    """What the finalized chain says of a group. Errors as in `domain.errors`."""

    async def packed_evidence(self, signature: str, plan: PackedPlan) -> Evidence: ...

    async def receipt_maker(self, receipt: str) -> str | None:
        """Signature of the finalized transaction that made the receipt; None when two endpoints say there is none."""
        ...


class PackedSettleStep:
    """Kind `packed_settle`, subject: group id; made due by the fate of its signature."""

    def __init__(
        self, store: Store, clock: Clock, witness: PackedWitness, bisector: Bisector, terms: PackedTerms
    ) -> None:
        self._store, self._clock, self._witness = store, clock, witness
        self._bisector, self._terms = bisector, terms

    async def run(self, claim: Claim) -> Outcome:
        case = await self._store.read(lambda conn: rows.load(conn, int(claim.subject)))
        attempt, watch = case.attempt, case.watch
        if attempt is None or watch is None or case.group.state != GroupState.OPEN:
            return Done()
        if attempt.state == PackedState.FINALIZED:
            return Done()
        with looking_up(may_have_happened=True):
            return await self._judge(case)

    async def _judge(self, case: GroupCase) -> Outcome:
        attempt, watch, plan = case.attempt, case.watch, self._terms.plan(case)
        assert attempt is not None
        assert watch is not None
        match watch_state(watch):
            case WatchState.FINALIZED if watch.err is None:
                return self._paid(case, await self._witness.packed_evidence(attempt.signature, plan))
            case WatchState.FINALIZED:
                proof = {
                    "why": f"landed with an error: {watch.err}",
                    "signature": attempt.signature,
                    "slot": watch.slot,
                }
                return await self._bury(case, plan, proof, blames_a_payout(attempt.wire, watch.err))
            case WatchState.EXPIRED:
                proof = {"why": "expired", "signature": attempt.signature, EXPIRY: watch.proof}
                return await self._bury(case, plan, proof, halve=False)
            case _:
                return Done()

    async def paid_before(self, case: GroupCase, plan: PackedPlan) -> Outcome:
        """The receipt stands and no live attempt explains it: it was paid by one that is held for dead, or by a process
        whose rows are lost. Then that counts; what was frozen is what was paid."""
        maker = await self._witness.receipt_maker(plan.receipt)
        if maker is None:
            return Again(POLL, "its receipt is confirmed, waits for finalized")
        evidence = await self._witness.packed_evidence(maker, plan)
        if not evidence.matches:
            return self._differs(evidence)
        now, terms = self._clock.now(), self._terms

        def commit(conn: Connection) -> None:
            if packed_adoption.restore_members(conn, case.group.id, terms.payer, now):
                rows.paid(conn, case.group.id, evidence, terms.usdc_account, now)

        log.warning("group was paid by an earlier transaction", group=case.group.uuid, signature=maker)
        return Again(UNKNOWN_WAIT, "paid, and looked at once more", commit=commit)

    def _paid(self, case: GroupCase, evidence: Evidence) -> Outcome:
        if not evidence.matches:
            return self._differs(evidence)
        group_id, now, account = case.group.id, self._clock.now(), self._terms.usdc_account
        return Done(lambda conn: rows.paid(conn, group_id, evidence, account, now))

    def _differs(self, evidence: Evidence) -> Outcome:
        log.error("packed payout does not read back as planned", signature=evidence.signature, why=evidence.why)
        return Unknown(UNKNOWN_WAIT, f"read back differs from the plan: {evidence.why}")

    async def _bury(self, case: GroupCase, plan: PackedPlan, proof: dict[str, Any], halve: bool) -> Outcome:
        """This signature took no effect. The receipt may stand all the same, made by another one: then that counts."""
        maker = await self._witness.receipt_maker(plan.receipt)
        if maker is not None:
            return self._paid(case, await self._witness.packed_evidence(maker, plan))
        proof["receipt"] = f"{plan.receipt} is absent at finalized"
        if halve:
            return self._bisector.part(case, proof)
        group_id, now, why = case.group.id, self._clock.now(), str(proof["why"])
        expired = EXPIRY in proof
        dead = case.dead.and_one(expired=expired)
        used_up, due_at = dead.are_too_many(self._terms.attempts_max), now + dead.pause if expired else now

        def bury(conn: Connection) -> None:
            rows.dead(conn, group_id, proof, now)
            if used_up:
                rows.failed(conn, group_id, why, now)
            else:
                enqueue(conn, "packed_sign", group_id, now, due_at)

        return Refused("attempts_used_up", why, bury) if used_up else Done(bury)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def blames_a_payout(wire: bytes, err: str) -> bool:
    """Whether the error (JSON text) of a landed transaction is at one of its transfers and not the source's."""
    told = json.loads(err)
    blamed = told.get("InstructionError") if isinstance(told, dict) else None
    if not isinstance(blamed, list) or not blamed or not isinstance(blamed[0], int):
        return False
    return INSUFFICIENT_FUNDS not in err and pays_at(wire, blamed[0])
