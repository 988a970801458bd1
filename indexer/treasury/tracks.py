"""The two addresses whose histories the treasury is."""

from dataclasses import dataclass
from typing import NamedTuple

from domain.ledger import Asset


@dataclass(frozen=True, slots=True)
class Track:
    """One followed address. `name`: of its cursor, and of the balance that was last read of it."""

    name: str
    address: str
    asset: Asset


class Tracks(NamedTuple):
    """The USDC account, and the wallet that owns it and pays for it."""

    usdc: Track
    sol: Track


def tracks_of(wallet: str, usdc_account: str) -> Tracks:
    return Tracks(Track("treasury_usdc", usdc_account, Asset.USDC), Track("treasury_sol", wallet, Asset.SOL))
