"""The platform wallet's free USDC, and which owed purchases it covers."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from domain.funding import Owed, cover, free_balance
from domain.ledger import Asset
from domain.states import UsdcStatus
from storage import mint_payouts
from storage.tables import chain_movements, payouts, state_history

PAGE = 500


def finalized_balance(conn: Connection, usdc_account: str) -> int:
    """The platform wallet's USDC as the sum of its recorded finalized movements (base units).

    Not the last balance read: a payout's movement is recorded in the transaction that marks it `distributed`, so this
    sum and the promises below always fit each other.
    """
    statement = select(func.sum(chain_movements.c.amount)).where(
        chain_movements.c.account == usdc_account, chain_movements.c.asset == Asset.USDC
    )
    return int(conn.scalar(statement) or 0)


def promised(conn: Connection) -> int:
    """Unpaid amounts in pending_distribution, sent ones included until they are distributed; and what mints under way
    are to pay."""
    statement = select(func.sum(payouts.c.amount - payouts.c.netted_amount)).where(
        payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION
    )
    return int(conn.scalar(statement) or 0) + mint_payouts.reserved(conn)


def free(conn: Connection, usdc_account: str) -> int:
    """What may still be promised."""
    return free_balance(finalized_balance(conn, usdc_account), promised(conn))


def fund(conn: Connection, usdc_account: str, now: datetime) -> int:
    """Move covered purchases pending_conversion → pending_distribution, oldest payment first, whole.

    Returns how many purchases moved. The first that does not fit ends the pass.
    """
    covered = cover(free(conn, usdc_account), _owed(conn))
    for start in range(0, len(covered), PAGE):
        _release(conn, covered[start : start + PAGE], now)
    return len(covered)


def _owed(conn: Connection) -> Iterator[Owed]:
    """Purchases in pending_conversion, oldest payment first, page by page."""
    after: tuple[datetime, int] | None = None
    while True:
        statement = (
            select(
                payouts.c.paid_at,
                payouts.c.purchase_id,
                func.sum(payouts.c.amount - payouts.c.netted_amount).label("amount"),
            )
            .where(payouts.c.state == UsdcStatus.PENDING_CONVERSION)
            .group_by(payouts.c.paid_at, payouts.c.purchase_id)
            .order_by(payouts.c.paid_at, payouts.c.purchase_id)
            .limit(PAGE)
        )
        if after is not None:
            paid_at, purchase_id = after
            later = (payouts.c.paid_at > paid_at) | (
                (payouts.c.paid_at == paid_at) & (payouts.c.purchase_id > purchase_id)
            )
            statement = statement.where(later)
        rows = conn.execute(statement).all()
        for row in rows:
            yield Owed(row.purchase_id, int(row.amount))
        if len(rows) < PAGE:
            return
        after = (rows[-1].paid_at, rows[-1].purchase_id)


def _release(conn: Connection, purchase_ids: list[int], now: datetime) -> None:
    mine = (payouts.c.purchase_id.in_(purchase_ids)) & (payouts.c.state == UsdcStatus.PENDING_CONVERSION)
    moved = conn.scalars(
        update(payouts).where(mine).values(state=UsdcStatus.PENDING_DISTRIBUTION).returning(payouts.c.id)
    ).all()
    if moved:
        conn.execute(
            insert(state_history),
            [
                {
                    "machine": "payout",
                    "subject": str(payout_id),
                    "before": UsdcStatus.PENDING_CONVERSION,
                    "after": UsdcStatus.PENDING_DISTRIBUTION,
                    "at": now,
                }
                for payout_id in moved
            ],
        )
