"""From parsed JSON to values, believing nothing. Every function raises `MalformedAnswer`, only."""

from collections.abc import Sequence

from indexer.effects.accounts import made, parse_token_account, read_account
from indexer.effects.shape import address, decimal, fields, items, malformed, text, whole
from indexer.rpc.values import (
    Accounts,
    Commitment,
    Holder,
    LatestBlockhash,
    ListedSignature,
    SignatureStatus,
    SignatureStatuses,
    Simulation,
)

_HASH_CHARS = range(32, 45)
"""Base58 of 32 bytes."""
_SIGNATURE_CHARS = range(64, 89)
"""Base58 of 64 bytes."""
COUNT_MAX = 2**48
"""More slots or blocks than a million years have."""
MONEY_MAX = 2**63 - 1
"""What a database column holds; all SOL is a fifteenth of it."""
_BASE58 = frozenset("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
_COMMITMENTS: dict[object, Commitment] = {
    "processed": "processed",
    "confirmed": "confirmed",
    "finalized": "finalized",
}


def with_context(result: object) -> tuple[int, object]:
    """The slot an answer was made at, and the answer."""
    answer = fields(result, "result")
    slot = count(fields(answer.get("context"), "context").get("slot"), "context.slot")
    if "value" not in answer:
        malformed("value", "there")
    return slot, answer["value"]


def hash_text(value: object, where: str) -> str:
    return _base58(value, where, _HASH_CHARS)


def signature_text(value: object, where: str) -> str:
    return _base58(value, where, _SIGNATURE_CHARS)


def count(value: object, where: str, most: int = COUNT_MAX) -> int:
    """A slot, a block height, or another number of things."""
    return whole(value, where, most)


def money(value: object, where: str) -> int:
    """Lamports or base units."""
    return whole(value, where, MONEY_MAX)


def latest_blockhash(slot: int, value: object) -> LatestBlockhash:
    answer = fields(value, "value")
    return LatestBlockhash(
        hash_text(answer.get("blockhash"), "blockhash"),
        count(answer.get("lastValidBlockHeight"), "lastValidBlockHeight"),
        slot,
    )


def accounts(slot: int, value: object, asked: int) -> Accounts:
    entries = items(value, "value")
    if len(entries) != asked:
        malformed("value", f"{asked} accounts")
    return Accounts(slot, tuple(read_account(entry) for entry in entries))


def token_amount(found: Accounts) -> int:
    """Base units in the one token account; an account that does not exist holds nothing."""
    account = made(found.accounts[0])
    return 0 if account is None else money(parse_token_account(account).amount, "amount")


def holders(value: object) -> list[Holder]:
    entries = [fields(entry, "holder") for entry in items(value, "value")]
    return [
        Holder(address(entry.get("address"), "holder.address"), decimal(entry.get("amount"), "holder.amount"))
        for entry in entries
    ]


def signature_statuses(slot: int, value: object, asked: Sequence[str]) -> SignatureStatuses:
    entries = items(value, "value")
    if len(entries) != len(asked):
        malformed("value", f"{len(asked)} statuses")
    return SignatureStatuses(slot, tuple(_status(entry, slot) for entry in entries))


def _status(value: object, slot: int) -> SignatureStatus | None:
    if value is None:
        return None
    status = fields(value, "status")
    if "err" not in status:
        malformed("status.err", "there")
    told = status.get("confirmationStatus")
    commitment = _COMMITMENTS.get(told) if isinstance(told, str) else None
    if commitment is None:
        malformed("confirmationStatus", "a commitment")
    return SignatureStatus(count(status.get("slot"), "status.slot", slot), status["err"], commitment)


def listed_signatures(result: object) -> list[ListedSignature]:
    """Newest first, as the node lists them; out of order is malformed."""
    listed: list[ListedSignature] = []
    for value in items(result, "result"):
        entry = fields(value, "entry")
        if "err" not in entry:
            malformed("entry.err", "there")
        newest = listed[-1].slot if listed else COUNT_MAX
        listed.append(
            ListedSignature(
                signature_text(entry.get("signature"), "entry.signature"),
                count(entry.get("slot"), "entry.slot", newest),
                entry["err"] is not None,
                None if entry.get("blockTime") is None else count(entry["blockTime"], "entry.blockTime"),
            )
        )
    return listed


def simulation(slot: int, value: object) -> Simulation:
    answer = fields(value, "value")
    if "err" not in answer:
        malformed("err", "there")
    units = answer.get("unitsConsumed")
    return Simulation(
        slot, answer["err"], logs(answer.get("logs")), None if units is None else whole(units, "unitsConsumed")
    )


def logs(value: object) -> tuple[str, ...]:
    return () if value is None else tuple(text(line, "logs") for line in items(value, "logs"))


def priority_fees(result: object) -> list[int]:
    return [
        whole(fields(entry, "fee").get("prioritizationFee"), "prioritizationFee") for entry in items(result, "result")
    ]


def _base58(value: object, where: str, lengths: range) -> str:
    shown = text(value, where)
    if len(shown) not in lengths or not _BASE58.issuperset(shown):
        malformed(where, "base58 of the right length")
    return shown
