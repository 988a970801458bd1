"""Circle's error codes as data: which refusals are final, which pass (reference/circle.md, section 1).

A refusal is final only if it is a property of the request itself, so that an earlier request with the same key and
fields, whose answer was lost, would have been refused as well. What depends on the state of the account (balance, key,
frozen wallet) says that *this* request did nothing, and nothing about an earlier one.
Every code that is not listed means: unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    FINAL = "final"
    """`Rejected`: the request can never succeed as it is."""
    ACCESS = "access"
    """`Rejected`, and an operator must mend keys, secret or wallet; of what the platform wallet sends or signs
    `AccessRefused`: all of it waits, rows stay, the same keys resume."""
    LATER = "later"
    """`Retryable`: this request did nothing; the same one, with the same key, may succeed later."""


VERDICTS: Mapping[int, tuple[Verdict, str]] = {
    2: (Verdict.FINAL, "parameter invalid; `errors` names the field"),
    3: (Verdict.ACCESS, "the API key lacks access"),
    4: (Verdict.ACCESS, "unauthorized"),
    5: (Verdict.LATER, "rate limit"),
    401: (Verdict.ACCESS, "malformed or unknown credentials"),
    155102: (Verdict.FINAL, "no such user"),
    155103: (Verdict.LATER, "user token not found: a fresh one is fetched for the next try"),
    155104: (Verdict.LATER, "user token expired: likewise"),
    155105: (Verdict.LATER, "user token invalid: likewise"),
    155109: (Verdict.FINAL, "user disabled"),
    155116: (Verdict.FINAL, "no such challenge"),
    155121: (Verdict.FINAL, "challenge expired"),
    155122: (Verdict.FINAL, "challenge invalid"),
    155201: (Verdict.LATER, "not enough native token for all pending transactions"),
    155204: (Verdict.LATER, "estimation: native token insufficient"),
    155205: (Verdict.LATER, "estimation: token insufficient"),
    155219: (Verdict.FINAL, "invalid destination address"),
    155220: (Verdict.FINAL, "wallet and token on different chains"),
    155221: (Verdict.FINAL, "amounts must have one element"),
    155224: (Verdict.FINAL, "amount not decimal"),
    155225: (Verdict.FINAL, "wallet and request on different chains"),
    155228: (Verdict.FINAL, "tokenId missing"),
    155231: (Verdict.FINAL, "neither feeLevel nor gasLimit"),
    155234: (Verdict.FINAL, "both feeLevel and fee parameters"),
    155244: (Verdict.FINAL, "wallet given twice"),
    # The first request of this key may be what took the money, so this is never final.
    155258: (Verdict.LATER, "the wallet's token balance is insufficient"),
    155501: (Verdict.ACCESS, "wallet frozen"),
    155502: (Verdict.ACCESS, "the wallet set is full"),
    155503: (Verdict.FINAL, "metadata length differs from count"),
    155507: (Verdict.FINAL, "smart contract accounts unsupported on the chain"),
    # Not found also means "not visible to this key": after a change of keys the earlier request may have succeeded.
    156001: (Verdict.ACCESS, "wallet not found or not visible"),
    156002: (Verdict.ACCESS, "token not found or not visible"),
    156003: (Verdict.FINAL, "transaction not found (only reads name one)"),
    156005: (Verdict.ACCESS, "wallet set not found or not visible"),
    156006: (Verdict.ACCESS, "TEST key with a mainnet chain, or the reverse"),
    156007: (Verdict.ACCESS, "the API key lacks its prefix"),
    156008: (Verdict.ACCESS, "entity configuration missing"),
    156009: (Verdict.FINAL, "id in the path is not a UUID"),
    156010: (Verdict.ACCESS, "entity missing"),
    156012: (Verdict.FINAL, "page cursor unknown"),
    156013: (Verdict.ACCESS, "entity secret wrong, after one try with a newly fetched public key"),
    156014: (Verdict.FINAL, "page cursor not a UUID"),
    156016: (Verdict.ACCESS, "entity secret not registered"),
    156017: (Verdict.FINAL, "bad blockchain"),
    156018: (Verdict.ACCESS, "recovery file invalid"),
    156019: (Verdict.ACCESS, "the entity secret must be rotated"),
    156027: (Verdict.FINAL, "unsupported blockchain"),
}
"""Left out on purpose, so unknown: 156004 (a ciphertext came twice: we never reuse one, so somebody on the way repeated
the request, and the first copy may have worked) and 156020 (the key exists with another payload: it has been used)."""

USER_EXISTS = 155101
NO_SUCH_USER = 155102
USER_ALREADY_INITIALIZED = 155106
ENTITY_SECRET_INVALID = 156013
IDEMPOTENCY_KEY_USED = 156020
LACKING = frozenset({155201, 155204, 155205, 155258})
"""The wallet that is to send lacks the tokens, or the native coin for the fee."""
CHALLENGE_ENDS: Mapping[int, str] = {155116: "MISSING", 155121: "EXPIRED", 155122: "INVALID"}
"""What has become of a challenge that Circle does not show any more."""

ACCOUNT_WIDE = frozenset({3, 4, 401, 155501, 156006, 156007, 156008, 156010, 156013, 156016, 156019})
"""Codes that refuse whatever is asked: the key, the entity, its secret, or the platform wallet, the only one that signs
for us."""


@dataclass(frozen=True, slots=True)
class ErrorCodes:
    """What the codes of one of Circle's services mean. `service` is its name for messages; `asked_for_key` is read to
    learn whether it takes our key."""

    service: str
    verdicts: Mapping[int, tuple[Verdict, str]]
    account_wide: frozenset[int]
    asked_for_key: str


PUBLIC_KEY_PATH = "/v1/w3s/config/entity/publicKey"
W3S = ErrorCodes("Circle", VERDICTS, ACCOUNT_WIDE, PUBLIC_KEY_PATH)
