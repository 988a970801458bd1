"""Names used outside: idempotency keys, seeds, references. None is derived from a sequence.

What belongs to a purchase comes from its Stripe payment_intent id; the rest from a UUID saved at the row's birth
(design.md, section 3): a restored backup hands out the same sequence numbers again.
"""

import hashlib
import hmac
import re
from datetime import timedelta
from uuid import UUID

KEY_TRUSTED_FOR = timedelta(hours=12)
"""How long Circle keeps an idempotency key is not published: what an older call may have made is looked up by its
reference before the call is repeated."""
SEED_CHARS = 32
"""Longest seed that Solana's create_with_seed takes, in bytes (MAX_SEED_LEN)."""
_PAYMENT_INTENT = re.compile(r"pi_[A-Za-z0-9_]{1,250}", re.ASCII)


def uuid4_shaped(*parts: str) -> UUID:
    """A UUID of version 4 form that is a pure function of its parts.

    Circle documents its idempotency keys as UUID v4 and refuses other shapes; the parts are length-prefixed so that
    no two lists of parts share a key.
    """
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4)


def is_payment_intent_id(text: str) -> bool:
    """Whether a text has the form of a Stripe payment_intent id; only such texts become seeds and references."""
    return _PAYMENT_INTENT.fullmatch(text) is not None


def mint_seed(derivation_secret: bytes, payment_intent_id: str) -> str:
    """Seed of the purchase's mint address: the chain refuses a second NFT for the same purchase."""
    return _seed(derivation_secret, f"mint:{payment_intent_id}")


def receipt_seed(derivation_secret: bytes, group_uuid: UUID) -> str:
    """Seed of a packed payout's receipt account: the chain refuses a second payment of the same group."""
    return _seed(derivation_secret, f"receipt:{group_uuid}")


def derivation_fingerprint(derivation_secret: bytes) -> str:
    """What is stored to notice another AGENT_DERIVATION_SECRET; tells nothing of the secret."""
    return hmac.new(derivation_secret, b"fingerprint", hashlib.sha256).hexdigest()


def wallet_key(kind: str, user_uuid: UUID, attempt: int) -> UUID:
    """Circle idempotency key of a call that makes a user's wallet."""
    return uuid4_shaped("wallet", kind, str(user_uuid), str(attempt))


def withdrawal_key(withdrawal_uuid: UUID) -> UUID:
    """Circle idempotency key of a transfer that a user asks for out of his own wallet."""
    return uuid4_shaped("withdrawal", str(withdrawal_uuid))


def conversion_key(order_uuid: UUID) -> UUID:
    """Circle Mint idempotency key of an order's one transfer."""
    return uuid4_shaped("conversion", str(order_uuid))


def announced_uuid(idempotency_key: str) -> UUID:
    """Of a conversion that an operator announces with a key of his own: twice the same is the same conversion."""
    return uuid4_shaped("announced", idempotency_key)


def published_uuid(author: UUID, idempotency_key: str) -> UUID:
    """Of a content that its author publishes with a key of his own."""
    return uuid4_shaped("published", str(author), idempotency_key)


def purchase_transfer_key(payment_intent_id: str, recipient_number: int, attempt: int) -> UUID:
    """Circle idempotency key of one purchase's transfer to its recipient number n (1 for the first)."""
    return uuid4_shaped("transfer", payment_intent_id, str(recipient_number), str(attempt))


def grouped_transfer_key(transfer_uuid: UUID, attempt: int) -> UUID:
    """Circle idempotency key of one creator's transfer in a batch (`grouping = "creator"`)."""
    return uuid4_shaped("transfer-creator", str(transfer_uuid), str(attempt))


def transfer_key(key_scope: str, transfer_uuid: UUID, attempt: int) -> UUID:
    """Circle idempotency key of a transfer's attempt. `key_scope` is `<payment_intent>/<recipient number>` for a
    purchase's transfer and empty for one creator's transfer in a batch."""
    if not key_scope:
        return grouped_transfer_key(transfer_uuid, attempt)
    payment_intent_id, number = key_scope.rsplit("/", 1)
    return purchase_transfer_key(payment_intent_id, int(number), attempt)


def purchase_reference(payment_intent_id: str, recipient_number: int) -> str:
    """Circle refId of a purchase's transfer: `purchase-{pi}-distribution`, further recipients with `-{n}`, n ≥ 2."""
    tail = "" if recipient_number == 1 else f"-{recipient_number}"
    return f"purchase-{payment_intent_id}-distribution{tail}"


def creator_reference(batch_uuid: UUID | str, creator_uuid: UUID | str) -> str:
    """Circle refId of a creator's transfer in a batch."""
    return f"batch-{batch_uuid}-creator-{creator_uuid}-distribution"


def hash_secret(text: str) -> str:
    """How bearer tokens and invite codes are stored: they are random, so a plain SHA-256 is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


def _seed(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:SEED_CHARS]
