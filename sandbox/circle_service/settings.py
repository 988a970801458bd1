"""The switches of the sandbox's Circle. All of them may be changed while it runs (`/_sandbox/switches`)."""

from dataclasses import dataclass
from typing import Literal

Limits = Literal["fast", "real"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a transfer stays in each state, in milliseconds, and how often the chain is asked about it."""

    screening: int
    """INITIATED to CLEARED."""
    queueing: int
    """CLEARED to QUEUED."""
    sending: int
    """QUEUED to SENT."""
    polling: int
    """Between two looks at the chain for a transaction in flight."""


PACES: dict[Limits, Pace] = {
    "fast": Pace(screening=20, queueing=20, sending=20, polling=200),
    "real": Pace(screening=300, queueing=200, sending=500, polling=400),
}
"""`fast` keeps every state visible to a notification, while 47 payouts still end within seconds. `real` is an estimate:
about a second from request to broadcast."""

WEBHOOK_RETRY_MS = (1_000, 10_000, 30_000, 60_000, 900_000, 3_600_000)
"""Six retries, the schedule of Circle's sister product on test keys (reference/circle.md, section 8)."""


@dataclass(slots=True)
class Switches:
    """Behaviour that the reference leaves open, or that a test wants to see."""

    insufficient_async: bool = False
    """A transfer beyond the balance is accepted and becomes FAILED, instead of the synchronous 155258."""
    replay_returns_original: bool = False
    """Same idempotency key with another payload returns the first resource, instead of 403/156020."""
    strict_uuid4: bool = True
    """Refuse idempotency keys that are UUIDs of another version."""
    sign_v1: bool = True
    """sign/transaction accepts version 1 transactions."""
    auto_pin: bool = True
    """Challenges complete by themselves, as a user with a phone in the hand would do it."""
    auto_pin_ms: int = 300
    """How long that user takes."""
    duplicate_notifications: int = 0
    """The next so many notifications are delivered twice."""
    drop_notifications: int = 0
    """The next so many notifications are never delivered."""
    garble_signatures: int = 0
    """The next so many notifications carry a signature over other bytes."""
    shuffle_notifications: bool = False
    """Notifications that are due together are handed over in random order."""
    hold_notifications_ms: int = 0
    """Every notification is held back by a random part of this, so that they overtake one another."""
    turned_back_views: int = 0
    """The next so many answers about one transaction tell the state before its present one."""
    faucet_drips: bool = False
    """POST /v1/faucet/drips works, as it does for upgraded accounts; otherwise 403."""
