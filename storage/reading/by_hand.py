"""What a person is asked to pay a recipient: due and unpaid, and taken by no plan. Reads only."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from domain.states import WorkState
from storage.payouts.debts import OVERNETTED, netted_in_vain
from storage.payouts.positions import position
from storage.sales.returns import UNDERPAID
from storage.statements import among, fixed
from storage.tables import jobs, payouts
from storage.work import BY_HAND


@dataclass(slots=True)
class ByHand:
    """One recipient's, in base units: the rest of `sales` that were paid too little, and `in_vain`, what debts used up
    that are none any more. What was settled by hand is in neither."""

    sales: int = 0
    rest: int = 0
    in_vain: int = 0

    @property
    def amount(self) -> int:
        return self.rest + self.in_vain

    def debt_of(self, booked: int) -> int:
        """What he owes by his account in the books, where what was used up in vain stands as a debt below zero."""
        return max(0, booked + self.in_vain)


def owed(conn: Connection, recipient_ids: Collection[int]) -> Mapping[int, ByHand]:
    """By recipient; all zero for whom nobody is asked."""
    found: dict[int, ByHand] = defaultdict(ByHand)
    asked: dict[int, set[str]] = defaultdict(set)
    for job in conn.execute(_ASKED):
        asked[int(job.subject)].add(job.kind)
    if not asked:
        return found
    mine = payouts.c.id.in_(asked), payouts.c.recipient_id.in_(recipient_ids)
    for row in conn.execute(select(payouts).where(*mine)).all():
        one = found[row.recipient_id]
        if UNDERPAID in asked[row.id]:
            one.sales += 1
            one.rest += position(row).payable
        if OVERNETTED in asked[row.id]:
            one.in_vain += netted_in_vain(conn, row)
    return found


def in_all(conn: Connection) -> tuple[int, int]:
    """Of how many creators, and how much together."""
    asked = [int(subject) for subject in conn.scalars(_ASKED.with_only_columns(jobs.c.subject))]
    if not asked:
        return 0, 0
    recipients = conn.scalars(select(payouts.c.recipient_id).where(payouts.c.id.in_(asked)).distinct()).all()
    found = owed(conn, recipients)
    return len(found), sum(one.amount for one in found.values())


_ASKED = select(jobs.c.kind, jobs.c.subject).where(
    jobs.c.state == fixed(WorkState.PARKED), jobs.c.kind.in_(among(sorted(BY_HAND)))
)
