"""Circle's outer form: the data envelope, dates, ids and decimal amounts."""

import json
import random
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from sandbox.circle_service.errors import amount_not_decimal
from sandbox.service import Response

DECIMAL = re.compile(r"([0-9]*)(?:\.([0-9]*))?")
INTEGER_DIGITS_MAX = 20
"""u64 has no more digits than this."""


def answer(status: int, body: Mapping[str, object] | None) -> Response:
    if body is None:
        return Response(status)
    return Response(status, compact(body), {"content-type": "application/json"})


def compact(body: Mapping[str, object]) -> bytes:
    """JSON without spaces: the form that Circle sends and signs."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_nanos(ms: int, nanos: int) -> str:
    """Nine digits of a second, as notifications carry them; `nanos` are the six below the millisecond."""
    whole = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms % 1000:03d}{nanos:06d}Z"


def new_id(rng: random.Random) -> str:
    """Circle's own ids are version 5 in its logs (reference/circle.md, section 9)."""
    return str(uuid.UUID(bytes=rng.randbytes(16), version=5))


def parse_amount(text: str, decimals: int) -> int:
    """Base units of a decimal string ("12.5", ".01"); refuses what is not positive or finer than the token."""
    match = DECIMAL.fullmatch(text)
    if match is None or not (match[1] or match[2]) or len(match[1]) > INTEGER_DIGITS_MAX:
        raise amount_not_decimal()
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise amount_not_decimal()
    units: int = int(match[1] or "0") * 10**decimals + int(fraction.ljust(decimals, "0") or "0")
    if not 0 < units < 2**64:
        raise amount_not_decimal()
    return units


def format_amount(units: int, decimals: int) -> str:
    """The shortest decimal string: "20", "1.5", "0"."""
    whole, fraction = divmod(units, 10**decimals)
    digits = str(fraction).rjust(decimals, "0").rstrip("0") if decimals else ""
    return f"{whole}.{digits}" if digits else str(whole)
