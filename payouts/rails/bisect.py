"""What follows a group that failed because of one of its payouts: halves, down to the one that is to blame."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from chain.packed_plan import TransactionFormat, halves
from domain.outcomes import Done, Outcome
from payouts.rails.packed_terms import PackedTerms
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts import groups as rows
from storage.payouts.groups import GroupCase


class Bisector:
    """For a group of which no attempt can take effect; `proof` is kept with its last attempt."""

    def __init__(self, clock: Clock, ids: Ids, terms: PackedTerms) -> None:
        self._clock, self._ids, self._terms = clock, ids, terms

    def part(self, case: GroupCase, proof: Mapping[str, Any]) -> Outcome:
        """Two groups of its members in its place; a single payout is given up with the reason."""
        group_id, why, now = case.group.id, str(proof["why"]), self._clock.now()
        members = [(member.transfer_id, member.owner, member.amount) for member in case.members]
        parts = halves(members) if len(members) > 1 else []
        packed_format = TransactionFormat(case.group.format)
        made = [self._terms.new_group(self._ids, case.batch.uuid, packed_format, part) for part in parts]

        def commit(conn: Connection) -> None:
            rows.dead(conn, group_id, proof, now)
            if not made:
                rows.failed(conn, group_id, why, now)
                return
            rows.dissolve(conn, group_id, f"halved: {why}", now)
            for group in made:
                rows.create(conn, case.batch.id, group, now)

        return Done(commit)
