"""Holds: what is unpaid of a purchase waits, with one reason, and is let go by whoever that is. Functions run in the
caller's transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from domain.states import PAYOUT_DUE, UsdcStatus
from storage.history import advance, note
from storage.payouts import membership
from storage.sales import purchases as sales
from storage.statements import change_of, fixed
from storage.tables import payouts, purchases
from storage.work import enqueue


def hold(conn: Connection, purchase_id: int, reason: str, now: datetime) -> None:
    """Hold what is unpaid of a purchase; one that is held already, for the reason that it has. A payout whose transfer
    has begun is not touched: its outcome decides."""
    row = sales.required(conn, purchase_id)
    if row.hold_reason is None:
        conn.execute(change_of(purchases), {"which": purchase_id, "hold_reason": reason})
    else:
        reason = row.hold_reason
    for payout in conn.execute(select(payouts).where(payouts.c.purchase_id == row.id).with_for_update()):
        waiting = payout.state in PAYOUT_DUE
        if waiting and not membership.has_begun(conn, payout.transfer_id):
            _keep_back(conn, payout.id, payout.state, reason, now)
    enqueue(conn, "fund", "treasury", now)


def take_over(conn: Connection, purchase_id: int, reason: str, now: datetime) -> None:
    """What is held of a purchase, if it is, is held for this reason from now on."""
    row = sales.required(conn, purchase_id)
    if row.hold_reason in (None, reason):
        return
    conn.execute(change_of(purchases), {"which": purchase_id, "hold_reason": reason})
    for payout in conn.execute(_HELD_FOR, {"of": purchase_id, "why": row.hold_reason}).all():
        _change_reason(conn, payout.id, reason, now)


_HELD_FOR = (
    select(payouts)
    .where(
        payouts.c.purchase_id == bindparam("of"),
        payouts.c.state == fixed(UsdcStatus.ON_HOLD),
        payouts.c.reason == bindparam("why"),
    )
    .with_for_update()
)


def release(conn: Connection, purchase_id: int, now: datetime) -> None:
    """End the hold of a purchase: its payouts go back, their money is checked anew by the next funding pass."""
    row = sales.required(conn, purchase_id)
    conn.execute(change_of(purchases), {"which": purchase_id, "hold_reason": None})
    for payout in conn.execute(_HELD_FOR, {"of": purchase_id, "why": row.hold_reason}).all():
        release_payout(conn, payout, now)
    enqueue(conn, "fund", "treasury", now)


def let_go(conn: Connection, payout: Row[Any], now: datetime) -> None:
    """What held this payout alone holds it no more; the hold of its sale, if there is one, does from now on."""
    reason = _why_held(conn, payout.purchase_id)
    if reason is None:
        release_payout(conn, payout, now)
    else:
        _change_reason(conn, payout.id, reason, now)


def _change_reason(conn: Connection, payout_id: int, reason: str, now: datetime) -> None:
    conn.execute(change_of(payouts), {"which": payout_id, "reason": reason})
    note(conn, "payout", payout_id, UsdcStatus.ON_HOLD, UsdcStatus.ON_HOLD, now, reason)


def release_payout(conn: Connection, payout: Row[Any], now: datetime) -> None:
    """A held payout returns to the state before; what was promised to it must be promised anew."""
    failed = payout.state_before_hold == UsdcStatus.FAILED
    after = UsdcStatus.FAILED if failed else UsdcStatus.PENDING_CONVERSION
    advance(conn, payout.id, after, now, "released", state_before_hold=None, reason=None)


def due_again(conn: Connection, payout: Row[Any], why: str, now: datetime) -> None:
    """A payout that was cancelled or netted is to be paid after all, or is held with its sale. `payout`: its row."""
    advance(conn, payout.id, UsdcStatus.PENDING_CONVERSION, now, why, reason=None)
    reason = _why_held(conn, payout.purchase_id)
    if reason is not None:
        _keep_back(conn, payout.id, UsdcStatus.PENDING_CONVERSION, reason, now)


def _keep_back(conn: Connection, payout_id: int, state: str, reason: str, now: datetime) -> None:
    advance(conn, payout_id, UsdcStatus.ON_HOLD, now, reason, state_before_hold=state, reason=reason)
    membership.unlink(conn, payout_id, now)


def _why_held(conn: Connection, purchase_id: int) -> str | None:
    """Of a sale that the caller need not have locked, and must not lock now, after its recipient: whoever holds a sale,
    or ends its hold, has locked all of its recipients too."""
    return conn.scalar(_WHY_HELD, {"of": purchase_id})


_WHY_HELD = select(purchases.c.hold_reason).where(purchases.c.id == bindparam("of"))
