"""The platform wallet's free USDC, and which owed purchases it covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Integer, bindparam, func, select

from domain.errors import Retryable
from domain.funding import Owed, cover, free_balance
from domain.ledger import TREASURY, Asset
from domain.states import BatchStatus, UsdcStatus
from storage.books.ledger import balance
from storage.history import advance_all, moving
from storage.mints import mint_payouts
from storage.payouts.planning import lock_plans
from storage.statements import fixed, varying
from storage.tables import batches, payouts
from storage.treasury.movement_rows import SUM, movement_sum

SLICE = 2_000
"""Purchases moved in one write at most: other writes wait for it, a twentieth of a second or so."""
CHUNK = 500
"""Ids in one IN list, as in planning."""


@dataclass(frozen=True, slots=True)
class Funded:
    """How many purchases moved; the pass goes on with another call unless it `is_done`."""

    purchases: int
    is_done: bool


def finalized_balance(conn: Connection, usdc_account: str) -> int:
    """The platform wallet's USDC as the sum of its recorded finalized movements (base units).

    Not the last balance read: a payout's movement is recorded in the transaction that marks it `distributed`, so this
    sum and the promises below always fit each other.
    """
    return movement_sum(conn, usdc_account, Asset.USDC)


def promised(conn: Connection) -> int:
    """Unpaid amounts in pending_distribution, sent ones included until they are distributed; and what mints under way
    are to pay."""
    return int(conn.scalar(_PROMISED) or 0) + mint_payouts.reserved(conn)


_PROMISED = select(func.sum(payouts.c.amount - payouts.c.netted_amount)).where(
    payouts.c.state == fixed(UsdcStatus.PENDING_DISTRIBUTION)
)


def free(conn: Connection, usdc_account: str) -> int:
    """What may still be promised. Read by one statement: on PostgreSQL another replica may commit between two, and what
    it has paid would still be in the balance and promised no more."""
    return free_balance(*_standing(conn, usdc_account))


def _standing(conn: Connection, usdc_account: str) -> tuple[int, int]:
    """Balance and promises."""
    balance, unpaid, reserved = conn.execute(_STANDS, {"of": usdc_account, "in": Asset.USDC}).one()
    return int(balance or 0), int(unpaid or 0) + int(reserved or 0)


_STANDS = select(SUM.scalar_subquery(), _PROMISED.scalar_subquery(), mint_payouts.RESERVED.scalar_subquery())


@dataclass(frozen=True, slots=True)
class Shortage:
    """What must come in until a batch is covered, base units. `before` is not covered and was paid for earlier, in no
    batch or in others: it is covered first."""

    short: int
    before: int


def shortage(conn: Connection, batch_id: int) -> Shortage:
    """What one batch lacks."""
    mine = payouts.c.batch_id == batch_id
    owed, short = _lacking(conn, mine)
    own = int(conn.scalar(select(func.sum(_UNPAID)).where(mine, _UNCOVERED)) or 0) if owed else 0
    return Shortage(short, owed - own)


def lacking(conn: Connection) -> int:
    """What all batches that wait for funds lack."""
    waiting = select(batches.c.id).where(batches.c.status == fixed(BatchStatus.WAITING_FUNDS))
    return _lacking(conn, payouts.c.batch_id.in_(waiting))[1]


def _lacking(conn: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    """All that has to be covered until the last of these payouts is, and what of it is not there. Of a wallet that
    holds less than it has promised the difference is lacking too."""
    newest = select(payouts.c.paid_at, payouts.c.purchase_id).where(which, _UNCOVERED)
    last = conn.execute(newest.order_by(payouts.c.paid_at.desc(), payouts.c.purchase_id.desc()).limit(1)).one_or_none()
    if last is None:
        return 0, 0
    same = (payouts.c.paid_at == last.paid_at) & (payouts.c.purchase_id <= last.purchase_id)
    until = payouts.c.paid_at <= last.paid_at, (payouts.c.paid_at < last.paid_at) | same
    owed = int(conn.scalar(select(func.sum(_UNPAID)).where(_UNCOVERED, *until)) or 0)
    return owed, max(0, owed + promised(conn) - balance(conn, TREASURY, Asset.USDC))


_UNPAID = payouts.c.amount - payouts.c.netted_amount
_UNCOVERED = payouts.c.state == fixed(UsdcStatus.PENDING_CONVERSION)


def fund(conn: Connection, usdc_account: str, now: datetime, most: int = SLICE) -> Funded:
    """Move up to `most` covered purchases pending_conversion → pending_distribution, oldest payment first, whole. The
    first that does not fit ends the pass. Raises Retryable when another replica made more due of them meanwhile."""
    lock_plans(conn)
    covered = _covered(conn, free(conn, usdc_account), most + 1)
    released = covered[:most]
    for start in range(0, len(released), CHUNK):
        _release(conn, released[start : start + CHUNK], now)
    if released and conn.dialect.name == "postgresql":
        _require_covered(conn, usdc_account)
    return Funded(len(released), is_done=len(covered) <= most)


def _require_covered(conn: Connection, usdc_account: str) -> None:
    """What was just promised is locked now, and was not when it was summed up."""
    balance, unpaid = _standing(conn, usdc_account)
    if unpaid > balance:
        raise Retryable(f"{unpaid} are promised of {balance}: something changed while it was covered")


def _release(conn: Connection, oldest: Sequence[Owed], now: datetime) -> None:
    """With the last one's payment as a bound the index reads them and no more of all that wait."""
    covered = [one.purchase_id for one in oldest]
    advance_all(conn, _RELEASE, now, covered=covered, until=oldest[-1].paid_at)


_RELEASE = moving(
    (payouts.c.state == fixed(UsdcStatus.PENDING_CONVERSION))
    & (payouts.c.paid_at <= bindparam("until", type_=payouts.c.paid_at.type))
    & payouts.c.purchase_id.in_(bindparam("covered", expanding=True)),
    UsdcStatus.PENDING_DISTRIBUTION,
)


def _covered(conn: Connection, free: int, most: int) -> list[Owed]:
    """Of the purchases in pending_conversion, which are read as far as the money goes."""
    with conn.execute(_OWED, {"most": most}) as rows:
        return cover(free, (Owed(row.purchase_id, int(row.amount), row.paid_at) for row in rows))


_OWED = (
    select(
        payouts.c.purchase_id,
        payouts.c.paid_at,
        func.sum(payouts.c.amount - payouts.c.netted_amount).label("amount"),
    )
    .where(payouts.c.state == fixed(UsdcStatus.PENDING_CONVERSION))
    .group_by(payouts.c.paid_at, payouts.c.purchase_id)
    .order_by(payouts.c.paid_at, payouts.c.purchase_id)
    .limit(varying(bindparam("most", type_=Integer())))
)
