"""Answers of RPC nodes as plain values: addresses, hashes and signatures in base58, SOL in lamports."""

from dataclasses import dataclass
from typing import Literal

from indexer.effects.accounts import Account

Commitment = Literal["processed", "confirmed", "finalized"]


@dataclass(frozen=True, slots=True)
class LatestBlockhash:
    """A transaction with this blockhash can land up to block height `last_valid_block_height`, never later.

    `slot` is where it was read: pass it on as `min_context_slot` of the send.
    """

    blockhash: str
    last_valid_block_height: int
    slot: int


@dataclass(frozen=True, slots=True)
class Amount:
    """A balance in the asset's smallest unit, as it stood at `slot`."""

    amount: int
    slot: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one owner holds at a slot: lamports, and base units in a token account of his."""

    lamports: int
    tokens: int
    slot: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """In the order asked; None where there is no account at that slot."""

    slot: int
    accounts: tuple[Account | None, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """A token account and the base units of one mint in it."""

    account: str
    amount: int


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    """`err` is None or the error as the node wrote it (parsed JSON)."""

    slot: int
    err: object
    commitment: Commitment


@dataclass(frozen=True, slots=True)
class SignatureStatuses:
    """In the order asked. None = this endpoint does not know the signature, which proves nothing by itself."""

    slot: int
    statuses: tuple[SignatureStatus | None, ...]


@dataclass(frozen=True, slots=True)
class ListedSignature:
    """One entry of an address's history. `block_time` in seconds since 1970, None where the node has none."""

    signature: str
    slot: int
    failed: bool
    block_time: int | None


@dataclass(frozen=True, slots=True)
class Simulation:
    """`err` as in `SignatureStatus`; `units` is the compute it took, None where the node does not say."""

    slot: int
    err: object
    logs: tuple[str, ...]
    units: int | None


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """One endpoint as metrics and operator see it. `error_rate` (0 to 1) and `latency_seconds` are moving averages over
    the last calls; `finalized_slot` 0 = never asked; `lag_slots` behind the newest when all were last asked together;
    `excluded` says why it is not asked at all, empty while it is."""

    label: str
    weight: int
    calls: int
    errors: int
    errors_in_a_row: int
    error_rate: float
    latency_seconds: float
    finalized_slot: int
    lag_slots: int
    is_well: bool
    excluded: str
