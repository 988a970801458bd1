"""What the week's player has seen: the daemon's word, Stripe's record and the chain, side by side."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.week.chain import Nft
from sandbox.week.plan import Person, Piece


@dataclass(slots=True)
class Member:
    """A person with an account. `address` is known once the wallet is there."""

    person: Person
    user_id: int
    token: str = field(repr=False)
    address: str = ""


@dataclass(slots=True)
class Sale:
    """One purchase. `shares` are basis points by user id, `payment` is Stripe's own record of it, `purchase` the
    daemon's latest word (empty while there is none), `nft_uri` what the shop says that the NFT points to."""

    buyer: Member
    piece: Piece
    content_id: int
    nft_uri: str
    shares: dict[int, int]
    session_id: str
    purchase_id: int | None = None
    purchase: dict[str, Any] = field(default_factory=dict)
    payment: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Creator:
    """A creator at the week's end; base units. `due` is our own arithmetic, `on_chain` what the wallet holds."""

    member: Member
    sales: int = 0
    due: int = 0
    on_chain: int = 0
    dashboard: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    """Everything that the checks look at. Amounts in base units."""

    sales: list[Sale] = field(default_factory=list)
    creators: list[Creator] = field(default_factory=list)
    nfts: list[Nft] = field(default_factory=list)
    platform_before: int = 0
    deposited: int = 0
    platform_after: int = 0
    ledger_sum: int | None = None
    dry_run: str | None = None
    """What `distribute_usdc_batch --dry-run` wrote before the batch; None if it never ran."""
    before_batch: list[Sale] = field(default_factory=list)
    """Sales that were not paid when the batch was run: by the week all of them."""
    paid_in_real_time: int | None = None
    """How many were; None when the week is paid by its batch."""
    failures: list[str] = field(default_factory=list)
    """What went wrong on the way, in words."""
