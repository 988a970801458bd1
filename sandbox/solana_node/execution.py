"""Running one transaction in LiteSVM and writing down all that a node tells about it afterwards."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from solders.account import Account
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.transaction import SanitizeError, VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from sandbox.solana_node import base58
from sandbox.solana_node.accounts import Accounts
from sandbox.solana_node.errors import SIGNATURE_FAILURE, NodeError, invalid_params
from sandbox.solana_node.token_layouts import (
    PROGRAM_NAMES,
    is_token_account,
    mint_decimals,
    token_amount,
    token_mint,
    token_owner,
    ui_amount,
)

PACKET_BYTES = 1232
V1_BYTES = 4096
"""Largest transaction on the wire: legacy and v0, and v1 (SIMD-0296)."""
LOOKUP_TABLE_HEADER_BYTES = 56
MICRO_LAMPORTS = 1_000_000
_COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
_SET_PRICE = b"\x03"
"""SetComputeUnitPrice, before its u64."""
_DISPLAY_NAME = "solana_transaction::versioned::VersionedTransaction"
_MEMO_PROGRAMS = frozenset(
    Pubkey.from_string(text)
    for text in ("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A decoded transaction with its addresses in index order: static, then looked up writable, then read-only."""

    transaction: VersionedTransaction
    raw: bytes
    signature: str
    keys: list[Pubkey]
    writable: list[bool]
    loaded_writable: list[Pubkey]
    loaded_readonly: list[Pubkey]

    @property
    def message(self) -> Message | MessageV0 | MessageV1:
        return self.transaction.message

    @property
    def version(self) -> int | None:
        """None for a legacy transaction."""
        return message_version(self.transaction.message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`charged` tells whether the transaction got into a block: a failed one that paid its fee did."""

    err: Any
    charged: bool
    before: list[Account | None]
    after: list[Account | None]
    meta: TransactionMetadata


def message_version(message: Message | MessageV0 | MessageV1) -> int | None:
    if isinstance(message, MessageV1):
        return 1
    return 0 if isinstance(message, MessageV0) else None


def decode(raw: bytes, accounts: Accounts, *, encoded_size: int = 0, encoding: str = "raw") -> Resolved:
    """Read a transaction off the wire. Raises NodeError in a node's words."""
    try:
        transaction = VersionedTransaction.from_bytes(raw)
    except ValueError as error:
        raise invalid_params(f"failed to deserialize {_DISPLAY_NAME}: {error}") from error
    limit = V1_BYTES if isinstance(transaction.message, MessageV1) else PACKET_BYTES
    if len(raw) > limit:
        raise invalid_params(
            f"{encoding} encoded {_DISPLAY_NAME} too large: {encoded_size or len(raw)} bytes "
            f"(max: encoded/raw {(limit + 2) // 3 * 4}/{limit})"
        )
    if bytes(transaction) != raw:
        raise invalid_params(f"failed to deserialize {_DISPLAY_NAME}: trailing bytes")
    try:
        transaction.sanitize()
    except SanitizeError as error:
        raise invalid_params(
            "invalid transaction: Transaction failed to sanitize accounts offsets correctly"
        ) from error
    return resolve(transaction, raw, accounts)


def resolve(transaction: VersionedTransaction, raw: bytes, accounts: Accounts) -> Resolved:
    message = transaction.message
    static = message.account_keys
    header = message.header
    signed, total = header.num_required_signatures, len(static)
    writable = [
        index < signed - header.num_readonly_signed_accounts
        or signed <= index < total - header.num_readonly_unsigned_accounts
        for index in range(total)
    ]
    loaded_writable, loaded_readonly = _look_up(message, accounts)
    return Resolved(
        transaction,
        raw,
        str(transaction.signatures[0]),
        [*static, *loaded_writable, *loaded_readonly],
        writable + [True] * len(loaded_writable) + [False] * len(loaded_readonly),
        loaded_writable,
        loaded_readonly,
    )


def _look_up(message: Message | MessageV0 | MessageV1, accounts: Accounts) -> tuple[list[Pubkey], list[Pubkey]]:
    """Addresses out of lookup tables. A missing table or entry yields nothing: LiteSVM will refuse the transaction."""
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    if isinstance(message, MessageV0):
        for lookup in message.address_table_lookups:
            table = accounts.newest(lookup.account_key)
            entries = b"" if table is None else table.data[LOOKUP_TABLE_HEADER_BYTES:]
            writable += _entries(entries, lookup.writable_indexes)
            readonly += _entries(entries, lookup.readonly_indexes)
    return writable, readonly


def _entries(entries: bytes, indexes: bytes) -> list[Pubkey]:
    return [Pubkey(entries[i * 32 : i * 32 + 32]) for i in indexes if (i + 1) * 32 <= len(entries)]


def require_signatures(transaction: VersionedTransaction) -> None:
    """Raises NodeError -32003 unless every signature is there and good."""
    if len(transaction.signatures) != transaction.message.header.num_required_signatures or not all(
        transaction.verify_with_results()
    ):
        raise NodeError(SIGNATURE_FAILURE, "Transaction signature verification failure")


def execute(svm: LiteSVM, resolved: Resolved) -> Outcome:
    """Run it for real."""
    get = svm.get_account
    before = [get(key) for key in resolved.keys]
    result = svm.send_transaction(resolved.transaction)
    after = [
        get(key) if writable else old
        for key, writable, old in zip(resolved.keys, resolved.writable, before, strict=True)
    ]
    if isinstance(result, FailedTransactionMetadata):
        return Outcome(error_json(result), before[0] != after[0], before, after, result.meta())
    return Outcome(None, True, before, after, result)


def error_json(failed: FailedTransactionMetadata) -> Any:
    return orjson.loads(failed.to_json())["err"]


def build_meta(resolved: Resolved, outcome: Outcome, accounts: Accounts) -> dict[str, Any]:
    """The `meta` object of getTransaction."""
    meta: dict[str, Any] = {
        "err": outcome.err,
        "status": {"Ok": None} if outcome.err is None else {"Err": outcome.err},
        "fee": outcome.meta.fee(),
        "preBalances": [0 if account is None else account.lamports for account in outcome.before],
        "postBalances": [0 if account is None else account.lamports for account in outcome.after],
        "innerInstructions": inner_instructions(outcome.meta),
        "logMessages": outcome.meta.logs(),
        "preTokenBalances": [],
        "postTokenBalances": [],
        "rewards": [],
        "loadedAddresses": {
            "writable": [str(key) for key in resolved.loaded_writable],
            "readonly": [str(key) for key in resolved.loaded_readonly],
        },
        "computeUnitsConsumed": outcome.meta.compute_units_consumed(),
    }
    # Like agave: only transactions that name a token program get token balances.
    if any(key in PROGRAM_NAMES for key in resolved.keys):
        meta["preTokenBalances"] = _token_balances(outcome.before, accounts)
        meta["postTokenBalances"] = _token_balances(outcome.after, accounts)
    if returned := return_data(outcome.meta):
        meta["returnData"] = returned
    return meta


def return_data(meta: TransactionMetadata) -> dict[str, Any] | None:
    returned = meta.return_data()
    if not returned.data:
        return None
    return {"programId": str(returned.program_id), "data": [base64.b64encode(returned.data).decode(), "base64"]}


def inner_instructions(meta: TransactionMetadata) -> list[dict[str, Any]]:
    groups = []
    for index, group in enumerate(meta.inner_instructions()):
        if group:
            groups.append({"index": index, "instructions": [_inner(entry) for entry in group]})
    return groups


def _inner(entry: Any) -> dict[str, Any]:
    instruction = entry.instruction()
    return {
        "programIdIndex": instruction.program_id_index,
        "accounts": list(instruction.accounts),
        "data": base58.encode(instruction.data),
        "stackHeight": entry.stack_height(),
    }


def _token_balances(states: Sequence[Account | None], accounts: Accounts) -> list[dict[str, Any]]:
    balances = []
    for index, account in enumerate(states):
        if account is None or not is_token_account(account):
            continue
        mint = token_mint(account)
        mint_account = accounts.newest(mint)
        if mint_account is None:
            continue
        balances.append(
            {
                "accountIndex": index,
                "mint": str(mint),
                "uiTokenAmount": ui_amount(token_amount(account), mint_decimals(mint_account)),
                "owner": str(token_owner(account)),
                "programId": str(account.owner),
            }
        )
    return balances


def price_of(resolved: Resolved) -> int:
    """Micro-lamports per compute unit that a transaction bids; 0 without a price."""
    message = resolved.message
    if isinstance(message, MessageV1):
        config = message.config
        return (config.priority_fee or 0) * MICRO_LAMPORTS // (config.compute_unit_limit or 1)
    for instruction in message.instructions:
        data = bytes(instruction.data)
        if resolved.keys[instruction.program_id_index] == _COMPUTE_BUDGET and data[:1] == _SET_PRICE:
            return int.from_bytes(data[1:9], "little")
    return 0


def memo_of(resolved: Resolved) -> str | None:
    """The memos of a transaction as getSignaturesForAddress shows them: `[length] text`, joined by `; `."""
    memos = []
    for instruction in resolved.message.instructions:
        if resolved.keys[instruction.program_id_index] in _MEMO_PROGRAMS:
            data = bytes(instruction.data)
            memos.append(f"[{len(data)}] {data.decode(errors='replace')}")
    return "; ".join(memos) or None
