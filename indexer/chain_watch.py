"""Keeps an eye on the chain itself while the daemon runs: endpoints every half minute, what the chain is like hourly.

Waits and time-outs follow what is found (slot time from the pool's pace, rent asked anew each hour). What changes is
stored with its history, counted and logged; what contradicts the settings shows as trouble until it is gone.
"""

from typing import Protocol

import structlog

from domain.errors import Rejected, Retryable
from indexer.guard import ChainFacts, ChainGuard
from indexer.rpc.pool import RpcPool
from indexer.rpc.values import EndpointHealth
from ports.clock import Clock
from storage.errors import StoreUnavailable
from storage.store import Store
from storage.treasury.chain_facts import known_facts, record_facts

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""Between looks at all endpoints: one getSlot each."""
CHECK_SECONDS = 3600.0
"""Between looks at what the chain is like; it changes with the cluster's governance, announced weeks before."""
AGAIN_SECONDS = 60.0
"""After a check that found trouble or no answer."""
SLOT_DRIFT_DIVISOR = 4
"""The slot time counts as changed when it differs by a quarter: it is measured, and never twice the same."""


class Observer(Protocol):
    """The metrics, as they are told."""

    def endpoint_health(self, number: int, *, lag_slots: int, error_rate: float, is_well: bool) -> None: ...

    def chain_facts(
        self,
        *,
        slot_seconds: float,
        rent_lamports: int,
        fee_lamports: int,
        transaction_version: int,
        usdc_decimals: int,
        usdc_frozen: bool,
        at_timestamp_seconds: float,
    ) -> None: ...

    def chain_fact_changed(self, name: str) -> None: ...

    def chain_trouble(self, count: int, slot_seconds: float) -> None: ...


class ChainWatch:
    """`check` at the start; `run` once per process, after it."""

    def __init__(
        self,
        guard: ChainGuard,
        rpc: RpcPool,
        store: Store,
        clock: Clock,
        observer: Observer,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._guard, self._rpc, self._store, self._clock = guard, rpc, store, clock
        self._observer, self._look_seconds = observer, look_seconds
        self.check_seconds = CHECK_SECONDS
        """From the next check on."""
        self._problem = ""
        self._asked = 0
        self._due = clock.monotonic() + CHECK_SECONDS

    def trouble(self) -> list[str]:
        """Why the chain can't be read, proven or trusted now, a sentence each; empty while all is well."""
        return [*self._rpc.trouble(), *([self._problem] if self._problem else [])]

    def trouble_without_addresses(self) -> list[str]:
        """The same for everybody's eyes."""
        return [*self._rpc.trouble(), *(["the chain is not as the settings say"] if self._problem else [])]

    async def check(self) -> ChainFacts:
        """Look at everything, store, export and judge it. Raises Rejected as the guard does, StoreUnavailable."""
        facts = await self._guard.look()
        await self._record(facts)
        self._guard.judge(facts)
        self._problem = ""
        return facts

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(self._look_seconds)
            await self._look_around()
            if self._clock.monotonic() >= self._due:
                all_well = await self._check_again()
                self._due = self._clock.monotonic() + (self.check_seconds if all_well else AGAIN_SECONDS)
            self._observer.chain_trouble(len(self.trouble()), self._rpc.pace.seconds)

    async def _look_around(self) -> None:
        """Only while the chain is asked for something: an idle daemon does without."""
        asked = sum(health.calls for health in self._rpc.health())
        if asked == self._asked and not self.trouble():
            return
        try:
            await self._rpc.look_around()
        except Retryable as error:
            _log.warning("no_rpc_endpoint_answers", error=str(error))
        self._asked = sum(health.calls for health in self._rpc.health())
        for number, health in enumerate(self._rpc.health(), start=1):
            self._show(number, health)

    async def _check_again(self) -> bool:
        """Whether all is as it should be."""
        try:
            await self.check()
        except Rejected as error:
            self._problem = str(error)
            _log.error("chain_in_doubt", code=error.code, why=str(error))
            return False
        except StoreUnavailable as error:
            _log.warning("chain_facts_not_stored", error=str(error))
            return False
        return True

    async def _record(self, facts: ChainFacts) -> None:
        now = self._clock.now()
        known = {fact.name: fact.value for fact in await self._store.read(known_facts)}
        found = _texts(facts, known.get("slot_ms"))
        changes = await self._store.write(lambda conn: record_facts(conn, found, now))
        for change in changes:
            _log.error("chain_fact_changed", fact=change.name, before=change.before, after=change.after)
            self._observer.chain_fact_changed(change.name)
        self._observer.chain_facts(
            slot_seconds=facts.slot_seconds,
            rent_lamports=facts.rent_lamports,
            fee_lamports=facts.fee_lamports,
            transaction_version=facts.transaction_version,
            usdc_decimals=facts.usdc_decimals,
            usdc_frozen=facts.usdc_frozen,
            at_timestamp_seconds=now.timestamp(),
        )
        for number, health in enumerate(self._rpc.health(), start=1):
            self._show(number, health)

    def _show(self, number: int, health: EndpointHealth) -> None:
        self._observer.endpoint_health(
            number, lag_slots=health.lag_slots, error_rate=health.error_rate, is_well=health.is_well
        )


def _texts(facts: ChainFacts, slot_ms_before: str | None) -> dict[str, str]:
    """The facts as they are stored. A slot time near the one that is stored is the same."""
    slot_ms = round(facts.slot_seconds * 1000)
    if slot_ms_before is not None and abs(slot_ms - int(slot_ms_before)) * SLOT_DRIFT_DIVISOR <= int(slot_ms_before):
        slot_ms = int(slot_ms_before)
    return {
        "genesis_hash": facts.genesis_hash,
        "slot_ms": str(slot_ms),
        "rent_lamports": str(facts.rent_lamports),
        "fee_lamports": str(facts.fee_lamports),
        "transaction_version": str(facts.transaction_version),
        "usdc_decimals": str(facts.usdc_decimals),
        "usdc_freeze_authority": facts.usdc_freeze_authority or "none",
        "usdc_frozen": "yes" if facts.usdc_frozen else "no",
    }
