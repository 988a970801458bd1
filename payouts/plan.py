"""Plans batches: the weekly one when its Monday is due, and off-cycle ones when asked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from domain.calendar import due_batch, scheduled_key
from domain.errors import Misuse, Retryable
from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from ports.ids import Ids
from storage.operation.listings import first_start
from storage.payouts import batches
from storage.payouts.planning import CreatorShare, Judge, PlanTerms, outside_addresses, purchase_count, shares
from storage.payouts.taking import take
from storage.recovery import wallet_looks
from storage.store import Store
from storage.treasury import funding
from storage.work import Claim, enqueue

Inspect = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""Which of these addresses are no wallets, and why."""
Then = Callable[[Connection, int], None]


def nothing_more(_conn: Connection, _batch_id: int) -> None:
    """What else is to be written with a plan: nothing."""


@dataclass(frozen=True, slots=True)
class PlanRules:
    """The settings under which payouts are taken. `minimum` in base units."""

    minimum: int
    require_available: bool
    cool_off: timedelta
    grouping: str
    rail: str
    hold: timedelta = timedelta(0)
    fee_ceiling: int = 0


@dataclass(frozen=True, slots=True)
class Preview:
    """What a batch would take now, of how many purchases. Base units; `free` is what the wallet can still promise,
    `promised` what it has promised."""

    shares: Sequence[CreatorShare]
    purchases: int
    free: int
    promised: int

    @property
    def taken(self) -> list[CreatorShare]:
        return [share for share in self.shares if share.left_out is None]

    @property
    def total(self) -> int:
        return sum(share.amount for share in self.taken)


@dataclass(frozen=True, slots=True)
class Planned:
    """A batch just planned."""

    batch_id: int
    key: str


class Planner:
    """Plans under one set of rules. `judge` says which addresses can't be paid; `inspect` reads on chain which of the
    external ones are no wallets, and raises Retryable or OutcomeUnknown where it can't: nothing is planned then."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        rules: PlanRules,
        judge: Judge,
        usdc_account: str,
        inspect: Inspect | None = None,
    ) -> None:
        self._inspect = inspect
        self._store, self._clock, self._ids = store, clock, ids
        self._rules, self._judge, self._account = rules, judge, usdc_account

    @property
    def judge(self) -> Judge:
        """Without what the chain says."""
        return self._judge

    async def preview(self) -> Preview:
        """What an off-cycle batch would take now; changes nothing."""
        now = self._clock.now()
        outside = await self.read_outside(now)

        def look(conn: Connection) -> Preview:
            terms = self.terms(now, now, outside)
            found = shares(conn, terms, self._judge)
            taken = [share.recipient_id for share in found if share.left_out is None]
            count = purchase_count(conn, terms, taken)
            return Preview(found, count, funding.free(conn, self._account), funding.promised(conn))

        return await self._store.read(look)

    async def plan_off_cycle(self, approved_by: str, then: Then = nothing_more) -> Planned | None:
        """Plan what is payable now; None when nothing is. `then` is told the batch's id in the same transaction."""
        now, key = self._clock.now(), f"offcycle:{self._ids.uuid()}"
        outside = await self.read_outside(now)
        await self._fund(now)

        def plan(conn: Connection) -> Planned | None:
            planned = self.plan_in(conn, key, self.terms(now, now, outside), approved_by)
            if planned is not None:
                then(conn, planned.batch_id)
            return planned

        return await self._store.write(plan)

    async def plan_weekly(self) -> Planned | None:
        """Plan the latest Monday's batch if it is due and not planned yet."""
        now = self._clock.now()
        if await self._store.read(lambda conn: _due(conn, now)) is None:
            return None
        outside = await self.read_outside(now)
        await self._fund(now)

        def plan(conn: Connection) -> Planned | None:
            monday = _due(conn, now)
            if monday is None:
                return None
            return self.plan_in(conn, scheduled_key(monday), self.terms(monday, now, outside), "schedule")

        return await self._store.write(plan)

    async def read_outside(self, now: datetime) -> Mapping[str, str | None] | None:
        """What the chain says now of the external addresses that would be paid; None where nobody asks it. Raises
        Retryable while a restored database does not know yet who has moved from one to a Circle wallet."""
        if await self._store.read(wallet_looks.is_looked_for):
            raise Retryable("wallets that users got after this copy was made are looked for at Circle")
        if self._inspect is None:
            return None
        found = await self._store.read(lambda conn: outside_addresses(conn, self.terms(now, now)))
        wrong = await self._inspect(found) if found else {}
        return {address: wrong.get(address) for address in found}

    async def _fund(self, now: datetime) -> None:
        """Promise what the wallet covers, so that a plan says truly what it still lacks; in slices, before the plan."""
        done = False
        while not done:
            done = await self._store.write(lambda conn: funding.fund(conn, self._account, now).is_done)

    def plan_in(self, conn: Connection, key: str, terms: PlanTerms, approved_by: str) -> Planned | None:
        """Plan in the caller's transaction; None when nothing is payable under `terms` or the key is planned."""
        batch_id = take(conn, key, terms, self._judge, approved_by, self._ids.uuids)
        if batch_id is None:
            return None
        if not funding.fund(conn, self._account, terms.now).is_done:
            enqueue(conn, "fund", "treasury", terms.now)
        enqueue(conn, "batch", batch_id, terms.now)
        return Planned(batch_id, key)

    def terms(self, cutoff: datetime, now: datetime, outside: Mapping[str, str | None] | None = None) -> PlanTerms:
        """Of a plan made now of what was paid before `cutoff`; `outside` as `read_outside` gives it."""
        rules = self._rules
        return PlanTerms(
            cutoff=cutoff,
            now=now,
            minimum=rules.minimum,
            require_available=rules.require_available,
            cool_off=rules.cool_off,
            grouping=rules.grouping,
            rail=rules.rail,
            hold=rules.hold,
            fee_ceiling=rules.fee_ceiling,
            outside=outside,
        )


def _due(conn: Connection, now: datetime) -> datetime | None:
    """The Monday whose batch is to be planned now."""
    installed_at = first_start(conn)
    if installed_at is None:
        raise Misuse("the installation's first start is not recorded")
    return due_batch(now, installed_at, batches.cutoffs_of_scheduled(conn))


class PlanStep:
    """Kind `plan`, subject `weekly`: the schedule's nudge; the database decides whether a batch is due."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    async def run(self, claim: Claim) -> Outcome:
        await self._planner.plan_weekly()
        return Done()

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
