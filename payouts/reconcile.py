"""Holds Stripe's balance transactions, the ledger, Circle's transactions and the chain against each other, per sale.

Daily, and when an operator asks. Everything is read and judged in pages: lists are copied, then compared in the
database. USDC that Circle moves for nobody of ours stops all sends at once; whatever is red alerts.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from domain.errors import Misuse
from domain.ledger import Asset
from domain.money import USDC_DECIMALS
from domain.outcomes import Commit, Done, Outcome, nothing
from domain.reconciliation import Colour, Verdict, is_due, judge
from gateways.circle_api import CircleTransaction, TransactionPage
from gateways.stripe_facts import BalanceEntry
from ports.clock import Clock
from storage.operation.listings import first_start
from storage.operation.switches import SENDS_PAUSED, turn, why_on
from storage.reconciliation import mirrors, reports, sales, strays
from storage.reconciliation.mirrors import CircleRow, StripeRow
from storage.reconciliation.reports import FindingRow
from storage.reconciliation.strays import StraysPage
from storage.store import Store
from storage.treasury.movement_rows import movement_sum_at
from storage.treasury.outflows import orphans
from storage.verification import CHECKS
from storage.work import Claim, fenced

log = structlog.get_logger(__name__)

BALANCE_TRIES = 6
BALANCE_WAIT_SECONDS = 10.0
"""A movement is booked within the follower's poll of 30 s at most: what the books don't say after a minute of a moment
at which the chain was asked, they don't say. While a batch is sent there is no rest to wait for."""
PROGRESS_SECONDS = 1.0
"""Between two words on how far the rules are: on a small database all of them take less."""

T = TypeVar("T")


class StripeLists(Protocol):
    def list_balance_transactions(self, created_gte: datetime) -> AsyncIterator[tuple[BalanceEntry, ...]]: ...


class CircleLists(Protocol):
    def list_transactions(self, wallet_id: str, since: datetime) -> AsyncIterator[TransactionPage]: ...


class Amount(Protocol):
    """What stood in an account at a slot."""

    @property
    def amount(self) -> int: ...

    @property
    def slot(self) -> int: ...


class Balances(Protocol):
    """The finalized chain. Raises Retryable when it can't be read."""

    async def get_token_amount(self, account: str) -> Amount: ...

    async def get_balance(self, address: str) -> Amount: ...


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform wallet as Circle and the chain know it."""

    wallet_id: str
    address: str
    usdc_account: str
    usdc_token_id: str


class ReconcileStep:
    """Kind `reconcile`, subject `books`. A run that dies is begun anew: copies are kept, findings are not."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        stripe: StripeLists,
        circle: CircleLists,
        chain: Balances,
        platform: Platform,
    ) -> None:
        self._store, self._clock = store, clock
        self._stripe, self._circle, self._chain, self._platform = stripe, circle, chain, platform

    async def run(self, claim: Claim) -> Outcome:
        installed_at = await self._store.read(_installed_at)
        if not await self._store.read(lambda conn: self._is_wanted(conn, installed_at)):
            return Done()
        await _Run(self._store, self._clock, claim, self._platform, installed_at).all(
            self._stripe, self._circle, self._chain
        )
        return Done()

    def _is_wanted(self, conn: Connection, installed_at: datetime) -> bool:
        if reports.unfinished(conn) is not None:
            return True
        return is_due(self._clock.now(), reports.last_started(conn), installed_at)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


class _Run:
    """One report from its beginning to its end."""

    def __init__(self, store: Store, clock: Clock, claim: Claim, platform: Platform, installed_at: datetime) -> None:
        self._store, self._clock, self._claim = store, clock, claim
        self._platform, self._installed_at = platform, installed_at
        self._report = 0

    async def all(self, stripe: StripeLists, circle: CircleLists, chain: Balances) -> None:
        started = self._clock.now()
        self._report = await self._write(lambda conn: reports.begin(conn, started))
        await self._copy_stripe(stripe)
        await self._copy_circle(circle)
        await self._write(lambda conn: reports.move(conn, self._report, "sales", 0, listed_at=started))
        await self._judge_sales(started)
        await self._find_strays(started)
        await self._hold_against_chain(chain)
        await self._check_rules()
        await self._finish()

    async def _copy_stripe(self, stripe: StripeLists) -> None:
        since = await self._store.read(lambda conn: mirrors.stripe_since(conn, self._installed_at))
        done = 0
        async for page in stripe.list_balance_transactions(since):
            rows, now = [_stripe_row(entry) for entry in page], self._clock.now()
            done += len(rows)
            await self._write(lambda conn, rows=rows, now=now: mirrors.copy_stripe(conn, rows, now))  # type: ignore[misc]
            await self._write(lambda conn, done=done: reports.move(conn, self._report, "stripe", done))  # type: ignore[misc]

    async def _copy_circle(self, circle: CircleLists) -> None:
        since = await self._store.read(lambda conn: mirrors.circle_since(conn, self._installed_at))
        done = 0
        async for page in circle.list_transactions(self._platform.wallet_id, since):
            rows = [_circle_row(one, self._platform.usdc_token_id) for one in page.transactions]
            done += len(rows)
            await self._write(lambda conn, rows=rows: mirrors.copy_circle(conn, rows))  # type: ignore[misc]
            await self._write(lambda conn, done=done: reports.move(conn, self._report, "circle", done))  # type: ignore[misc]

    async def _judge_sales(self, listed_at: datetime) -> None:
        after: int | None = 0
        done = 0
        while after is not None:
            page = await self._store.read(lambda conn, after=after: sales.page(conn, after, listed_at))  # type: ignore[misc]
            verdicts = [(sale_id, judge(facts)) for sale_id, facts in page.sales]
            found = [_of_sale(sale_id, verdict) for sale_id, verdict in verdicts if verdict.colour is not Colour.GREEN]
            done += len(verdicts)
            await self._add("sales", done, len(verdicts) - len(found), found)
            after = page.last_id

    async def _find_strays(self, listed_at: datetime) -> None:
        await self._walk("stripe", lambda conn, after: strays.of_stripe(conn, after, listed_at))
        token, since = self._platform.usdc_token_id, self._installed_at
        moving = await self._walk("circle", lambda conn, after: strays.of_circle(conn, after, token, since))
        if moving:
            await self._write(lambda conn: self._pause(conn, moving[0].why))
        for one in await self._store.read(orphans):
            why = f"{-one.amount} base units went to {one.counterparty or 'several'}, and no payout of ours fits"
            await self._add("strays", 0, 0, [FindingRow(Colour.RED, "chain", one.signature, "orphan", why)])

    async def _walk(self, book: str, look: Callable[[Connection, int], StraysPage]) -> list[FindingRow]:
        """Every stray of one book, page by page; returns the first page's that are red."""
        after: int | None = 0
        red: list[FindingRow] = []
        while after is not None:
            page = await self._store.read(lambda conn, after=after: look(conn, after))  # type: ignore[misc]
            found = [
                FindingRow(
                    Colour.EXPLAINED if one.is_new else Colour.RED,
                    book,
                    one.subject,
                    "on_the_way" if one.is_new else "unknown",
                    one.why,
                )
                for one in page.strays
            ]
            red = red or [one for one in found if one.colour is Colour.RED]
            await self._add("strays", 0, 0, found)
            after = page.last_id
        return red

    def _pause(self, conn: Connection, why: str) -> None:
        if why_on(conn, SENDS_PAUSED) is None:
            turn(conn, SENDS_PAUSED, True, why, "reconciliation", self._clock.now())

    async def _hold_against_chain(self, chain: Balances) -> None:
        for account, asset, read in (
            (self._platform.usdc_account, Asset.USDC, chain.get_token_amount),
            (self._platform.address, Asset.SOL, chain.get_balance),
        ):
            why = await self._differs(account, asset, read)
            if why is not None:
                await self._add("chain", 0, 0, [FindingRow(Colour.RED, "chain", account, "balance", why)])

    async def _differs(self, account: str, asset: Asset, read: Callable[[str], Awaitable[Amount]]) -> str | None:
        told: list[Amount] = []

        def look(conn: Connection) -> list[int]:
            return [movement_sum_at(conn, account, asset, one.slot) for one in told]

        while len(told) < BALANCE_TRIES:
            if told:
                await self._clock.sleep(BALANCE_WAIT_SECONDS)
            told.append(await read(account))
            booked = await self._store.read(look)
            if any(sums_up == one.amount for sums_up, one in zip(booked, told, strict=True)):
                return None
        held = f"the chain holds {told[0].amount} {asset} at slot {told[0].slot}"
        return f"{held}, the movements seen up to it sum up to {booked[0]}"

    async def _check_rules(self) -> None:
        told = self._clock.monotonic()
        for place, check in enumerate(CHECKS.values(), start=1):
            after: str | None = None
            while True:
                page = await self._store.read(lambda conn, check=check, after=after: check.look(conn, after))  # type: ignore[misc]
                if page.finding is not None:
                    finding = FindingRow(
                        Colour.RED, "rule", page.finding.row, check.name[:32], f"{check.says}: {page.finding.why}"
                    )
                    await self._add("rules", place, 0, [finding])
                after = page.after
                if after is None:
                    break
            if self._clock.monotonic() - told >= PROGRESS_SECONDS:
                await self._write(lambda conn, place=place: reports.move(conn, self._report, "rules", place))  # type: ignore[misc]
                told = self._clock.monotonic()

    async def _finish(self) -> None:
        now = self._clock.now()

        def finish(conn: Connection) -> tuple[int, int, int]:
            figures = {"stripe": strays.stripe_figures(conn), "reasons": reports.reasons(conn, self._report)}
            reports.finish(conn, self._report, figures, now)
            row = reports.by_id(conn, self._report)
            assert row is not None
            return row.green, row.explained, row.red

        green, explained, red = await self._write(finish)
        tell = log.error if red else log.info
        tell("books reconciled", report=self._report, green=green, explained=explained, red=red)

    async def _add(self, phase: str, done: int, green: int, found: list[FindingRow]) -> None:
        def add(conn: Connection) -> None:
            reports.move(conn, self._report, phase, done)
            reports.add(conn, self._report, green, found)

        if green or found:
            await self._write(add)

    async def _write(self, fn: Callable[[Connection], T]) -> T:
        return await self._store.write(fenced(self._claim, fn))


def _installed_at(conn: Connection) -> datetime:
    found = first_start(conn)
    if found is None:
        raise Misuse("the installation's first start is not recorded")
    return found


def _of_sale(sale_id: int, verdict: Verdict) -> FindingRow:
    return FindingRow(verdict.colour, "sale", str(sale_id), verdict.code, verdict.why)


def _stripe_row(entry: BalanceEntry) -> StripeRow:
    return StripeRow(entry.id, entry.type, entry.source, entry.amount, entry.fee, entry.currency, entry.created)


def _circle_row(one: CircleTransaction, usdc_token_id: str) -> CircleRow:
    return CircleRow(
        circle_id=one.id,
        state=one.state[:32],
        reference=one.ref_id,
        token_id=one.token_id,
        amount=one.amount_units(USDC_DECIMALS) if one.token_id == usdc_token_id else None,
        destination=one.destination_address,
        signature=one.tx_hash,
        created_at=one.create_date,
        updated_at=one.update_date,
    )
