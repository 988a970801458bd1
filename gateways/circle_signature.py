"""Circle's notification signature: ECDSA P-256 with SHA-256 over the raw body (reference/circle.md, section 8)."""

import base64
import binascii
import json
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import AccessRefused, Rejected, Retryable
from gateways.bad_signature import BadSignature
from gateways.circle_api.facts import NotificationKey
from ports.clock import Clock

ALGORITHM = "ECDSA_SHA_256"
KEYS_KEPT = 16
"""Circle uses one key and changes it rarely."""
FETCHES_PER_MINUTE = 6
"""Anyone can send key ids that we don't know: their fetches must not use up our request rate."""
SIGNATURE_CHARS_MAX = 200
"""DER of P-256 is at most 72 bytes, 96 characters."""

FetchKey = Callable[[str], Awaitable[NotificationKey]]


class NotificationVerifier:
    """Keeps Circle's public keys by id. `fetch_key` is `CircleGateway.notification_public_key`."""

    def __init__(self, fetch_key: FetchKey, clock: Clock) -> None:
        self._fetch_key = fetch_key
        self._clock = clock
        self._keys: OrderedDict[str, ec.EllipticCurvePublicKey] = OrderedDict()
        self._fetched_at: deque[float] = deque()

    async def verify(self, raw_body: bytes, key_id: str | None, signature: str | None) -> None:
        """Return if the body is Circle's. `key_id` and `signature` are X-Circle-Key-Id and X-Circle-Signature.

        Raises BadSignature; Retryable if the key can't be fetched now (answer 503, Circle tries again).
        """
        der = _decode(signature)
        key = await self._key(_normal(key_id))
        if _matches(key, der, raw_body):
            return
        # Circle's documented sample is signed over the compact form of the body that it shows.
        compact = _compact(raw_body)
        if compact is None or compact == raw_body or not _matches(key, der, compact):
            raise BadSignature("signature does not match")

    async def _key(self, key_id: str) -> ec.EllipticCurvePublicKey:
        found = self._keys.get(key_id)
        if found is not None:
            self._keys.move_to_end(key_id)
            return found
        self._count_fetch()
        try:
            fetched = await self._fetch_key(key_id)
        except AccessRefused as error:
            raise Retryable(str(error)) from error
        except Rejected as error:
            raise BadSignature("unknown key id") from error
        key = _load(fetched, key_id)
        self._keys[key_id] = key
        if len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)
        return key

    def _count_fetch(self) -> None:
        now = self._clock.monotonic()
        while self._fetched_at and now - self._fetched_at[0] >= 60:
            self._fetched_at.popleft()
        if len(self._fetched_at) >= FETCHES_PER_MINUTE:
            raise Retryable("Circle: too many unknown notification keys", 60.0)
        self._fetched_at.append(now)


def _normal(key_id: str | None) -> str:
    try:
        return str(UUID(key_id or ""))
    except ValueError as error:
        raise BadSignature("malformed key id") from error


def _decode(signature: str | None) -> bytes:
    if not signature or len(signature) > SIGNATURE_CHARS_MAX:
        raise BadSignature("missing or malformed signature")
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSignature("missing or malformed signature") from error


def _load(fetched: NotificationKey, key_id: str) -> ec.EllipticCurvePublicKey:
    if fetched.id.lower() != key_id or fetched.algorithm != ALGORITHM:
        raise Retryable("Circle: notification key of another id or algorithm")
    try:
        key = serialization.load_der_public_key(base64.b64decode(fetched.public_key, validate=True))
    except (binascii.Error, ValueError) as error:
        raise Retryable("Circle: notification key unreadable") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Retryable("Circle: notification key is not P-256")
    return key


def _matches(key: ec.EllipticCurvePublicKey, der: bytes, body: bytes) -> bool:
    try:
        key.verify(der, body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _compact(raw_body: bytes) -> bytes | None:
    try:
        return json.dumps(json.loads(raw_body), separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
