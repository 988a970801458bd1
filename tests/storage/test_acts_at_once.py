"""Any two acts on the money of the same creators, one of them between two statements of the other: whoever comes first,
the books hold, nobody who owes is paid, and nothing is kept back for no reason."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest
from sqlalchemy import URL, Connection, func, select
from sqlalchemy.exc import DBAPIError

from domain.errors import RequestError, Retryable
from domain.evidence import Evidence
from domain.keys import transfer_key
from domain.ledger import Asset
from domain.states import PAYOUT_PENDING, BatchStatus, RefundState, UsdcStatus
from storage.engines import postgres_connections
from storage.engines.postgres import PostgresStore
from storage.mints import minting
from storage.mints.minting import MintIntent
from storage.operation import by_hand, interventions, retries
from storage.operation.by_hand import DebtSettled
from storage.payouts import batches, debts, membership, reserves, transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.payouts.upkeep import Payer
from storage.recovery import adoption_by_hand
from storage.sales import returns
from storage.sales.purchases import payout_address
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.tables import chain_movements, jobs, payouts, users
from storage.tables import transfers as transfer_rows
from storage.treasury import conversions, deposits, funding, matches, movements, outflows
from storage.treasury.chain_rows import record_reading
from storage.treasury.conversions import Announced
from storage.treasury.movement_rows import Movement
from storage.work import enqueue
from tests.sales import MINT_LAMPORTS, PAYOUT_LAMPORTS, PLATFORM, START, Sales
from tests.storage.replicas import Act, Between, replica, until_it_waits
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
LATER = NOW + timedelta(hours=1)
DUE = 2_350_000
STATEMENTS = 60
"""No act has many more."""
TRIES = 5


class Creators:
    """Two creators, and a sale of theirs in each state that an act can find it in."""

    def __init__(self, conn: Connection, grouping: str) -> None:
        self.shop, self.grouping = Sales(ACCOUNT), grouping
        shop = self.shop
        self.users = [shop.user(conn, name) for name in ("ada", "bob")]
        ada, bob = self.users
        alone, buyer = shop.content(conn, ada), shop.user(conn, "buyer")
        both = shop.content(conn, ada, 300, **{f"user_{ada}": 6_000, f"user_{bob}": 4_000})
        hours = (START + timedelta(hours=hour) for hour in range(20))

        self._lend(conn, hours)

        def sold(content: int) -> int:
            return shop.sold(conn, content, buyer, next(hours))

        self.paid, self.smaller, self.disputed = sold(alone), sold(both), sold(both)
        self._covered(conn, 3)
        shop.pay(conn, self._planned(conn, "test:1"), NOW)
        self.refund(conn, self.smaller, 30)
        self.failed = sold(alone)
        self._covered(conn, 1)
        shop.pay(conn, self._planned(conn, "test:2"), NOW, fails=1)
        self.dispute(conn, self.disputed, "needs_response", 150)
        self.reserved, self.held = sold(both), sold(both)
        interventions.hold(conn, self.held, "look first", NOW)
        self.sent, self.planned = sold(alone), sold(both)
        self._covered(conn, 3)
        batch_id = self._planned(conn, "test:3")
        batches.move(conn, batch_id, BatchStatus.SENDING, NOW)
        mine = select(payouts.c.transfer_id).where(payouts.c.purchase_id == self.sent)
        self.under_way: int = conn.execute(mine).scalar_one()
        self._send(conn, self.under_way)
        self.in_mint = shop.paid(conn, both, buyer, next(hours))
        shop.priced(conn, self.in_mint)
        self._sign_mint(conn)
        self.waiting = sold(both)
        self._move(conn)

    def _lend(self, conn: Connection, hours: Iterator[datetime]) -> None:
        """A third creator, who owes, was paid too little of another sale, and has one in the making."""
        shop, buyer = self.shop, self.shop.user(conn, "another buyer")
        self.debtor = shop.user(conn, "eve")
        self.users.append(self.debtor)
        hers = shop.content(conn, self.debtor)
        self.lent, self.short = (shop.sold(conn, hers, buyer, next(hours)) for _ in range(2))
        self.refund(conn, self.short, 30)
        self._covered(conn, 2)
        shop.pay(conn, self._planned(conn, "test:by-hand"), NOW)
        self.refund(conn, self.short, 30, RefundState.FAILED)
        self.refund(conn, self.lent, 200)
        self.coming = shop.paid(conn, hers, buyer, next(hours))

    def _move(self, conn: Connection) -> None:
        """Somebody has paid the first creator by hand; a deposit is not that of the announcement which took it."""
        row = conn.execute(select(users).where(users.c.id == self.users[0])).one()
        self.theirs, part = conn.execute(
            select(payouts.c.id, payouts.c.amount).where(
                payouts.c.purchase_id == self.waiting, payouts.c.recipient_id == row.id
            )
        ).one()
        gone = Movement("by hand", ACCOUNT, Asset.USDC, -part, 9, NOW, payout_address(row))
        self.shop.deposit(conn, 2 * DUE)
        movements.book_usdc(conn, gone, NOW)
        self.gone = conn.scalar(select(func.max(chain_movements.c.id)))
        self.mistaken = self.announce(conn, DUE // 2)

    def adopt(self, conn: Connection) -> None:
        adoption_by_hand.adopt(conn, self.gone, [self.theirs], Payer("wallet", PLATFORM), self.shop.uuid(), NOW)

    def read_back(self, conn: Connection) -> None:
        """What was adopted, if it was, is found on chain as it was said to be."""
        mine = (
            select(payouts.c.transfer_id)
            .join(transfer_rows)
            .where(payouts.c.id == self.theirs, transfer_rows.c.reference.startswith("adopted-by-hand-"))
        )
        transfer_id = conn.scalar(mine)
        if transfer_id is not None:
            evidence = Evidence("by hand", True, "", 9, NOW, PAYOUT_LAMPORTS)
            transfers.distributed(conn, transfer_id, evidence, ACCOUNT, NOW)

    def announce(self, conn: Connection, units: int) -> int:
        return conversions.announce(conn, Announced(str(self.shop.uuid()), units // 10_000, units, "a wire"), NOW)

    def settle_debt(self, conn: Connection, way: Literal["repaid", "forgiven"], *, by_deposit: bool = False) -> None:
        """All that she owes now."""
        owes = debts.open_debt(conn, self.debtor)
        deposit = self.free_deposit(conn) if by_deposit else None
        by_hand.settle_debt(conn, self.debtor, DebtSettled(way, owes, owes, deposit, "she wrote"), NOW)

    def free_deposit(self, conn: Connection) -> int:
        """The oldest one that nothing explains."""
        which = select(func.min(chain_movements.c.id)).where(chain_movements.c.unexplained >= DUE)
        return int(conn.execute(which).scalar_one())

    def accept_deposit(self, conn: Connection) -> None:
        row = deposits.by_id(conn, self.free_deposit(conn))
        deposits.accept_own(conn, row.id, row.unexplained, "a loan", NOW)

    def withdraw(self, conn: Connection) -> None:
        self.take_back(conn)
        record_reading(conn, "treasury_usdc", funding.finalized_balance(conn, ACCOUNT), 9, NOW)
        conversions.withdraw(conn, self.mistaken, ACCOUNT, "never wired", NOW)

    def take_back(self, conn: Connection) -> None:
        """Of each deposit that the announcement has taken."""
        for deposit, amount in matches.of_conversions(conn, [self.mistaken])[self.mistaken]:
            deposits.take_back(conn, deposit, self.mistaken, amount, "another's", NOW)

    def close(self, conn: Connection) -> None:
        row = conn.execute(select(jobs).where(jobs.c.kind == "underpaid", jobs.c.state == "parked")).first()
        if row is not None:
            retries.close_row(conn, "jobs", row.id, by_hand.asked(conn, row.kind, row.subject), "paid", NOW)

    def _covered(self, conn: Connection, sales: int) -> None:
        self.shop.deposit(conn, sales * DUE)
        funding.fund(conn, ACCOUNT, NOW)

    def _planned(self, conn: Connection, key: str) -> int:
        terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), self.grouping, "circle")
        batch_id = take(conn, key, terms, lambda _: None, "operator", self.shop.uuids)
        assert batch_id is not None
        return batch_id

    def _send(self, conn: Connection, transfer_id: int) -> None:
        case = transfers.load(conn, transfer_id, lock=True)
        key = transfer_key(case.transfer.key_scope, UUID(case.transfer.uuid), 1)
        attempt = transfers.intend(conn, case, 1, key, "wallet", PLATFORM, {}, NOW).live
        transfers.first_send(conn, attempt.id, NOW)
        enqueue(conn, "transfer", transfer_id, NOW)

    def _sign_mint(self, conn: Connection) -> None:
        intent = MintIntent("wallet", PLATFORM, PLATFORM, "seed", "mint in work", "Still life #1", "RB", "ipfs://b")
        self.mint = minting.intend(conn, self.in_mint, self.shop.uuid(), intent, NOW)
        minting.signed(conn, self.mint, b"wire", "mint in work", 150, NOW)

    def refund(self, conn: Connection, sale: int, cents: int, state: RefundState = RefundState.SUCCEEDED) -> None:
        returns.record_refund(conn, sale, RefundSeen(f"re_{sale}_{cents}", cents, state, None), NOW)

    def dispute(self, conn: Connection, sale: int, status: str, withdrawn: int) -> None:
        at = NOW if status == "needs_response" else LATER
        returns.record_dispute(conn, sale, DisputeSeen(f"dp_{sale}", 150, status, withdrawn, 1_500, at), NOW)

    def lands(self, conn: Connection) -> None:
        evidence = Evidence("pays", True, "", 9, NOW, PAYOUT_LAMPORTS)
        transfers.distributed(conn, self.under_way, evidence, ACCOUNT, NOW)

    def gives_up(self, conn: Connection) -> None:
        transfers.dead(conn, self.under_way, {"why": "refused"}, NOW)
        transfers.failed(conn, self.under_way, "refused", NOW)

    def is_minted(self, conn: Connection) -> None:
        minting.finalized(conn, self.mint, Evidence("mint in work", True, "", 5, NOW, MINT_LAMPORTS), NOW)

    def plan(self, conn: Connection) -> None:
        terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), self.grouping, "circle")
        take(conn, "test:4", terms, lambda _: None, "operator", self.shop.uuids)

    def wrong(self, conn: Connection) -> list[str]:
        """What must not be, whatever has happened."""
        self.read_back(conn)
        found = [f"{name}: {finding}" for name, finding in first_findings(conn).items()]
        for user in self.users:
            pending = payouts.c.recipient_id == user, payouts.c.state.in_(PAYOUT_PENDING)
            rows = conn.execute(select(payouts).where(*pending)).all()
            free = [row.id for row in rows if not membership.has_begun(conn, row.transfer_id)]
            owes = debts.open_debt(conn, user)
            if free and (owes or reserves.is_short(conn, user)):
                found.append(f"{free} are due to {user}, who owes {owes} or may come to")
            kept = payouts.c.recipient_id == user, payouts.c.reason == reserves.REASON
            is_kept = conn.scalar(select(func.count()).select_from(payouts).where(*kept))
            if is_kept and not reserves.risk(conn, user):
                found.append(f"{is_kept} of {user} are kept back for no dispute")
        if funding.promised(conn) > funding.finalized_balance(conn, ACCOUNT):
            found.append("more is promised than the wallet holds")
        return found + self._wrong_transfers(conn)

    def _wrong_transfers(self, conn: Connection) -> list[str]:
        unpaid = func.sum(payouts.c.amount - payouts.c.netted_amount)
        sums = (
            select(transfer_rows.c.id)
            .join(payouts, payouts.c.transfer_id == transfer_rows.c.id)
            .where(payouts.c.state != UsdcStatus.DISTRIBUTED)
            .group_by(transfer_rows.c.id, transfer_rows.c.amount)
            .having(unpaid != transfer_rows.c.amount)
        )
        return [f"transfer {one} is not what its payouts are due" for one in conn.scalars(sums)]


ACTS: dict[str, Callable[[Creators, Connection], Any]] = {
    "a paid sale is refunded": lambda all_, conn: all_.refund(conn, all_.paid, 300),
    "a paid sale is disputed": lambda all_, conn: all_.dispute(conn, all_.paid, "needs_response", 150),
    "a refund fails": lambda all_, conn: all_.refund(conn, all_.smaller, 30, RefundState.FAILED),
    "a dispute is won": lambda all_, conn: all_.dispute(conn, all_.disputed, "won", 150),
    "a dispute is lost": lambda all_, conn: all_.dispute(conn, all_.disputed, "lost", 150),
    "a failed sale is refunded": lambda all_, conn: all_.refund(conn, all_.failed, 300),
    "a planned sale is refunded": lambda all_, conn: all_.refund(conn, all_.planned, 100),
    "a kept sale is refunded": lambda all_, conn: all_.refund(conn, all_.reserved, 200),
    "a sale under way is refunded": lambda all_, conn: all_.refund(conn, all_.sent, 100),
    "a planned sale is held": lambda all_, conn: interventions.hold(conn, all_.planned, "why", NOW),
    "a hold ends": lambda all_, conn: interventions.unhold(conn, all_.held, "why", NOW),
    "a failed sale is retried": lambda all_, conn: retries.retry_distribution(conn, all_.failed, NOW),
    "a transfer lands": Creators.lands,
    "a transfer is given up": Creators.gives_up,
    "a sale is minted": Creators.is_minted,
    "a batch is planned": Creators.plan,
    "money is promised": lambda _, conn: funding.fund(conn, ACCOUNT, NOW),
}
BY_HAND: dict[str, Callable[[Creators, Connection], Any]] = {
    "what was lacking is settled": Creators.close,
    "what was lacking is refunded": lambda all_, conn: all_.refund(conn, all_.short, 31),
    "a debtor's refund fails": lambda all_, conn: all_.refund(conn, all_.lent, 200, RefundState.FAILED),
    "a debtor's sale is refunded whole": lambda all_, conn: all_.refund(conn, all_.lent, 99),
    "a debtor's sale is disputed": lambda all_, conn: all_.dispute(conn, all_.lent, "needs_response", 100),
    "a debtor sells": lambda all_, conn: all_.shop.minted(conn, all_.coming, at=NOW),
    "a debt is repaid": lambda all_, conn: all_.settle_debt(conn, "repaid"),
    "a debt is repaid by a deposit": lambda all_, conn: all_.settle_debt(conn, "repaid", by_deposit=True),
    "a debt is forgiven": lambda all_, conn: all_.settle_debt(conn, "forgiven"),
    "a deposit is one's own": Creators.accept_deposit,
    "a deposit comes": lambda all_, conn: all_.shop.deposit(conn, DUE),
    "a conversion is announced": lambda all_, conn: all_.announce(conn, DUE),
    "an announcement is withdrawn": Creators.withdraw,
    "a deposit was not its": Creators.take_back,
    "an outflow is adopted": Creators.adopt,
    "an outflow is one's own": lambda all_, conn: outflows.accept_orphan(conn, all_.gone, "ours", NOW),
}
"""What operators do by hand, and what happens to the same rows."""
ALL = ACTS | BY_HAND
OUTCOMES = {"a transfer lands", "a transfer is given up"}
"""A transfer has one."""


def allowed(act: Callable[[Creators, Connection], Any], creators: Creators) -> Act:
    """A person may be told that it can't be."""

    def run(conn: Connection) -> None:
        with suppress(RequestError):
            act(creators, conn)

    return run


async def done(store: PostgresStore, act: Act) -> None:
    """As a worker does it: what was changed by somebody else meanwhile is done anew."""
    for _ in range(TRIES):
        with suppress(Retryable):
            return await store.write(act)
    raise AssertionError(f"not done in {TRIES} tries")


Story = tuple[str, str, str, int]
"""Two acts, how the plans group, and the first one's statement before which the second one comes."""
KEPT_FOR_NOTHING: list[Story] = [
    ("a dispute is won", "a paid sale is refunded", "purchase", 22),
    ("a dispute is won", "a failed sale is refunded", "creator", 24),
]
"""What was kept back for the dispute stayed so, since nobody looked again."""


SETTLED_AT_ONCE: list[Story] = [
    ("a debt is repaid by a deposit", "a debtor sells", "purchase", 6),
    ("a debtor sells", "a debt is forgiven", "creator", 20),
    ("what was lacking is settled", "what was lacking is refunded", "purchase", 4),
    ("a deposit is one's own", "an announcement is withdrawn", "purchase", 3),
    ("a conversion is announced", "a deposit was not its", "creator", 3),
    ("an outflow is adopted", "a planned sale is held", "purchase", 14),
]
"""One of each kind."""


def drawn(stories: int) -> list[Story]:
    """Of every other one the first act is a person's, by hand."""
    rng, found = random.Random(66), list[Story]()
    while len(found) < stories:
        one, other = rng.sample(sorted(ACTS), 2)
        if len(found) % 2:
            one = rng.choice(sorted(BY_HAND))
            other = rng.choice(sorted((BY_HAND if len(found) % 4 == 1 else ALL).keys() - {one}))
        if {one, other} != OUTCOMES:
            found.append((one, other, rng.choice(["purchase", "creator"]), rng.randrange(STATEMENTS)))
    return found


@pytest.mark.parametrize(
    ("one_act", "other_act", "grouping", "number"),
    [*KEPT_FOR_NOTHING, *SETTLED_AT_ONCE, *(pytest.param(*story, marks=pytest.mark.soak) for story in drawn(300))],
)
async def test_any_two_acts_at_once_leave_the_books_and_what_is_due_as_one_after_the_other_would(
    one_act: str, other_act: str, grouping: str, number: int, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    creators = await postgres_store.write(lambda conn: Creators(conn, grouping))
    first, second = (allowed(ALL[name], creators) for name in (one_act, other_act))
    meanwhile: list[asyncio.Task[None]] = []

    async def comes() -> None:
        meanwhile.append(asyncio.create_task(done(postgres_store, second)))
        await until_it_waits(meanwhile[0], postgres_url)

    def interrupted(conn: Connection) -> None:
        Between(conn, number, comes)
        first(conn)
        conn.commit()

    async with replica(postgres_url) as one:
        try:
            await one.run_sync(interrupted)
            is_done = True
        except (Retryable, DBAPIError) as error:
            is_done = False
            assert isinstance(error, Retryable) or postgres_connections.reruns_allowed(error), error
    await asyncio.gather(*meanwhile)
    if not is_done:
        await done(postgres_store, first)
    if not meanwhile:
        await done(postgres_store, second)
    assert await postgres_store.write(creators.wrong) == []
