"""Stripe's webhook signature (reference/stripe.md, section 2).

Checked here and not by the SDK, because `stripe.WebhookSignature` takes one secret only, accepts any time in the
future, and raises TypeError and UnicodeDecodeError on foreign bytes.
"""

import hmac
import re
from collections.abc import Sequence
from datetime import datetime

from gateways.bad_signature import BadSignature

TOLERANCE_SECONDS = 300
"""Stripe signs every attempt anew, so that this holds for retries of day 3 too."""
HEADER_CHARS_MAX = 4096
"""Dozens of signatures; Stripe sends one for each active secret."""
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


def verify(
    raw_body: bytes,
    header: str | bytes | None,
    secrets: Sequence[str],
    now: datetime,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> None:
    """Return if one of the header's `v1` signatures was made with one of the secrets within the tolerance around `now`.

    `raw_body` are the bytes as received, `header` is the value of Stripe-Signature. Raises BadSignature.
    """
    timestamp, signatures = _parse(header)
    _require_near(int(timestamp), now, tolerance_seconds)  # first: it spares the hash over a body that is replayed
    signed = timestamp.encode() + b"." + raw_body
    expected = [hmac.digest(secret.encode(), signed, "sha256") for secret in secrets if secret]
    # Every pair is compared, so that the time taken does not tell which secret or signature was near.
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures]
    if not any(matches):
        raise BadSignature("no signature matches")


def _require_near(timestamp: int, now: datetime, tolerance_seconds: int) -> None:
    age_seconds = int(now.timestamp()) - timestamp
    if age_seconds > tolerance_seconds:
        raise BadSignature("signed too long ago")
    if age_seconds < -tolerance_seconds:
        raise BadSignature("signed in the future")


def _parse(header: str | bytes | None) -> tuple[str, list[bytes]]:
    if not header:
        raise BadSignature("no signature header")
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    if len(text) > HEADER_CHARS_MAX or not text.isascii():
        raise BadSignature("malformed signature header")
    timestamps: list[str] = []
    signatures: list[bytes] = []
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name == "t":
            timestamps.append(value)
        elif name == "v1" and _SIGNATURE.fullmatch(value):
            signatures.append(bytes.fromhex(value))
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
        raise BadSignature("malformed signature header")
    if not signatures:
        raise BadSignature("no v1 signature")
    return timestamps[0], signatures
