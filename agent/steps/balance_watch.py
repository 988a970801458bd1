"""Holds the platform wallet's balances against their least; each change becomes one message to the operator's chat."""

from sqlalchemy import Connection

from domain.alerts import judge
from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from ports.ids import Ids
from storage.operation import alerts
from storage.store import Store
from storage.work import Claim


class BalanceWatchStep:
    """Kind `balance_watch`, subject `platform`. Leasts in USDC base units and lamports."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, usdc_least: int, sol_least: int) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._usdc_least, self._sol_least = usdc_least, sol_least

    async def run(self, claim: Claim) -> Outcome:
        return Done(self._look)

    def _look(self, conn: Connection) -> None:
        findings = judge(alerts.funds(conn, self._usdc_least, self._sol_least))
        alerts.record(conn, findings, self._ids.uuid, self._clock.now())

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
