"""The byte layouts of Token and Token-2022 accounts, read as a node's `jsonParsed` encoding shows them.

Layouts: spl-token's `state.rs`; extensions are type-length-value entries (u16, u16) behind the account type at
offset 165.
"""

import struct
from collections.abc import Iterator
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED_TOKEN = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
PROGRAM_NAMES = {TOKEN: "spl-token", TOKEN_2022: "spl-token-2022"}

MINT_BYTES = 82
ACCOUNT_BYTES = 165
_TYPE_AT = 165
_EXTENSIONS_AT = 166
_KIND_MINT = 1
_KIND_ACCOUNT = 2
_STATES = {1: "initialized", 2: "frozen"}
_IMMUTABLE_OWNER = 7
_METADATA_POINTER = 18
_TOKEN_METADATA = 19


def associated_token_address(owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN) -> Pubkey:
    return Pubkey.find_program_address([bytes(owner), bytes(program), bytes(mint)], ASSOCIATED_TOKEN)[0]


def is_token_account(account: Account | None) -> bool:
    if account is None or account.owner not in PROGRAM_NAMES:
        return False
    data = account.data
    if len(data) != ACCOUNT_BYTES and not (len(data) > _TYPE_AT and data[_TYPE_AT] == _KIND_ACCOUNT):
        return False
    return data[108] in _STATES


def is_mint(account: Account | None) -> bool:
    if account is None or account.owner not in PROGRAM_NAMES:
        return False
    data = account.data
    if len(data) != MINT_BYTES and not (len(data) > _TYPE_AT and data[_TYPE_AT] == _KIND_MINT):
        return False
    return data[45] == 1


def token_owner(account: Account | None) -> Pubkey | None:
    """The wallet a token account belongs to; None when it is no token account."""
    return Pubkey(account.data[32:64]) if account is not None and is_token_account(account) else None


def token_mint(account: Account) -> Pubkey:
    return Pubkey(account.data[:32])


def token_amount(account: Account) -> int:
    return int.from_bytes(account.data[64:72], "little")


def mint_decimals(account: Account) -> int:
    return account.data[44]


def mint_supply(account: Account) -> int:
    return int.from_bytes(account.data[36:44], "little")


def ui_amount(amount: int, decimals: int) -> dict[str, Any]:
    """A node's four ways to write one amount."""
    digits = str(amount).rjust(decimals + 1, "0")
    text = digits if decimals == 0 else f"{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")
    return {
        "uiAmount": amount / 10**decimals,
        "decimals": decimals,
        "amount": str(amount),
        "uiAmountString": text,
    }


def mint_data(authority: Pubkey, decimals: int, supply: int = 0) -> bytes:
    """A classic mint without freeze authority, ready to be placed."""
    return struct.pack("<I32sQBB", 1, bytes(authority), supply, decimals, 1).ljust(MINT_BYTES, b"\0")


def parse_token(account: Account, decimals: int | None) -> dict[str, Any] | None:
    """The `parsed` object of a mint or token account; None where a node falls back to base64.

    `decimals` are the mint's, needed for a token account.
    """
    if is_mint(account):
        return {"type": "mint", "info": _mint_info(account)}
    if is_token_account(account) and decimals is not None:
        return {"type": "account", "info": _account_info(account, decimals)}
    return None


def _mint_info(account: Account) -> dict[str, Any]:
    data = account.data
    info: dict[str, Any] = {
        "mintAuthority": _optional_key(data, 0),
        "supply": str(mint_supply(account)),
        "decimals": mint_decimals(account),
        "isInitialized": True,
        "freezeAuthority": _optional_key(data, 46),
    }
    return _with_extensions(info, data)


def _account_info(account: Account, decimals: int) -> dict[str, Any]:
    data = account.data
    native = int.from_bytes(data[109:113], "little") == 1
    info: dict[str, Any] = {
        "mint": str(token_mint(account)),
        "owner": str(Pubkey(data[32:64])),
        "tokenAmount": ui_amount(token_amount(account), decimals),
        "state": _STATES[data[108]],
        "isNative": native,
    }
    if delegate := _optional_key(data, 72):
        info["delegate"] = delegate
        info["delegatedAmount"] = ui_amount(int.from_bytes(data[121:129], "little"), decimals)
    if native:
        info["rentExemptReserve"] = ui_amount(int.from_bytes(data[113:121], "little"), decimals)
    if close_authority := _optional_key(data, 129):
        info["closeAuthority"] = close_authority
    return _with_extensions(info, data)


def _with_extensions(info: dict[str, Any], data: bytes) -> dict[str, Any]:
    extensions = [_extension(kind, value) for kind, value in _entries(data)]
    if extensions:
        info["extensions"] = extensions
    return info


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = _EXTENSIONS_AT
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("<HH", data, at)
        if kind == 0:
            return
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


def _extension(kind: int, value: bytes) -> dict[str, Any]:
    if kind == _IMMUTABLE_OWNER:
        return {"extension": "immutableOwner"}
    if kind == _METADATA_POINTER:
        state = {"authority": _nonzero_key(value, 0), "metadataAddress": _nonzero_key(value, 32)}
        return {"extension": "metadataPointer", "state": state}
    if kind == _TOKEN_METADATA:
        return {"extension": "tokenMetadata", "state": _metadata(value)}
    return {"extension": "unparseableExtension"}


def _metadata(value: bytes) -> dict[str, Any]:
    texts, at = _strings(value, 64, 3)
    pairs, at = struct.unpack_from("<I", value, at)[0], at + 4
    extra, _ = _strings(value, at, 2 * pairs)
    return {
        "updateAuthority": _nonzero_key(value, 0),
        "mint": str(Pubkey(value[32:64])),
        "name": texts[0],
        "symbol": texts[1],
        "uri": texts[2],
        "additionalMetadata": [list(pair) for pair in zip(extra[::2], extra[1::2], strict=True)],
    }


def _strings(value: bytes, at: int, count: int) -> tuple[list[str], int]:
    texts = []
    for _ in range(count):
        size = struct.unpack_from("<I", value, at)[0]
        texts.append(value[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return texts, at


def _optional_key(data: bytes, at: int) -> str | None:
    return str(Pubkey(data[at + 4 : at + 36])) if data[at] == 1 else None


def _nonzero_key(value: bytes, at: int) -> str | None:
    key = value[at : at + 32]
    return str(Pubkey(key)) if any(key) else None
