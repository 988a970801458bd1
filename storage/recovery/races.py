"""Races for a last edition that these rows tell otherwise than the chain: sales that an old backup lacks come back in
another order than they were paid in, and who has the NFT may have lost to somebody who came after him.

The NFT decides. Its sale takes the edition of one that has none yet, and that one is the loser, whose money goes back.
What Stripe was asked to give back stays given back. A sale that was refunded after its mint looks as if it had been
before, and as if its edition were for sale: its NFT takes one too, and the refund counts again once that is booked.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, String, bindparam, cast, exists, select

from domain.states import MintState, PurchaseStatus, RefundState, WorkState
from storage.history import advance, note
from storage.sales import purchases as sales
from storage.statements import always, change_of, fixed
from storage.tables import jobs, mint_attempts, payouts, purchases, refunds
from storage.work import UNKNOWN_OUTCOME, enqueue

_ASKED = exists().where(
    refunds.c.purchase_id == purchases.c.id,
    refunds.c.idempotency_key.is_not(None),
    refunds.c.state != RefundState.FAILED,
)


def _has_lost() -> ColumnElement[bool]:
    lost = purchases.c.status_reason == sales.SOLD_OUT
    return lost & (purchases.c.status == fixed(PurchaseStatus.PAYMENT_COMPLETED)) & ~_ASKED


_LOSERS = select(purchases.c.id).where(_has_lost()).order_by(purchases.c.id)
_REFUNDED = (purchases.c.status == PurchaseStatus.REFUNDED) & purchases.c.minted_at.is_(None)
_PAYMENT = select(purchases.c.stripe_payment_intent_id).where(purchases.c.id == bindparam("which"))
_LOSER = _PAYMENT.where(_has_lost())
_WITHOUT = _PAYMENT.where(_has_lost() | _REFUNDED)


def losers(conn: Connection) -> list[int]:
    """Sales that have lost a race, and whose money nobody was asked to give back yet; oldest first."""
    return list(conn.scalars(_LOSERS))


def payment_of_loser(conn: Connection, purchase_id: int) -> str | None:
    """The payment_intent of such a sale; None for any other."""
    found: str | None = conn.scalar(_LOSER, {"which": purchase_id})
    return found


def refunded_since(conn: Connection, moment: datetime) -> list[int]:
    """Sales without an NFT that were refunded in full, and of whose refunds that became known since then."""
    of: set[int] = set()
    before = NO_ID_YET
    while page := conn.execute(_REFUNDS_BEFORE, {"before": before}).all():
        recent = [row for row in page if row.created_at >= moment]
        of.update(row.purchase_id for row in recent)
        if len(recent) < len(page):
            break
        before = page[-1].id
    return [one for one in sorted(of) if conn.scalar(_WITHOUT_NFT, {"which": one}) is not None]


NO_ID_YET = 1 << 62
_REFUNDS_BEFORE = (
    select(refunds).where(refunds.c.id < bindparam("before")).order_by(refunds.c.id.desc()).limit(always(100))
)
"""A page, newest first: they became known in the order of their ids, so what lies further back is not read."""
_WITHOUT_NFT = select(purchases.c.id).where(purchases.c.id == bindparam("which"), _REFUNDED)


def payment_without_edition(conn: Connection, purchase_id: int) -> str | None:
    """The payment_intent of a loser, or of a sale that gave its edition back when it was refunded; None for any
    other."""
    found: str | None = conn.scalar(_WITHOUT, {"which": purchase_id})
    return found


def is_unknown(conn: Connection) -> bool:
    """Whether it could not be told so far if one of the losers has an NFT: it is looked for until it can."""
    return conn.scalar(_UNKNOWN) is not None


_UNKNOWN = (
    select(purchases.c.id)
    .join(jobs, jobs.c.subject == cast(purchases.c.id, String))
    .where(
        _has_lost(),
        jobs.c.kind == "mint_look",
        jobs.c.state == WorkState.DUE,
        jobs.c.last_error.startswith(UNKNOWN_OUTCOME),
    )
    .limit(1)
)


def rivals(conn: Connection, purchase_id: int) -> list[tuple[int, str]]:
    """Sales of the same work that hold an edition, have no trace of an NFT in the rows, and of which no money went
    back: (id, payment_intent), who paid last first."""
    rows = conn.execute(_RIVALS, {"of": purchase_id})
    return [(row.id, row.stripe_payment_intent_id) for row in rows]


def _holds_in_vain() -> ColumnElement[bool]:
    waits = purchases.c.status.in_([PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.FAILED])
    tried = exists().where(mint_attempts.c.purchase_id == purchases.c.id, mint_attempts.c.state != MintState.DEAD)
    owed = exists().where(payouts.c.purchase_id == purchases.c.id)
    whole = (purchases.c.refunded_amount == 0) & ~_ASKED
    return purchases.c.edition_held & purchases.c.paid_at.is_not(None) & waits & whole & ~tried & ~owed


_WORK = purchases.alias("the_losers")
_RIVALS = (
    select(purchases.c.id, purchases.c.stripe_payment_intent_id)
    .join(_WORK, _WORK.c.content_id == purchases.c.content_id)
    .where(_WORK.c.id == bindparam("of"), _holds_in_vain())
    .order_by(purchases.c.paid_at.desc(), purchases.c.id.desc())
)
_HOLDS_IN_VAIN = select(purchases.c.id).where(purchases.c.id == bindparam("which"), _holds_in_vain())


def let_win(conn: Connection, purchase_id: int, rival_id: int | None, maker: str, now: datetime) -> bool:
    """Give an edition to the sale whose NFT was made by that transaction: one that is left, or else the rival's. False,
    and nothing is changed, where there is none, or the sale needs none any more."""
    row = sales.required(conn, purchase_id)
    if payment_without_edition(conn, purchase_id) is None:
        return False
    why = f"its NFT was made by {maker}"
    if not sales.hold_edition(conn, purchase_id, now):
        if rival_id is None or not _let_lose(conn, rival_id, purchase_id, now):
            return False
        sales.hold_edition(conn, purchase_id, now)
    why = f"holds an edition after all: {why}"
    if row.status == PurchaseStatus.REFUNDED:
        before = PurchaseStatus.PAYMENT_COMPLETED
        advance(conn, purchase_id, before, now, why, status_reason=None, status_before_refund=None)
    else:
        conn.execute(change_of(purchases), {"which": purchase_id, "status_reason": None})
        note(conn, "purchase", purchase_id, row.status, row.status, now, why)
    enqueue(conn, "mint", purchase_id, now)
    return True


def _let_lose(conn: Connection, rival_id: int, winner_id: int, now: datetime) -> bool:
    rival = sales.required(conn, rival_id)
    if conn.scalar(_HOLDS_IN_VAIN, {"which": rival_id}) is None:
        return False
    sales.return_edition(conn, rival_id)
    conn.execute(change_of(purchases), {"which": rival_id, "status_reason": sales.SOLD_OUT})
    note(conn, "purchase", rival_id, rival.status, rival.status, now, f"sold out: purchase {winner_id} has the NFT")
    enqueue(conn, "refund", rival_id, now)
    return True
