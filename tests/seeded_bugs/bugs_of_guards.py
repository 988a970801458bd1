"""Bugs in what guards the rest: fences, receipts, unique constraints, proofs of death, secrets, the audit log."""

from typing import Any

from pytest import MonkeyPatch
from sqlalchemy import bindparam, delete, update

import agent.steps.mint
import agent.web.accounts
import chain.packed
import indexer.treasury.gap_search
import indexer.treasury.reader
import simulator.world
import storage.books.audit
import storage.inbox
import storage.people.tokens
import storage.work
from domain.errors import RequestError, Retryable
from domain.states import MintState
from simulator.scenario import FaultKind as F
from storage.tables import jobs, users
from tests.seeded_bugs.planting import bug, nothing, of, without_unique


@bug(F.TWO_WORKERS, F.PAUSES)
def skips_the_lease_fence(patch: MonkeyPatch) -> None:
    by_birth = of(storage.work, "_is_held")
    patch.setattr(storage.work, "_is_held", lambda table: by_birth(table)[:2])
    same = of(storage.work, "_same")
    patch.setattr(storage.work, "_same", lambda claim: {name: same(claim)[name] for name in ("which", "born")})
    for built_once in ("_held", "_renew", "_again", "_change"):
        patch.setattr(storage.work, built_once, of(storage.work, built_once).__wrapped__)
    woken = jobs.c.wakes == bindparam("woken")
    patch.setattr(storage.work, "_FINISH", delete(jobs).where(*storage.work._is_held(jobs), woken))


@bug(rail="solana")
def forgets_the_receipt(patch: MonkeyPatch) -> None:
    """Nothing on the chain refuses a group a second time."""
    patch.setattr(chain.packed, "receipt_instructions", lambda *_: [])


@bug(F.DUPLICATE_EVENTS)
def drops_the_uniqueness_of_events(patch: MonkeyPatch) -> None:
    real = of(storage.inbox, "_sqlite_events")
    patch.setattr(storage.inbox, "_sqlite_events", lambda rows: real(rows).partition(" ON CONFLICT")[0])
    emptied = without_unique(simulator.world.empty_database(), "stripe_events", "event_id")
    patch.setattr("simulator.stage.empty_database", lambda: emptied)


@bug(F.SERVER_ERRORS, F.LOST_ANSWERS, F.HTML_BODIES)
def swallows_an_rpc_error(patch: MonkeyPatch) -> None:
    """What no endpoint tells of a transaction, it moved nothing; nor is it looked for where the balance tells of it,
    which mends the one without the other."""
    real = of(indexer.treasury.reader.TransactionReader, "in_order")

    async def facts_of(self: Any, track: Any, since: Any, chunk: Any) -> Any:
        try:
            return await real(self, track, since, chunk)
        except Retryable:
            return []

    async def look(self: Any, slot: int) -> None:
        return

    patch.setattr(indexer.treasury.reader.TransactionReader, "in_order", facts_of)
    patch.setattr(indexer.treasury.gap_search.GapSearch, "look", look)


@bug(F.LATE_LANDING)
def resends_with_a_new_blockhash(patch: MonkeyPatch) -> None:
    """What takes long is given up and signed anew, while the first may still land."""
    real = of(agent.steps.mint.MintStep, "_send")

    async def send(self: Any, case: Any) -> Any:
        if case.attempt.state == MintState.SENT:
            claim = None  # asked for only where the NFT is there already
            return await self._bury(case, agent.steps.mint.plan_of(case.attempt), {"why": "it takes long"}, claim)
        return await real(self, case)

    patch.setattr(agent.steps.mint.MintStep, "_send", send)


@bug()
def keeps_tokens_in_the_clear(patch: MonkeyPatch) -> None:
    patch.setattr(storage.people.tokens, "hash_secret", lambda secret: secret)


@bug()
def writes_no_audit_row(patch: MonkeyPatch) -> None:
    patch.setattr(storage.books.audit, "record", nothing)


@bug()
def writes_before_it_refuses(patch: MonkeyPatch) -> None:
    real = of(agent.web.accounts.Accounts, "log_in")

    async def log_in(self: Any, call: Any) -> Any:
        try:
            return await real(self, call)
        except RequestError:
            seen = update(users).where(users.c.email.is_not(None)).values(username=users.c.username)
            await self._store.write(lambda conn: conn.execute(seen).rowcount)
            raise

    patch.setattr(agent.web.accounts.Accounts, "log_in", log_in)
