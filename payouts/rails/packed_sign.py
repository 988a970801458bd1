"""Has one group's transaction signed: accounts read, bytes built, held against the plan, tried, signed, stored.

Nothing is sent here. The blockhash is fetched right before signing; the receipt makes the group payable once.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from sqlalchemy import Connection

from chain import programs
from chain.nft_build import ComputeBudget
from chain.packed import build_packed
from chain.packed_check import assert_packed_matches
from chain.packed_plan import PackedPlan
from chain.transactions import signature_of, with_signature
from domain.destinations import WHY_NOT, AccountStanding, PackedView
from domain.errors import Misuse, Retryable
from domain.outcomes import Again, Commit, Done, Outcome
from domain.states import GroupState, PackedState
from gateways.circle_api import Lane
from payouts.rails.bisect import Bisector
from payouts.rails.packed_settle import PackedSettleStep, blames_a_payout
from payouts.rails.packed_terms import PackedTerms, transaction_fee
from payouts.rails.stops import PAUSED, Stop, lock_cap, stop_of
from ports.clock import Clock
from storage.payouts import groups as rows
from storage.payouts import transfers
from storage.payouts.groups import GroupCase
from storage.payouts.packing import SCREENED_OUT, leave_out
from storage.payouts.taking_back import take_back
from storage.store import Store
from storage.work import Claim, enqueue, fenced

log = structlog.get_logger(__name__)

NO_LONGER = "a payout of it is no longer what was packed"


class SignChain(Protocol):
    """What signing reads from the chain. Errors as in `domain.errors`."""

    async def view(self, plan: PackedPlan) -> PackedView: ...

    async def minimum_rent(self, size: int) -> int: ...

    async def latest_blockhash(self) -> tuple[str, int]: ...

    async def priority_fees(self, accounts: Sequence[str]) -> list[int]: ...

    async def simulate(self, wire: bytes) -> str | None: ...


class Signer(Protocol):
    def require_key(self) -> None:
        """Raises KeyRefused while our key is refused: nothing could be signed."""
        ...

    async def sign_transaction(self, wallet_id: str, raw_wire: bytes, memo: str, lane: Lane) -> str: ...


class PackedSignStep:
    """Kind `packed_sign`, subject: group id."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        chain: SignChain,
        signer: Signer,
        settle: PackedSettleStep,
        bisector: Bisector,
        terms: PackedTerms,
        signed: Callable[[], None],
    ) -> None:
        """`signed` is called after a signature was stored to be watched."""
        self._store, self._clock, self._chain, self._signer = store, clock, chain, signer
        self._settle, self._bisector, self._terms, self._told_signed = settle, bisector, terms, signed

    async def run(self, claim: Claim) -> Outcome:
        group_id = int(claim.subject)
        case = await self._store.read(lambda conn: rows.load(conn, group_id))
        if case.group.state != GroupState.OPEN:
            return Done()
        if case.attempt is not None and case.attempt.state != PackedState.INTENDED:
            return Done(lambda conn: enqueue(conn, "packed_send", group_id, self._clock.now()))
        stopped = await self._store.read(lambda conn: self._stopped(conn, case))
        if stopped is not None:
            return stopped.outcome
        plan = self._terms.plan(case)
        view = await self._chain.view(plan)
        if view.receipt_is_made:
            return await self._settle.paid_before(case, plan)
        if case.attempt is not None and await self._taken_back(group_id, claim):
            return Done()
        return self._unfit(case, view) or await self._sign(case, plan, view, claim)

    def _stopped(self, conn: Connection, case: GroupCase) -> Stop | None:
        begins = case.group.amount if case.attempt is None else 0
        return stop_of(conn, case.batch, begins, self._terms.day_cap, self._clock.now())

    async def _taken_back(self, group_id: int, claim: Claim) -> bool:
        """Whether an intent of an earlier run was withdrawn: it could not be signed, and no longer should be."""
        now = self._clock.now()
        return await self._store.write(fenced(claim, lambda conn: take_back(conn, group_id, now)))

    def _unfit(self, case: GroupCase, view: PackedView) -> Outcome | None:
        """What keeps this group from being signed as it is: a payout that changed, an address that is denied by now, a
        bad account, our own wallet."""
        group_id, now = case.group.id, self._clock.now()
        if case.attempt is None and not case.is_payable:
            return Done(lambda conn: rows.dissolve(conn, group_id, NO_LONGER, now))
        denied = [(one.transfer_id, why) for one in case.members if (why := self._terms.judge(one.owner)) is not None]
        if denied:
            return Done(lambda conn: self._leave_out(conn, group_id, denied))
        bad = [
            (member.transfer_id, WHY_NOT.get(standing))
            for member, standing in zip(case.members, view.standings, strict=True)
            if standing is not AccountStanding.READY
        ]
        if bad:

            def part(conn: Connection) -> None:
                rows.withdraw(conn, group_id, "a destination account is not good", now)
                rows.dissolve(conn, group_id, f"{len(bad)} destination account(s) are not good", now)
                for transfer_id, why in bad:
                    if why is not None:
                        transfers.failed(conn, transfer_id, why, now)

            return Done(part)
        if view.source_trouble is not None:
            log.error("payouts wait for the platform wallet", why=view.source_trouble)
            return Again(PAUSED, view.source_trouble)
        return None

    def _leave_out(self, conn: Connection, group_id: int, denied: Sequence[tuple[int, str]]) -> None:
        """Nothing of the group is signed: the others are packed anew."""
        why, now = f"{len(denied)} address(es) are denied since they were planned", self._clock.now()
        rows.withdraw(conn, group_id, why, now)
        rows.dissolve(conn, group_id, why, now)
        for transfer_id, reason in denied:
            leave_out(conn, transfer_id, SCREENED_OUT + reason, now)

    async def _sign(self, case: GroupCase, plan: PackedPlan, view: PackedView, claim: Claim) -> Outcome:
        terms = self._terms
        self._signer.require_key()
        rent = await self._chain.minimum_rent(programs.TOKEN_ACCOUNT_SIZE)
        need = max(0, rent - view.receipt_lamports) + transaction_fee(terms.priority_lamports)
        if view.wallet_lamports < need:
            why = f"a group needs {need} lamports, the platform wallet has {view.wallet_lamports}: send SOL"
            log.error("the platform wallet lacks SOL", why=why)
            return Again(PAUSED, why)
        begun = await self._intend(case, claim)
        if isinstance(begun, Stop):
            return begun.outcome
        case = begun
        budget = await self._budget(plan, case.dead.count)
        blockhash, last_valid_block_height = await self._chain.latest_blockhash()
        wire = build_packed(
            plan,
            blockhash=blockhash,
            rent_lamports=rent,
            receipt_lamports_now=view.receipt_lamports,
            budget=budget,
        )
        approved = case.batch.fee_ceiling_lamports or terms.lamports_ceiling
        assert_packed_matches(wire, plan, min(terms.lamports_ceiling, approved), budget)
        failure = await self._chain.simulate(wire)
        if failure is not None:
            return self._would_fail(case, wire, failure)
        signature = await self._signer.sign_transaction(terms.wallet_id, wire, self._memo(case), Lane.PAYOUT)
        await self._store_signed(
            case, with_signature(wire, plan.platform_wallet, signature), last_valid_block_height, claim
        )
        return Done()

    async def _intend(self, case: GroupCase, claim: Claim) -> GroupCase | Stop:
        """The case with its attempt; or what stops it since it was looked at."""
        group_id, terms = case.group.id, self._terms
        if case.attempt is not None:
            if (case.attempt.wallet_id, case.attempt.platform_address) != (terms.wallet_id, terms.address):
                raise Misuse(f"group {case.group.uuid} was planned for another platform wallet")
            return case

        def save(conn: Connection) -> GroupCase | Stop:
            lock_cap(conn, terms.day_cap)
            stopped = self._stopped(conn, rows.load(conn, group_id))
            if stopped is not None:
                return stopped
            rows.intend(conn, group_id, terms.wallet_id, terms.address, self._clock.now())
            return rows.load(conn, group_id)

        return await self._store.write(fenced(claim, save))

    async def _budget(self, plan: PackedPlan, dead_attempts: int) -> ComputeBudget | None:
        if not self._terms.priority_lamports:
            return None
        recent = await self._chain.priority_fees([plan.source_account])
        return self._terms.budget(plan, recent, dead_attempts)

    async def _store_signed(self, case: GroupCase, wire: bytes, last_valid_block_height: int, claim: Claim) -> None:
        attempt = case.attempt
        assert attempt is not None

        def save(conn: Connection) -> None:
            rows.signed(conn, attempt.id, wire, signature_of(wire), last_valid_block_height, self._clock.now())

        await self._store.write(fenced(claim, save))
        self._told_signed()

    def _would_fail(self, case: GroupCase, wire: bytes, failure: str) -> Outcome:
        """The trial run failed although every account looked good: nothing was signed, nothing can land."""
        why = f"the simulation fails: {failure}"
        if not blames_a_payout(wire, failure):
            raise Retryable(why)
        return self._bisector.part(case, {"why": why})

    def _memo(self, case: GroupCase) -> str:
        """For Circle's console."""
        return f"group {case.group.uuid}"

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        now = self._clock.now()
        return lambda conn: rows.failed(conn, int(claim.subject), f"{code}: {why}", now)
