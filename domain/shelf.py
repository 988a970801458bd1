"""What a buyer is told of what he bought."""

from enum import StrEnum


class Shelf(StrEnum):
    """Statuses of the library (product.md, section 6)."""

    MINTING = "minting"
    WAITING_FOR_WALLET = "waiting_for_wallet"
    OWNED = "owned"
    TRANSFERRED = "transferred"
    REFUNDED = "refunded"
