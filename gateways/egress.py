"""Where the process may go: the addresses of its settings, and nowhere else.

A second lock beside the firewall's: whatever an answer, a row or a mistake of ours puts into an address, no credential
leaves for a host that no setting names.
"""

from collections.abc import Iterable
from typing import Final

from yarl import URL


class Egress:
    """The origins (scheme, host and port) of these addresses; empty ones are left out."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._origins = frozenset(URL(address).origin() for address in addresses if address)

    def admits(self, url: URL) -> bool:
        """Whether the origin of `url` is one of them. False for what has none."""
        try:
            return url.origin() in self._origins
        except ValueError:
            return False


class Anywhere:
    """No list: for an operator's commands, and clients of the tests."""

    def admits(self, url: URL) -> bool:
        return True


ANYWHERE: Final = Anywhere()
"""The daemon is never given this."""
