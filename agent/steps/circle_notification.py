"""A notification of Circle's is a hint: it only makes the job due that fetches the object itself, and only where it
tells something."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select

from domain.foreign_text import REFERENCE_CHARS, fits
from domain.hints import is_news
from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage.mints import mint_listing
from storage.people import wallets
from storage.tables import transfer_attempts, transfers
from storage.work import Claim, enqueue


class CircleNotificationStep:
    """Kind `circle_notification`: works one inbox row on. `moved` is called when one tells that something has moved
    for good, a deposit too."""

    def __init__(self, clock: Clock, moved: Callable[[], None] = lambda: None) -> None:
        self._clock, self._moved = clock, moved

    async def run(self, claim: Claim) -> Outcome:
        content = _notification(claim.body)
        if claim.type.startswith("transactions.") and content.get("state") == "COMPLETE":
            self._moved()
        return Done(lambda conn: self._hint(conn, claim.type, content))

    def _hint(self, conn: Connection, kind: str, content: Mapping[str, Any]) -> None:
        now = self._clock.now()
        if kind.startswith("challenges."):
            user_id = wallets.id_by_uuid(conn, _text(content, "userId") or "")
            if user_id is not None:
                enqueue(conn, "wallet", user_id, now)
        elif kind.startswith("transactions."):
            self._of_transaction(conn, content, now)

    def _of_transaction(self, conn: Connection, content: Mapping[str, Any], now: datetime) -> None:
        tx_hash = _text(content, "txHash")
        transfer = _transfer(conn, content)
        if transfer is not None:
            transfer_id, followed = transfer
            if is_news(content.get("state"), tx_hash, followed):
                enqueue(conn, "transfer", transfer_id, now)
        elif tx_hash is not None:
            mint_listing.hint(conn, tx_hash, now)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def _notification(body: bytes) -> Mapping[str, Any]:
    """The object told of; an empty one for a body that makes no sense: polling finds what a hint does not tell."""
    try:
        content = json.loads(body)["notification"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(content: Mapping[str, Any], name: str) -> str | None:
    """None for what is no text, or can't be any of ours: others choose what their transfers' references hold."""
    found = content.get(name)
    return found if isinstance(found, str) and fits(found, REFERENCE_CHARS) else None


def _transfer(conn: Connection, content: Mapping[str, Any]) -> tuple[int, str | None] | None:
    """The transfer told of, and the signature by which it is followed. While the answer to its order is on its way, or
    lost, its reference alone tells."""
    found = conn.execute(_BY_TRANSACTION, {"of": _text(content, "id") or ""}).one_or_none()
    if found is not None:
        return found.transfer_id, found.signature
    reference = _text(content, "refId")
    transfer_id = conn.scalar(_BY_REFERENCE, {"of": reference}) if reference else None
    return None if transfer_id is None else (transfer_id, None)


_BY_TRANSACTION = select(transfer_attempts.c.transfer_id, transfer_attempts.c.signature).where(
    transfer_attempts.c.circle_transaction_id == bindparam("of")
)
_BY_REFERENCE = select(transfers.c.id).where(transfers.c.reference == bindparam("of"))
