"""A notification of Circle's is a hint: it only makes the job due that fetches the object itself."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select

from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage import mint_listing, wallets
from storage.tables import transfer_attempts, transfers
from storage.work import Claim, enqueue


class CircleNotificationStep:
    """Kind `circle_notification`: works one inbox row on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def run(self, claim: Claim) -> Outcome:
        content = _notification(claim.body)
        return Done(lambda conn: self._hint(conn, claim.type, content))

    def _hint(self, conn: Connection, kind: str, content: Mapping[str, Any]) -> None:
        now = self._clock.now()
        if kind.startswith("challenges."):
            user_id = wallets.id_by_uuid(conn, str(content.get("userId")))
            if user_id is not None:
                enqueue(conn, "wallet", user_id, now)
        elif kind.startswith("transactions."):
            transfer_id = _transfer_id(conn, content)
            if transfer_id is not None:
                enqueue(conn, "transfer", transfer_id, now)
            elif isinstance(content.get("txHash"), str):
                mint_listing.hint(conn, content["txHash"], now)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def _notification(body: bytes) -> Mapping[str, Any]:
    """The object told of; an empty one for a body that makes no sense: polling finds what a hint does not tell."""
    try:
        content = json.loads(body)["notification"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _transfer_id(conn: Connection, content: Mapping[str, Any]) -> int | None:
    found = conn.scalar(_BY_TRANSACTION, {"of": str(content.get("id"))})
    if found is not None:
        return int(found)
    return conn.scalar(_BY_REFERENCE, {"of": str(content.get("refId"))})


_BY_TRANSACTION = select(transfer_attempts.c.transfer_id).where(
    transfer_attempts.c.circle_transaction_id == bindparam("of")
)
_BY_REFERENCE = select(transfers.c.id).where(transfers.c.reference == bindparam("of"))
