"""The entity secret, encrypted anew for each request (reference/circle.md, section 2)."""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateways.answers import ShapeError

OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
RSA_BITS_MIN = 2048
"""Circle's key has 4096; a shorter one than this is not Circle's."""
_SECRET = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class EntityCipher:
    """Keeps Circle's public key once fetched. `fetch_pem` gets it as PEM text."""

    def __init__(self, entity_secret: str, fetch_pem: Callable[[], Awaitable[str]]) -> None:
        if not _SECRET.fullmatch(entity_secret):
            raise ValueError("the entity secret is not 64 hexadecimal digits")
        self._secret = bytes.fromhex(entity_secret)
        self._fetch_pem = fetch_pem
        self._key: rsa.RSAPublicKey | None = None
        self._fetching = asyncio.Lock()

    def __repr__(self) -> str:
        return "EntityCipher(***)"

    async def ciphertext(self) -> str:
        """A ciphertext for one request. Raises what `fetch_pem` raises, or ShapeError for a key that is none."""
        async with self._fetching:
            if self._key is None:
                self._key = _load(await self._fetch_pem())
            key = self._key
        return base64.b64encode(key.encrypt(self._secret, OAEP)).decode()

    def forget_key(self) -> None:
        """Circle could not decrypt: its key may have changed, fetch it again."""
        self._key = None


def _load(pem: str) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError as error:
        raise ShapeError("Circle's public key is not PEM") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS_MIN:
        raise ShapeError("Circle's public key is not a strong RSA key")
    return key
