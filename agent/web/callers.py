"""Who calls where proxies stand between: a forwarded address is believed of the proxies that the settings name."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
FORWARDED = "X-Forwarded-For"
"""Each proxy adds whom it was called by at the right; what stands further left may be anybody's invention."""
HOUSEHOLD_BITS = 64
"""What one caller is given of IPv6: he has as many addresses as he likes."""

INSIDE = tuple(
    ip_network(one)
    for one in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)
"""Loopback and the networks of one's own: nobody on the internet calls from there."""


class TrustedProxies:
    """The addresses and networks of our own proxies; none by default."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(ip_network(one) for one in networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def caller(self, peer: str, forwarded: Sequence[str]) -> str:
        """The right-most address that is not one of ours: `peer` itself, or what the header's lines say.

        Where a proxy of ours told no address, or only addresses of ours, it is the last that could be followed.
        """
        found = _read(peer)
        if found is None or not self._trusts(found):
            return peer
        for told in reversed(",".join(forwarded).split(",")):
            address = _read(told)
            if address is None:
                break
            found = address
            if not self._trusts(address):
                break
        return str(found)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def is_inside(caller: str) -> bool:
    """A program of this machine or network, or a proxy in it that no setting names: all of its callers at once, who
    can't be told apart."""
    address = _read(caller)
    return address is None or any(address in network for network in INSIDE)


def network_of(caller: str) -> str:
    """Under what a caller is counted: an IPv4 address, or the network of an IPv6 one."""
    address = _read(caller)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), HOUSEHOLD_BITS), strict=False))
    return caller


def _read(text: str) -> Address | None:
    """An address, perhaps with a port; one of IPv4 that is written as IPv6 is the same caller."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
