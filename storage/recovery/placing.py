"""One transaction that Circle lists, held against the rows."""

from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from sqlalchemy import Connection

from storage.payouts.planning import lock_plans
from storage.recovery import adoption
from storage.recovery.adoption import Outflow
from storage.treasury import movements
from storage.treasury.movement_rows import MovementKind
from storage.treasury.outflows import kind_of

EXPLAINED = frozenset(MovementKind) - {MovementKind.ORPHAN, MovementKind.OTHER}


class Placement(Enum):
    """What the rows say of a transaction that Circle lists."""

    KNOWN = auto()
    """A transfer of ours, or something else of ours carries its signature."""
    ADOPTED = auto()
    OTHER = auto()
    """A person said that it was his own."""
    UNEXPLAINED = auto()


def place(conn: Connection, outflow: Outflow, uuid: UUID, now: datetime) -> Placement:
    """Give what Circle lists to the payout that it fits. What is booked as a payout for its amount and recipient alone
    is an order's of which nobody knows the signature, or looks like one: the list tells which."""
    lock_plans(conn)  # the gates of several replicas read one list
    signature = outflow.signature
    kind = kind_of(conn, signature) if signature else None
    is_unclaimed = signature is not None and movements.is_unclaimed(conn, signature)
    if adoption.is_known(conn, outflow.circle_id):
        adoption.note_ended(conn, outflow.circle_id, outflow.state)
        return Placement.KNOWN
    if kind in EXPLAINED and not is_unclaimed:
        return Placement.KNOWN
    if adoption.adopt(conn, outflow, uuid, now):
        return Placement.ADOPTED
    if signature is not None and is_unclaimed:
        movements.disown(conn, signature, now)
    return Placement.OTHER if kind is MovementKind.OTHER else Placement.UNEXPLAINED
