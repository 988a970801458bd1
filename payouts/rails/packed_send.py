"""Sends a group's stored bytes, as often as needed: the same signature takes effect once, and its group once."""

from datetime import timedelta
from typing import Protocol

from domain.errors import OutcomeUnknown, Rejected, Retryable
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from domain.states import PackedState, WatchState
from domain.waits import send_again_after
from ports.clock import Clock
from storage.payouts import groups as rows
from storage.payouts.groups import GroupCase
from storage.payouts.transfers import watch_state
from storage.store import Store
from storage.work import Claim

ON_ITS_WAY = frozenset({PackedState.SIGNED, PackedState.SENT})


class SendChain(Protocol):
    async def send(self, wire: bytes, *, skip_preflight: bool) -> None: ...


class PackedSendStep:
    """Kind `packed_send`, subject: group id. Ends when the chain has decided; `packed_settle` draws the consequence."""

    def __init__(self, store: Store, clock: Clock, chain: SendChain, resend_every: timedelta) -> None:
        self._store, self._clock, self._chain, self._resend_every = store, clock, chain, resend_every

    async def run(self, claim: Claim) -> Outcome:
        case = await self._store.read(lambda conn: rows.load(conn, int(claim.subject)))
        if case.attempt is None or case.attempt.state not in ON_ITS_WAY or case.attempt.wire is None:
            return Done()
        match watch_state(case.watch):
            case WatchState.FINALIZED | WatchState.EXPIRED:
                return Done()
            case WatchState.CONFIRMED:
                return Again(self._resend_every * 2, "confirmed, waits for finalized")
            case _:
                return await self._send(case)

    async def _send(self, case: GroupCase) -> Outcome:
        """Until a node may have taken the bytes, each try asks for a preflight: what can't work is not paid for."""
        attempt = case.attempt
        assert attempt is not None
        why, now = "sent, waits for its block", self._clock.now()
        wait = send_again_after(now - attempt.signed_at, self._resend_every)
        try:
            await self._chain.send(attempt.wire, skip_preflight=attempt.state == PackedState.SENT)
        except OutcomeUnknown as error:
            why = f"perhaps sent: {error}"
        except (Retryable, Rejected) as error:
            return Again(wait, f"not accepted yet: {error}")
        return Again(wait, why, commit=lambda conn: rows.sent(conn, attempt.id, now))

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
