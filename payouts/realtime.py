"""Pays sales as soon as they are minted: a batch of its own kind, approved by the mode itself, within the caps.

It is planned, frozen, approved by digest and sent like every other batch. What the rules, the caps or the wallet do not
let through is not planned at all, and waits for the Monday.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from domain import realtime
from domain.money import format_usdc
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from domain.realtime import WHY, Backlog, Bar, PayoutMode, RealtimeRules
from payouts.plan import Planned, Planner
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts import batches
from storage.payouts.planning import AtOnce, lock_plans
from storage.payouts.realtime import KEY, left, narrowed, platform
from storage.store import Store
from storage.treasury import funding
from storage.work import Claim

log = structlog.get_logger(__name__)

GATHERS = timedelta(seconds=15)
"""Between two real-time plans at least: about what a payout takes to be final on chain. A sale in a quiet hour is
planned at once, those of a rush come together in few batches."""
APPROVER = "realtime"
"""Who approves in the batch's record: whoever chose the mode."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one look did. `wait`: how long the last plan still gathers."""

    planned: Planned | None = None
    backlog: Backlog | None = None
    wait: timedelta | None = None


class RealtimePlanner:
    """Plans what is payable now under `rules`, with the weekly planner's terms and judge."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, planner: Planner, rules: RealtimeRules, usdc_account: str
    ) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._planner, self._rules, self._account = planner, rules, usdc_account

    @property
    def is_on(self) -> bool:
        return self._rules.mode is PayoutMode.REALTIME

    async def plan(self) -> Turn:
        """Plan what may be paid now, unless a plan was made a moment ago. Raises Retryable or OutcomeUnknown where the
        chain can't be read."""
        wait = await self._store.read(self._gathers)
        if wait is not None:
            return Turn(wait=wait)
        outside = await self._planner.read_outside(self._clock.now())
        key = f"{KEY}{self._ids.uuid()}"

        def plan(conn: Connection) -> Turn:
            lock_plans(conn)
            wait = self._gathers(conn)
            return Turn(wait=wait) if wait is not None else self._plan(conn, key, outside)

        return await self._store.write(plan)

    def backlog(self, conn: Connection) -> Backlog | None:
        """For whoever looks; None when the mode is weekly. Addresses are judged without the chain."""
        return self._backlog(conn) if self.is_on else None

    def _backlog(self, conn: Connection) -> Backlog:
        now = self._clock.now()
        waits = left(conn, self._planner.terms(now, now), self._planner.judge)
        if not waits.payouts:
            return Backlog(waits, None)
        return Backlog(waits, realtime.why_left(self._rules, platform(conn, self._account, now), waits))

    def _gathers(self, conn: Connection) -> timedelta | None:
        """How long the last plan still gathers; a clock that was set back ends it."""
        now, last = self._clock.now(), batches.last_planned(conn, KEY)
        return None if last is None or not last <= now < last + GATHERS else last + GATHERS - now

    def _plan(self, conn: Connection, key: str, outside: Mapping[str, str | None] | None) -> Turn:
        now, rules = self._clock.now(), self._rules
        funding.fund(conn, self._account, now)
        stands, planned = platform(conn, self._account, now), None
        if realtime.bar(rules, stands) is None:
            terms = replace(self._planner.terms(now, now, outside), at_once=AtOnce(rules.ceiling))
            terms = narrowed(conn, terms, self._planner.judge, realtime.room(rules, stands))
            planned = self._planner.plan_in(conn, key, terms, APPROVER)
        return Turn(planned, self._backlog(conn))


class RealtimeStep:
    """Kind `realtime`, subject `payouts`: something may have become payable; the database decides."""

    def __init__(self, planner: RealtimePlanner) -> None:
        self._planner = planner
        self._told: Bar | None = None

    async def run(self, claim: Claim) -> Outcome:
        if not self._planner.is_on:
            return Done()
        turn = await self._planner.plan()
        if turn.wait is not None:
            return Again(turn.wait, "the last plan is a moment old: what is sold meanwhile comes together")
        assert turn.backlog is not None
        self._tell(turn.backlog)
        if turn.backlog.left.payouts and turn.backlog.why is None:
            return Again(GATHERS, "more is payable than one batch may hold")
        return Done()

    def _tell(self, backlog: Backlog) -> None:
        """One line for each change, not for each sale; a restart tells it again."""
        if backlog.why == self._told:
            return
        self._told = backlog.why
        if backlog.why is None:
            log.info("no sale waits for the weekly batch any more")
            return
        waits = backlog.left
        log.warning(
            "sales wait for the weekly batch",
            reason=backlog.why.value,
            why=WHY[backlog.why],
            payouts=waits.payouts,
            usdc=format_usdc(waits.amount),
        )

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
