"""Stripe's refusals as data, and their translation (reference/stripe.md, section 7)."""

from collections.abc import Mapping
from datetime import datetime

import stripe

from domain.errors import (
    AccessRefused,
    KeyRefused,
    KeySpent,
    Misuse,
    OutcomeUnknown,
    PaymentSystemError,
    Rejected,
    Retryable,
)
from domain.foreign_text import TYPE_CHARS, kept
from gateways.border import garbled, one_line, retry_after_seconds

UNAUTHORIZED = "stripe_unauthorized"
"""Code of `KeyRefused` for a key that Stripe does not know (401): nothing can be sent until an operator acts."""
FORBIDDEN = "stripe_forbidden"
"""Code of `AccessRefused` for a restricted key that lacks a right (403)."""
INVALID_REQUEST = "invalid_request"
"""Code of `Rejected` for a parameter that Stripe refuses without a code of its own (it names the parameter)."""

REPLAYED = "idempotent-replayed"

DEFINITIVE_STATUSES = frozenset({400, 402, 404})
DEFINITIVE_TYPES = frozenset({"invalid_request_error", "card_error"})
DEFINITIVE_CODES: Mapping[str, str] = {
    # Codes of stripe.com/docs/error-codes that our calls can meet. The refusal is a property of the request or of the
    # object it names; nothing was made. What is not listed here counts as unknown.
    "amount_too_large": "amount above Stripe's limit",
    "amount_too_small": "amount below Stripe's least",
    "charge_already_refunded": "refunded in full, by whomever: look up the refunds before deciding anything",
    "charge_disputed": "a charge under dispute can't be refunded",
    "charge_not_refundable": "a charge of this kind can't be refunded",
    "charge_exceeds_source_limit": "amount above the method's limit",
    "email_invalid": "bad e-mail address",
    "country_unsupported": "the account's country lacks the feature",
    "invalid_characters": "characters that the field does not take",
    "missing": "a needed object is missing",
    "parameter_invalid_empty": "bad parameter",
    "parameter_invalid_integer": "bad parameter",
    "parameter_invalid_string_blank": "bad parameter",
    "parameter_invalid_string_empty": "bad parameter",
    "parameter_missing": "a parameter is missing",
    "parameter_unknown": "a parameter that this API version does not know",
    "parameters_exclusive": "two parameters that exclude each other",
    "payment_intent_unexpected_state": "the payment is not in a state for this call",
    "payment_method_types_no_longer_supported": "removed with API version 2026-09-30",
    "refund_disputed_payment": "a disputed payment can't be refunded",
    "resource_missing": "no such object for this account and mode",
    "testmode_charges_only": "the account is not activated for live payments",
    "livemode_mismatch": "a test object with a live key or the reverse",
    "url_invalid": "bad URL",
}


def translate(error: stripe.StripeError, call: str, now: datetime, *, has_effect: bool) -> PaymentSystemError:
    """The domain error for what the SDK raised."""
    status = error.http_status
    message = f"{call}: {one_line(str(error))} (HTTP {status})"
    refusal = _refusal(error, message)
    if refusal is not None:
        return refusal
    if isinstance(error, stripe.IdempotencyError):
        return Misuse(message)
    if status is None or 200 <= status < 300:
        return garbled(type(error).__name__, call, has_effect=has_effect)
    # The limiter stands before the idempotency layer: on 429 nothing was executed.
    if has_effect and not isinstance(error, stripe.RateLimitError):
        return KeySpent(message) if _is_replayed(error) else OutcomeUnknown(message)
    return Retryable(message, retry_after_seconds(error.headers or {}, now))


def _is_replayed(error: stripe.StripeError) -> bool:
    """Whether this is what Stripe has kept of the key's first call, an error within or a refusal: it answers so for a
    day at least."""
    return (error.headers or {}).get(REPLAYED) == "true"


def _refusal(error: stripe.StripeError, message: str) -> Rejected | None:
    if isinstance(error, stripe.AuthenticationError):
        return KeyRefused(UNAUTHORIZED, message)
    if isinstance(error, stripe.PermissionError):
        return AccessRefused(FORBIDDEN, message)
    code = _definitive_code(error)
    return None if code is None else Rejected(code, message)


def _definitive_code(error: stripe.StripeError) -> str | None:
    if error.http_status not in DEFINITIVE_STATUSES:
        return None
    body = error.json_body
    envelope = body.get("error") if isinstance(body, dict) else None
    if not isinstance(envelope, dict) or envelope.get("type") not in DEFINITIVE_TYPES:
        return None
    # The SDK fills `error.code` for some of its classes only.
    code = envelope.get("code")
    if envelope["type"] == "card_error":
        return kept(str(code or "card_error"), TYPE_CHARS)
    if code is None:
        return INVALID_REQUEST
    return code if code in DEFINITIVE_CODES else None
