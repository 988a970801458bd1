"""Whom a sale pays in the transaction of its mint: decided by the same rules as a plan and within the same caps."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from domain.realtime import Bar, Part, RealtimeRules
from payouts.plan import Planner
from storage.payouts.planning import lock_plans
from storage.payouts.realtime import payable_sale
from storage.payouts.taking import store_screenings


class AtMint:
    """Called in the transaction of a mint's intent. The results of the screening are stored."""

    def __init__(self, planner: Planner, bounds: RealtimeRules, usdc_account: str) -> None:
        self._planner, self._bounds, self._account = planner, bounds, usdc_account

    def __call__(self, conn: Connection, purchase_id: int, now: datetime) -> Sequence[Part] | str:
        """The parts that are paid now, all of them; or what bars it."""
        lock_plans(conn)
        terms, judge = self._planner.terms(now, now), self._planner.judge
        found = payable_sale(conn, purchase_id, terms, self._bounds, judge, self._account)
        if isinstance(found, Bar):
            return f"not payable now ({found})"
        store_screenings(conn, [part.address for part in found], judge, now)
        return found
