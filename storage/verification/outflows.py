"""What the chain shows for what was paid: one outflow for each payout, and one payment for each outflow."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from domain.ledger import Asset
from domain.states import UsdcStatus
from storage.tables import chain_movements, payouts, transfers
from storage.verification.check import Check, Finding, by_rows


def _paid_on_chain(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """Every distributed payout has its finalized outflow, and all that one outflow paid is what it moved."""
    mine = payouts.c.id.between(first, last), payouts.c.state == UsdcStatus.DISTRIBUTED
    rows = conn.execute(
        select(payouts.c.id, payouts.c.signature, transfers.c.destination_address)
        .outerjoin(transfers, transfers.c.id == payouts.c.transfer_id)
        .where(*mine)
        .order_by(payouts.c.id)
    ).all()
    signatures = {row.signature for row in rows}
    moved = {
        row.signature: row
        for row in conn.execute(
            select(chain_movements).where(
                chain_movements.c.signature.in_(signatures), chain_movements.c.asset == Asset.USDC
            )
        )
    }
    sums = select(payouts.c.signature, func.sum(payouts.c.paid_amount)).where(payouts.c.signature.in_(signatures))
    paid = {signature: int(amount) for signature, amount in conn.execute(sums.group_by(payouts.c.signature))}
    for row in rows:
        movement = moved.get(row.signature)
        name = f"payouts {row.id}"
        if movement is None or movement.kind != "payout":
            yield Finding(name, f"it is distributed and no outflow of ours is booked for {row.signature}")
        elif movement.amount != -paid[row.signature]:
            why = f"{row.signature} moved {-movement.amount}, the payouts that it paid are {paid[row.signature]}"
            yield Finding(name, why)
        elif movement.counterparty not in (None, row.destination_address):
            yield Finding(name, f"{row.signature} paid {movement.counterparty}, not {row.destination_address}")


def _claimed_once(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """An outflow that is a transfer's has paid exactly that transfer's payouts, or its outcome is still being read."""
    query = (
        select(
            chain_movements.c.id,
            chain_movements.c.signature,
            payouts.c.id.label("payout_id"),
            payouts.c.signature.label("theirs"),
        )
        .select_from(chain_movements.join(payouts, payouts.c.transfer_id == chain_movements.c.transfer_id))
        .where(
            chain_movements.c.id.between(first, last),
            payouts.c.state == UsdcStatus.DISTRIBUTED,
            payouts.c.signature != chain_movements.c.signature,
        )
        .order_by(chain_movements.c.id)
    )
    for row in conn.execute(query):
        why = f"{row.signature} paid payout {row.payout_id}, which was paid by {row.theirs}"
        yield Finding(f"chain_movements {row.id}", why)


OUTFLOWS = (
    Check(
        "paid-on-chain",
        ("I6",),
        "every distributed payout has its finalized outflow of the same amount and owner",
        by_rows(payouts, _paid_on_chain),
    ),
    Check(
        "claimed-once",
        ("I6", "I7"),
        "no outflow pays for a transfer that another one has paid",
        by_rows(chain_movements, _claimed_once),
    ),
)
