"""Landed transactions in the encodings of getTransaction."""

import base64
from collections.abc import Sequence
from typing import Any

from solders.message import Message, MessageV0, MessageV1
from solders.transaction import VersionedTransaction

from sandbox.solana_node import base58
from sandbox.solana_node.instruction_parsing import parse_instruction

ENCODINGS = ("json", "jsonParsed", "base64", "base58", "binary")
AnyMessage = Message | MessageV0 | MessageV1


def encode_transaction(raw: bytes, meta: dict[str, Any], encoding: str) -> tuple[Any, dict[str, Any]]:
    """The `transaction` and `meta` members; jsonParsed changes the inner instructions too."""
    if encoding == "base64":
        return [base64.b64encode(raw).decode(), "base64"], meta
    if encoding in ("base58", "binary"):
        text = base58.encode(raw)
        return (text if encoding == "binary" else [text, "base58"]), meta
    transaction = VersionedTransaction.from_bytes(raw)
    signatures = [str(signature) for signature in transaction.signatures]
    message = transaction.message
    if encoding == "json":
        return {"signatures": signatures, "message": _raw_message(message)}, meta
    keys = all_keys(message, meta)
    parsed = {"signatures": signatures, "message": _parsed_message(message, keys)}
    return parsed, meta | {"innerInstructions": _parsed_inner(meta["innerInstructions"], keys)}


def all_keys(message: AnyMessage, meta: dict[str, Any]) -> list[str]:
    loaded = meta["loadedAddresses"]
    return [*map(str, message.account_keys), *loaded["writable"], *loaded["readonly"]]


def _raw_message(message: AnyMessage) -> dict[str, Any]:
    header = message.header
    body: dict[str, Any] = {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            {
                "programIdIndex": instruction.program_id_index,
                "accounts": list(instruction.accounts),
                "data": base58.encode(bytes(instruction.data)),
                "stackHeight": 1,
            }
            for instruction in message.instructions
        ],
    }
    return body | _version_members(message)


def _version_members(message: AnyMessage) -> dict[str, Any]:
    if isinstance(message, MessageV0):
        lookups = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
        return {"addressTableLookups": lookups}
    if isinstance(message, MessageV1):
        config = message.config
        return {
            "transactionConfig": {
                "priorityFee": config.priority_fee,
                "computeUnitLimit": config.compute_unit_limit,
                "loadedAccountsDataSizeLimit": config.loaded_accounts_data_size_limit,
                "heapSize": config.heap_size,
            }
        }
    return {}


def _parsed_message(message: AnyMessage, keys: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "accountKeys": _parsed_keys(message, keys),
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            parse_instruction(
                keys[instruction.program_id_index],
                [keys[index] for index in instruction.accounts],
                bytes(instruction.data),
                1,
            )
            for instruction in message.instructions
        ],
    }
    return body | _version_members(message)


def _parsed_keys(message: AnyMessage, keys: Sequence[str]) -> list[dict[str, Any]]:
    header, static = message.header, len(message.account_keys)
    signed = header.num_required_signatures
    loaded_writable = (
        sum(len(lookup.writable_indexes) for lookup in message.address_table_lookups)
        if isinstance(message, MessageV0)
        else 0
    )
    entries = []
    for index, key in enumerate(keys):
        if index < static:
            writable = (
                index < signed - header.num_readonly_signed_accounts
                or signed <= index < static - header.num_readonly_unsigned_accounts
            )
        else:
            writable = index < static + loaded_writable
        source = "transaction" if index < static else "lookupTable"
        entries.append({"pubkey": key, "signer": index < signed, "source": source, "writable": writable})
    return entries


def _parsed_inner(groups: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "index": group["index"],
            "instructions": [
                parse_instruction(
                    keys[entry["programIdIndex"]],
                    [keys[index] for index in entry["accounts"]],
                    base58.decode(entry["data"]),
                    entry["stackHeight"],
                )
                for entry in group["instructions"]
            ],
        }
        for group in groups
    ]
