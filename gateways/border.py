"""Making domain errors of what went wrong on the wire: the rules that Stripe and Circle share."""

import re
from collections.abc import Mapping
from datetime import datetime

from domain.errors import OutcomeUnknown, PaymentSystemError, Retryable
from ports import times
from ports.transport import TransportError

RETRY_AFTER_MAX_SECONDS = 900.0
"""A wrong header must not put a payment off for days; after 15 minutes it is worth asking again."""
MESSAGE_CHARS_MAX = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def no_answer(error: TransportError, call: str, *, has_effect: bool) -> PaymentSystemError:
    """No whole answer came. `has_effect`: the call changes something there, so it may have happened."""
    if has_effect and error.sent:
        return OutcomeUnknown(f"{call}: no whole answer ({one_line(str(error))})")
    return Retryable(f"{call}: no answer ({one_line(str(error))})")


def held_up(call: str) -> Retryable:
    """Not sent: its time was over (`ports.clock.SendWindow`)."""
    return Retryable(f"{call}: not sent, it was held up before it")


def garbled(reason: str, call: str, *, has_effect: bool) -> PaymentSystemError:
    """An answer that can't be read: a proxy's page, a cut body, a changed format."""
    message = f"{call}: unreadable answer ({one_line(reason)})"
    return OutcomeUnknown(message) if has_effect else Retryable(message)


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Retry-After as seconds from `now`, given as seconds or as a date, between 0 and 15 minutes; None without it."""
    return times.retry_after(headers, now, RETRY_AFTER_MAX_SECONDS)


def one_line(text: str) -> str:
    """Foreign text for a log line or an operator: no control characters, no endless length."""
    return _CONTROL.sub(" ", text)[:MESSAGE_CHARS_MAX]
