"""What the chain was read to say about one of our transactions: the only thing that lets money count as moved."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """A finalized transaction held against its intent. `why` is one line for the operator when it does not match.

    `cost_lamports`: what the platform wallet lost in it, fee and rents together; `fee_lamports` the fee alone.
    `paid`: of a mint, the USDC that it paid too, as `PackedOutflow.legs`; `name`: what the NFT is called;
    `owner`: into whose account it was minted.
    """

    signature: str
    matches: bool
    why: str
    slot: int
    block_time: datetime | None
    cost_lamports: int
    fee_lamports: int = 0
    paid: tuple[tuple[str, int], ...] = ()
    name: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class PackedOutflow:
    """A finalized transaction that left a receipt of the platform wallet, as the chain tells it: who got how much.

    `legs`: (owner, base units); owners, not token accounts. `seed` is what the receipt's address was derived with.
    """

    signature: str
    receipt_address: str
    seed: str
    legs: tuple[tuple[str, int], ...]
    slot: int
    block_time: datetime | None


@dataclass(frozen=True, slots=True)
class MintOutflow:
    """A finalized transaction that made one NFT of ours and paid USDC too, as the chain tells it. `seed` is what the
    mint's address was derived with, and names the sale; `legs` as in `PackedOutflow`."""

    signature: str
    mint_address: str
    seed: str
    buyer: str
    name: str
    symbol: str
    uri: str
    legs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class TransferIntent:
    """One USDC movement as frozen before it was asked for. `amount` in base units; addresses are owners, not token
    accounts."""

    source_owner: str
    destination_owner: str
    amount: int
