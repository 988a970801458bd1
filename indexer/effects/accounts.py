"""Accounts as an RPC node shows them (encoding `base64`): wallets, token accounts, mints with their metadata.

Layouts: spl-token's packed `Account` and `Mint`; Token-2022's type byte at 165, then type-length-value entries.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from chain import programs
from indexer.effects.facts import NftMetadata
from indexer.effects.shape import U64_MAX, address, base64_pair, fields, malformed, whole

_ACCOUNT_TYPE_AT = programs.TOKEN_ACCOUNT_SIZE
_EXTENSIONS_AT = programs.TOKEN_ACCOUNT_SIZE + 1
_INITIALIZED, _FROZEN = 1, 2


@dataclass(frozen=True, slots=True)
class Account:
    """Any account. `program` is what the RPC calls its owner."""

    lamports: int
    program: str
    data: bytes
    executable: bool


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """A token account of either program; `amount` in base units, `owner` the wallet that may move it."""

    program: str
    mint: str
    owner: str
    amount: int
    frozen: bool
    delegate: str | None
    delegated_amount: int
    close_authority: str | None


@dataclass(frozen=True, slots=True)
class Mint:
    """A mint of either program. The metadata fields are None where it has none (always for the classic program)."""

    program: str
    supply: int
    decimals: int
    mint_authority: str | None
    freeze_authority: str | None
    metadata_address: str | None
    metadata_authority: str | None
    metadata: NftMetadata | None


def read_account(value: object) -> Account | None:
    """One `value` of getAccountInfo or getMultipleAccounts; None where there is none. Raises `MalformedAnswer`."""
    if value is None:
        return None
    account = fields(value, "account")
    executable = account.get("executable")
    if not isinstance(executable, bool):
        malformed("account.executable", "true or false")
    return Account(
        lamports=whole(account.get("lamports"), "account.lamports", U64_MAX),
        program=address(account.get("owner"), "account.owner"),
        data=base64_pair(account.get("data"), "account.data"),
        executable=executable,
    )


def is_plain_wallet(account: Account | None) -> bool:
    """Whether an address on the curve may own a payout: nothing there yet, or a system account without data."""
    return account is None or (account.program == programs.SYSTEM and not account.data and not account.executable)


def made(account: Account | None) -> Account | None:
    """The account of a program; None where there is none yet: lamports that a stranger sent to its address make none,
    and don't hinder that it is made."""
    return None if account is None or account.program == programs.SYSTEM else account


def parse_token_account(account: Account) -> TokenAccount:
    """A token account from its bytes. Raises `MalformedAnswer` for anything else, uninitialised ones included."""
    data = _of_token_program(account, programs.TOKEN_ACCOUNT_SIZE, programs.ACCOUNT_TYPE_ACCOUNT, "a token account")
    state = data[108]
    if state not in {_INITIALIZED, _FROZEN}:
        malformed("account", "an initialised token account")
    return TokenAccount(
        program=account.program,
        mint=_address(data, 0),
        owner=_address(data, 32),
        amount=_u64(data, 64),
        frozen=state == _FROZEN,
        delegate=_optional_address(data, 72),
        delegated_amount=_u64(data, 121),
        close_authority=_optional_address(data, 129),
    )


def parse_mint(account: Account) -> Mint:
    """A mint from its bytes, with Token-2022's metadata. Raises `MalformedAnswer` for anything else."""
    data = _of_token_program(account, programs.MINT_SIZE, programs.ACCOUNT_TYPE_MINT, "a mint")
    if data[45] != 1:
        malformed("account", "an initialised mint")
    extensions = _extensions(data[_EXTENSIONS_AT:])
    pointer = extensions.get(programs.METADATA_POINTER_EXTENSION, bytes(64))
    if len(pointer) != 64:
        malformed("account", "a mint with a metadata pointer of 64 bytes")
    authority, metadata = _metadata(extensions.get(programs.TOKEN_METADATA_EXTENSION))
    return Mint(
        program=account.program,
        supply=_u64(data, 36),
        decimals=data[44],
        mint_authority=_optional_address(data, 0),
        freeze_authority=_optional_address(data, 46),
        metadata_address=_nonzero_address(pointer, 32),
        metadata_authority=authority,
        metadata=metadata,
    )


def _of_token_program(account: Account, size: int, account_type: int, want: str) -> bytes:
    data = account.data
    if account.program not in programs.TOKEN_PROGRAMS:
        malformed("account", want)
    if len(data) == size:
        return data
    extended = account.program == programs.TOKEN_2022 and len(data) > _ACCOUNT_TYPE_AT
    if not extended or len(data) == programs.MULTISIG_SIZE or data[_ACCOUNT_TYPE_AT] != account_type:
        malformed("account", want)
    return data


def _extensions(data: bytes) -> dict[int, bytes]:
    """Type-length-value entries; type 0 is unused room."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        kind, length = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        if kind == 0:
            break
        value = data[at + 4 : at + 4 + length]
        if len(value) != length:
            malformed("account", "a mint whose extensions end where they say")
        found[kind] = value
        at += 4 + length
    return found


def _metadata(data: bytes | None) -> tuple[str | None, NftMetadata | None]:
    if data is None:
        return None, None
    texts: list[str] = []
    at = 64
    for _ in range(3):
        length = int.from_bytes(data[at : at + 4], "little")
        text = data[at + 4 : at + 4 + length]
        if len(data) < at + 4 or len(text) != length:
            malformed("account", "a mint with whole metadata")
        texts.append(text.decode(errors="replace"))
        at += 4 + length
    return _nonzero_address(data, 0), NftMetadata(*texts)


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _address(data: bytes, at: int) -> str:
    return str(Pubkey.from_bytes(data[at : at + 32]))


def _nonzero_address(data: bytes, at: int) -> str | None:
    """Extensions write "none" as zeros."""
    return _address(data, at) if any(data[at : at + 32]) else None


def _optional_address(data: bytes, at: int) -> str | None:
    """The base layouts write "none" as a u32 tag of 0 before 32 bytes of no meaning."""
    tag = _u32(data, at)
    if tag not in {0, 1}:
        malformed("account", "a token account or mint with readable options")
    return _address(data, at + 4) if tag else None


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
