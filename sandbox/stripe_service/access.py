"""API keys: which are known, and what a restricted one may do."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.stripe_service.errors import ApiError


@dataclass(frozen=True, slots=True)
class Keys:
    """`restricted`: `rk_…` → resource → "read" or "write" (which includes read). What is not named is refused."""

    secret: tuple[str, ...]
    restricted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def check(self, header: str, resource: str, *, is_write: bool, account_id: str) -> None:
        """Raises `ApiError` 401 for an unknown key, 403 for a restricted key without the right."""
        key = _key_in(header)
        if key in self.secret:
            return
        rights = self.restricted.get(key)
        if rights is None:
            raise _unknown(key)
        right = rights.get(resource)
        if right == "write" or (right == "read" and not is_write):
            return
        need = f"rak_{resource}_{'write' if is_write else 'read'}"
        raise ApiError(
            403,
            f"The provided key '{_masked(key)}' does not have the required permissions for this endpoint on account "
            f"'{account_id}'. Having the '{need}' permission would allow this request to continue.",
            saved=False,
        )


def _key_in(header: str) -> str:
    """Bearer, or HTTP basic with the key as the user name (as in Stripe's curl examples)."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _unknown(key: str) -> ApiError:
    if key:
        return ApiError(401, f"Invalid API Key provided: {_masked(key)}", saved=False)
    message = (
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer"
    )
    return ApiError(401, f"{message} auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').", saved=False)


def _masked(key: str) -> str:
    shown = len("sk_test_")
    return key[:shown] + "*" * max(0, len(key) - shown - 4) + key[-4:] if len(key) > shown + 4 else "*" * len(key)
