"""Bodies of the operator's view of the indexer. Times are UTC; amounts are decimal strings."""

from typing import Annotated

from pydantic import Field

from agent.web.bodies import Answer, Asked, Moment, Money


class EndpointRow(Answer):
    """One RPC endpoint. `error_rate` (0 to 1) and `latency_ms` are averages over its last calls."""

    label: str
    weight: int
    is_well: bool
    lag_slots: int
    error_rate: float
    latency_ms: int
    calls: int
    excluded: str


class TrackRow(Answer):
    """One followed address. `signature` and `slot`: up to where it is stored; `on_chain` is the balance as last read,
    `booked` the sum of what is booked."""

    name: str
    address: str
    signature: str | None
    slot: int | None
    moved_at: Moment | None
    booked: Money
    on_chain: Money | None


class FactRow(Answer):
    name: str
    value: str
    seen_at: Moment
    changed_at: Moment


class BackfillRow(Answer):
    """`from_signature` null = the whole history. `finished_at` is null while it runs."""

    from_signature: str | None
    started_at: Moment
    finished_at: Moment | None
    total: int
    read: int
    booked: int
    error: str


class IndexStatus(Answer):
    """`websocket` is null where none is configured."""

    now: Moment
    finalized_slot: int
    slot_ms: int
    websocket: bool | None
    trouble: list[str]
    endpoints: list[EndpointRow]
    tracks: list[TrackRow]
    signatures: dict[str, int]
    facts: list[FactRow]
    nfts: int
    nfts_transferred: int
    nfts_oldest_look_due_at: Moment | None
    deposits_unexplained: Money
    backfill: BackfillRow | None


class BackfillWish(Asked):
    """`from_signature`: read again what was finalized in its slot and after; left out: everything."""

    from_signature: Annotated[str, Field(min_length=1, max_length=128)] | None = None
