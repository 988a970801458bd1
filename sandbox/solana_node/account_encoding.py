"""Accounts in the encodings that clients may ask for."""

import base64
from typing import TYPE_CHECKING, Any

from solders.account import Account
from solders.pubkey import Pubkey

from sandbox.solana_node import base58
from sandbox.solana_node.errors import invalid_params
from sandbox.solana_node.params import Config
from sandbox.solana_node.token_layouts import PROGRAM_NAMES, is_token_account, mint_decimals, parse_token, token_mint

if TYPE_CHECKING:
    from sandbox.solana_node.node import SolanaNode

ENCODINGS = ("base58", "base64", "jsonParsed", "binary")
BASE58_MAX_BYTES = 128
"""A node refuses to write longer data in base58."""
RENT_EPOCH = 2**64 - 1
"""What every rent-exempt account has."""


def encode_account(node: "SolanaNode", account: Account, config: Config, slot: int, default: str = "binary") -> Any:
    """`slot` is the bank to read a token account's mint from."""
    encoding = config.choice("encoding", ENCODINGS, default)
    return {
        "data": _data(node, account, encoding, config, slot),
        "executable": account.executable,
        "lamports": account.lamports,
        "owner": str(account.owner),
        "rentEpoch": RENT_EPOCH,
        "space": len(account.data),
    }


def decimals_of(node: "SolanaNode", mint: Pubkey, slot: int) -> int | None:
    account = node.accounts.at(mint, slot)
    return None if account is None or account.owner not in PROGRAM_NAMES else mint_decimals(account)


def _data(node: "SolanaNode", account: Account, encoding: str, config: Config, slot: int) -> Any:
    if encoding == "jsonParsed":
        parsed = _parsed(node, account, slot)
        if parsed is not None:
            return parsed
        encoding = "base64"
    data = _slice(account.data, config)
    if encoding == "base64":
        return [base64.b64encode(data).decode(), "base64"]
    if len(data) > BASE58_MAX_BYTES:
        raise invalid_params("Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.")
    text = base58.encode(data)
    return text if encoding == "binary" else [text, "base58"]


def _parsed(node: "SolanaNode", account: Account, slot: int) -> dict[str, Any] | None:
    if account.owner not in PROGRAM_NAMES:
        return None
    decimals = decimals_of(node, token_mint(account), slot) if is_token_account(account) else None
    parsed = parse_token(account, decimals)
    if parsed is None:
        return None
    return {"program": PROGRAM_NAMES[account.owner], "parsed": parsed, "space": len(account.data)}


def _slice(data: bytes, config: Config) -> bytes:
    bounds = config.values.get("dataSlice")
    if bounds is None:
        return data
    if not isinstance(bounds, dict):
        raise invalid_params("Invalid params: invalid type for `dataSlice`, expected an object.")
    wanted = Config(bounds)
    offset, length = wanted.integer("offset"), wanted.integer("length")
    if offset is None or length is None:
        raise invalid_params("Invalid params: `dataSlice` needs `offset` and `length`.")
    return data[offset : offset + length]
