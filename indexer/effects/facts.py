"""What one transaction did, in plain values: addresses base58, token amounts in base units, SOL in lamports."""

from dataclasses import dataclass

Version = str | int
"""`"legacy"`, 0 or 1."""


@dataclass(frozen=True, slots=True)
class TokenMovement:
    """What one transaction did to one token account under one owner and mint.

    `before` is None where the account (or this owner or mint of it) came into being, `after` where it ended; an account
    that changed its owner appears twice. `owner` and `program` are None only in answers too old to carry them.
    """

    account: str
    owner: str | None
    mint: str
    program: str | None
    before: int | None
    after: int | None
    decimals: int | None = None
    """Of the mint; None only in answers too old to carry them."""

    @property
    def delta(self) -> int:
        """Base units gained (+) or lost (-)."""
        return (self.after or 0) - (self.before or 0)


@dataclass(frozen=True, slots=True)
class LamportMovement:
    """What one transaction did to the lamports of one account, fee and rents included."""

    account: str
    before: int
    after: int

    @property
    def delta(self) -> int:
        """Lamports gained (+) or lost (-)."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class NftMetadata:
    """What a Token-2022 mint says of itself."""

    name: str
    symbol: str
    uri: str


@dataclass(frozen=True, slots=True)
class NftMint:
    """A mint of 0 decimals that came into being with supply 1. `account` and `owner` hold the one token."""

    mint: str
    program: str
    account: str
    owner: str | None
    authority_removed: bool
    freeze_authority: str | None
    metadata_address: str | None
    metadata: NftMetadata | None


@dataclass(frozen=True, slots=True)
class NftMove:
    """One token of 0 decimals went from one owner to another; a side is None where the token came into being there, or
    ended (minted, burned), or where the answer names no owner."""

    mint: str
    sender: str | None
    receiver: str | None


@dataclass(frozen=True, slots=True)
class Allocation:
    """An address that was allocated with a seed: `address` follows from `base`, `seed` and the program."""

    address: str
    base: str
    seed: str


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """One landed transaction. `err` is None or the error as the node wrote it (parsed JSON); a failed one has a fee and
    no other effect. `block_time` is in seconds since 1970, None where the node has none. `account_keys` are static,
    then loaded writable, then loaded read-only: the order that every index in the answer means.
    """

    signature: str
    slot: int
    block_time: int | None
    err: object
    fee_lamports: int
    fee_payer: str
    signers: tuple[str, ...]
    account_keys: tuple[str, ...]
    version: Version
    memos: tuple[str, ...]
    token_movements: tuple[TokenMovement, ...]
    lamport_movements: tuple[LamportMovement, ...]
    nft_mints: tuple[NftMint, ...]
    tokens_kept: tuple[TokenMovement, ...] = ()
    lamports_kept: tuple[LamportMovement, ...] = ()
    """Accounts that it names and left as they were."""
    allocations: tuple[Allocation, ...] = ()
    nft_moves: tuple[NftMove, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether its instructions took effect."""
        return self.err is None
