"""A creator's sales, one line for each share of a sale. Reads only."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from storage.tables import contents, payouts, purchases, transfers


def sales_page(conn: Connection, recipient_id: int, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` payouts of a recipient with what was sold, newest first, with ids below `before`."""
    query = (
        select(payouts, contents.c.title, purchases.c.edition_number, transfers.c.destination_address)
        .join(purchases, purchases.c.id == payouts.c.purchase_id)
        .join(contents, contents.c.id == purchases.c.content_id)
        .outerjoin(transfers, transfers.c.id == payouts.c.transfer_id)
        .where(payouts.c.recipient_id == recipient_id)
        .order_by(payouts.c.id.desc())
        .limit(limit)
    )
    return conn.execute(query if before is None else query.where(payouts.c.id < before)).all()
