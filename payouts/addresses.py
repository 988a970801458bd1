"""Whether an address may be paid: its form, our own accounts, the local deny list."""

from collections.abc import Collection
from typing import Protocol

from chain.addresses import check_payout_owner
from domain.errors import Rejected


class Screener(Protocol):
    """Decides about addresses before a plan; Circle does not screen what we have it sign."""

    def denied(self, address: str) -> str | None:
        """Why the address must not be paid; None when it may."""
        ...


class DenyList:
    """The default screener: a list in the settings."""

    def __init__(self, addresses: Collection[str]) -> None:
        self._addresses = frozenset(addresses)

    def denied(self, address: str) -> str | None:
        return "is on the deny list" if address in self._addresses else None


class AddressJudge:
    """Called with an address, says why it can't be paid or None. Pure."""

    def __init__(self, screener: Screener, own: Collection[str]) -> None:
        self._screener, self._own = screener, frozenset(own)

    def __call__(self, address: str) -> str | None:
        try:
            check_payout_owner(address, self._own)
        except Rejected as error:
            return str(error)
        return self._screener.denied(address)
