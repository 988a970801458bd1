"""What of a setting must not be shown, and how it may look when it turns up in another text."""

import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, unquote, urlsplit

MASK = "***"
SECRET_LEAST = 8
"""Characters; masking shorter texts would tear words apart and hide nothing."""
_KEY_IN_PATH = re.compile(r"[A-Za-z0-9_-]{16,}")


def confidential_parts(text: str) -> list[str]:
    """The secrets in one setting: of an address its password and keys, of anything else the whole text."""
    if re.match(r"[a-z][a-z0-9+.-]*://", text) is None:
        return [text] if text else []
    try:
        address = urlsplit(text)
    except ValueError:
        return [text]
    found = [value for _, value in parse_qsl(address.query)]
    found += _KEY_IN_PATH.findall(address.path) if address.scheme in {"http", "https", "ws", "wss"} else []
    found += [address.password or "", unquote(address.password or "")]
    if address.username and address.password is None and address.scheme in {"http", "https", "ws", "wss"}:
        found.append(address.username)
    return [part for part in dict.fromkeys(found) if part]


def masking(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern of all spellings of the secrets (plain, in JSON, in an address), longest first; None without any."""
    spellings = {
        spelling
        for secret in secrets
        if len(secret) >= SECRET_LEAST
        for spelling in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))
    }
    if not spellings:
        return None
    return re.compile("|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True)))
