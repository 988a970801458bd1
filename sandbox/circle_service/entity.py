"""The developer's entity: API keys, the entity secret, and its RSA envelope (reference/circle.md, section 2)."""

import base64
import binascii
import hashlib
from collections import OrderedDict
from functools import lru_cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from sandbox.circle_service.errors import (
    ciphertext_reused,
    malformed_authorization,
    missing_key_prefix,
    secret_already_set,
    secret_invalid,
    secret_not_set,
    unknown_credentials,
)

SECRET_BYTES = 32
CIPHERTEXTS_REMEMBERED = 200_000
"""A bound for a sandbox that runs for weeks; a client that replays one of 200,000 requests ago goes unnoticed."""
KEYS_REMEMBERED = 4
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def rsa_key(bits: int, pem: bytes | None = None) -> rsa.RSAPrivateKey:
    """The key from `pem`, or a fresh one. Its randomness is the system's: ciphertexts are random in any case."""
    if pem is None:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    key = _loaded(pem)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the entity key must be an RSA key")
    return key


@lru_cache(maxsize=KEYS_REMEMBERED)
def _loaded(pem: bytes) -> PrivateKeyTypes:
    """A key is checked when it is loaded, which takes longer than a hundred uses of it."""
    return serialization.load_pem_private_key(pem, password=None)


class Entity:
    """Whose account this is. `secret` is the 32-byte entity secret, None until it is registered."""

    def __init__(self, app_id: str, api_keys: frozenset[str], key: rsa.RSAPrivateKey, secret: bytes | None) -> None:
        self.app_id = app_id
        self.api_keys = api_keys
        self.secret = secret
        self._key = key
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.public_key_pem = (
            key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def private_key_pem(self) -> bytes:
        """To keep the same public key over a restart (clients cache it)."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def authorize(self, header: str | None) -> str:
        """The API key of an Authorization header. Raises 401."""
        scheme, _, key = (header or "").partition(" ")
        parts = key.strip().split(":")
        if scheme != "Bearer" or not all(parts):
            raise malformed_authorization()
        if parts[0] not in ("TEST_API_KEY", "LIVE_API_KEY"):
            raise missing_key_prefix()
        if len(parts) != 3:
            raise malformed_authorization()
        if key.strip() not in self.api_keys:
            raise unknown_credentials()
        return key.strip()

    def check(self, ciphertext: str) -> None:
        """Accept one fresh ciphertext of the registered secret; each is good for one request."""
        if self.secret is None:
            raise secret_not_set()
        if self._open(ciphertext) != self.secret:
            raise secret_invalid()

    def register(self, ciphertext: str) -> str:
        """Set the secret, once. Returns the recovery file (base64)."""
        if self.secret is not None:
            raise secret_already_set()
        secret = self._open(ciphertext)
        if len(secret) != SECRET_BYTES:
            raise secret_invalid()
        self.secret = secret
        return base64.b64encode(hashlib.sha256(b"recovery:" + secret).digest()).decode()

    def _open(self, ciphertext: str) -> bytes:
        try:
            sealed = base64.b64decode(ciphertext, validate=True)
        except (binascii.Error, ValueError) as error:
            raise secret_invalid() from error
        digest = hashlib.sha256(sealed).digest()
        if digest in self._seen:
            raise ciphertext_reused()
        secret = self._decrypt(sealed)
        self._seen[digest] = None
        if len(self._seen) > CIPHERTEXTS_REMEMBERED:
            self._seen.popitem(last=False)
        return secret

    def _decrypt(self, sealed: bytes) -> bytes:
        try:
            return self._key.decrypt(sealed, OAEP)
        except ValueError as error:
            raise secret_invalid() from error
