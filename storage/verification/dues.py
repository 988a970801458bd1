"""What is owed, held against what is there: to each recipient by his payouts, and of the treasury by the chain."""

from collections.abc import Iterator

from sqlalchemy import Connection, case, func, select

from domain.ledger import TREASURY, Asset, debt_of, owed_to
from domain.states import PAYOUT_PENDING, WorkState
from storage.operation.by_hand import is_unbooked
from storage.payouts.settlements import SIGN
from storage.tables import chain_movements, jobs, ledger_balances, nettings, payouts, settlements, users
from storage.treasury.funding import promised
from storage.treasury.matches import told_of_deposit
from storage.verification.check import Check, Finding, at_once, by_rows
from storage.work import BY_HAND


def _accounts(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What the ledger owes each recipient, and what he owes, is what his payouts say."""
    taken = payouts.c.paid_amount + payouts.c.netted_amount + payouts.c.settled_amount
    owed = case((payouts.c.amount > taken, payouts.c.amount - taken), else_=0)
    over = case(((payouts.c.paid_amount > 0) & (taken > payouts.c.amount), taken - payouts.c.amount), else_=0)
    of_user = payouts.c.recipient_id.between(first, last)
    rows = conn.execute(
        select(payouts.c.recipient_id, func.sum(owed).label("owed"), func.sum(over).label("over"))
        .where(of_user)
        .group_by(payouts.c.recipient_id)
        .order_by(payouts.c.recipient_id)
    ).all()
    active = nettings.c.undone_at.is_(None), nettings.c.recipient_id.between(first, last)
    used = select(nettings.c.recipient_id, func.sum(nettings.c.amount)).where(*active)
    netted = {user: int(amount) for user, amount in conn.execute(used.group_by(nettings.c.recipient_id))}
    names = [account for row in rows for account in (owed_to(row.recipient_id), debt_of(row.recipient_id))]
    booked: dict[str, int] = {}
    for start in range(0, len(names), 400):
        found = select(ledger_balances.c.account, ledger_balances.c.amount).where(
            ledger_balances.c.account.in_(names[start : start + 400]), ledger_balances.c.asset == Asset.USDC
        )
        booked |= {account: amount for account, amount in conn.execute(found)}
    for row in rows:
        debt = int(row.over) - netted.get(row.recipient_id, 0)
        for account, amount in ((owed_to(row.recipient_id), -int(row.owed)), (debt_of(row.recipient_id), debt)):
            if booked.get(account, 0) != amount:
                why = f"the ledger has {booked.get(account, 0)} on {account}, the payouts make it {amount}"
                yield Finding(f"users {row.recipient_id}", why)


def _settled(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What was settled by hand of a payout is the sum of what people did."""
    signed = func.sum(case(SIGN, value=settlements.c.kind, else_=0) * settlements.c.amount)
    mine = select(settlements.c.payout_id, signed).where(settlements.c.payout_id.between(first, last))
    told = {payout_id: int(amount) for payout_id, amount in conn.execute(mine.group_by(settlements.c.payout_id))}
    known = payouts.c.id.between(first, last) & ((payouts.c.settled_amount != 0) | payouts.c.id.in_(told))
    for row in conn.execute(select(payouts.c.id, payouts.c.settled_amount).where(known).order_by(payouts.c.id)):
        if row.settled_amount != told.get(row.id, 0):
            why = f"{row.settled_amount} of it is settled by hand, people settled {told.get(row.id, 0)}"
            yield Finding(f"payouts {row.id}", why)


def _closed(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What a person closed before that booked anything (decision 73) is owed by the books for ever."""
    closed = jobs.c.id.between(first, last), jobs.c.kind.in_(BY_HAND), jobs.c.state == WorkState.DONE
    for row in conn.execute(select(jobs).where(*closed).order_by(jobs.c.id)).all():
        if is_unbooked(conn, row):
            why = (
                f"{row.kind} of payout {row.subject} was closed by hand and not booked: close it anew, with its amount"
            )
            yield Finding(f"jobs {row.id}", why)


def _nothing_left(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """Nobody would ever pay it, nor settle its batch."""
    waits = payouts.c.id.between(first, last) & payouts.c.state.in_(PAYOUT_PENDING)
    used_up = select(payouts.c.id, payouts.c.state).where(waits, payouts.c.amount <= payouts.c.netted_amount)
    for row in conn.execute(used_up.order_by(payouts.c.id)):
        yield Finding(f"payouts {row.id}", f"it is {row.state}, and nothing of it is left to be paid")


def _explained(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What is told of a deposit, and what of it has no explanation, is all of it."""
    of = chain_movements.c
    shares = told_of_deposit(of.id)
    repaid = select(func.sum(settlements.c.amount)).where(settlements.c.movement_id == of.id)
    told = of.unexplained + of.own_amount + sum(func.coalesce(one.scalar_subquery(), 0) for one in (shares, repaid))
    deposits = select(of.id, of.amount, told.label("told")).where(of.id.between(first, last), of.kind == "deposit")
    for row in conn.execute(deposits.order_by(of.id)):
        if row.amount != row.told:
            yield Finding(f"chain_movements {row.id}", f"it brought {row.amount}, and {row.told} of it is told of")


def _treasury(conn: Connection) -> Iterator[Finding]:
    """The ledger's treasury is the sum of the movements on chain; no more is promised than it holds."""
    sums = select(chain_movements.c.asset, func.sum(chain_movements.c.amount)).group_by(chain_movements.c.asset)
    moved = {asset: int(amount) for asset, amount in conn.execute(sums)}
    for asset in (Asset.USDC, Asset.SOL):
        kept = conn.scalar(
            select(ledger_balances.c.amount).where(
                ledger_balances.c.account == TREASURY, ledger_balances.c.asset == asset
            )
        )
        if (kept or 0) != moved.get(asset, 0):
            yield Finding(
                f"ledger_balances {TREASURY}",
                f"the books hold {kept or 0} {asset}, movements sum to {moved.get(asset, 0)}",
            )
    owed = promised(conn)
    if owed > moved.get(Asset.USDC, 0):
        yield Finding(
            f"ledger_balances {TREASURY}", f"{owed} base units are promised, {moved.get(Asset.USDC, 0)} are there"
        )


DUES = (
    Check(
        "accounts-of-recipients",
        ("I2", "I11"),
        "what is owed to each recipient, and his debt, is what his payouts say",
        by_rows(users, _accounts),
    ),
    Check("closed-by-hand", ("I2",), "what a person closed as paid by hand is booked", by_rows(jobs, _closed)),
    Check("settled-by-hand", ("I2",), "what was settled by hand is what people did", by_rows(payouts, _settled)),
    Check(
        "something-to-pay",
        ("I12",),
        "of each payout that waits something is left to be paid",
        by_rows(payouts, _nothing_left),
    ),
    Check("deposits", ("I11",), "all of a deposit is told of, or unexplained", by_rows(chain_movements, _explained)),
    Check("treasury", ("I11",), "the books hold what the chain has moved, and promise no more", at_once(_treasury)),
)
