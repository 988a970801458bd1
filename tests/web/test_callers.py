"""Who is counted, slowed down and written down where a proxy stands before the ports."""

import pytest

from agent.web.callers import TrustedProxies, network_of
from storage import tables
from storage.engines.sqlite import SqliteStore
from tests.web.shop import Shop, opened

OURS = ("127.0.0.1", "10.1.2.0/24", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        pytest.param("203.0.113.7", ["198.51.100.1"], "203.0.113.7", id="somebody who is no proxy of ours"),
        pytest.param("10.1.3.1", ["198.51.100.1"], "10.1.3.1", id="beside the network of ours"),
        pytest.param("127.0.0.1", [], "127.0.0.1", id="without the header"),
        pytest.param("127.0.0.1", ["198.51.100.1"], "198.51.100.1", id="one hop"),
        pytest.param("127.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1", id="an invention before it"),
        pytest.param("127.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1", id="in two lines"),
        pytest.param("127.0.0.1", ["6.6.6.6,198.51.100.1, 10.1.2.9"], "198.51.100.1", id="two proxies of ours"),
        pytest.param("127.0.0.1", ["10.1.2.8, 10.1.2.9"], "10.1.2.8", id="a caller inside"),
        pytest.param("127.0.0.1", ["6.6.6.6, unknown"], "127.0.0.1", id="a proxy that does not know"),
        pytest.param("127.0.0.1", ["6.6.6.6, unknown, 10.1.2.9"], "10.1.2.9", id="the one before it does not know"),
        pytest.param("127.0.0.1", [""], "127.0.0.1", id="an empty header"),
        pytest.param("127.0.0.1", ["198.51.100.1:52011"], "198.51.100.1", id="with a port"),
        pytest.param("::ffff:127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1", id="IPv4 written as IPv6"),
        pytest.param("fd00::1", ["[2001:db8::1]:52011"], "2001:db8::1", id="IPv6 with a port"),
        pytest.param("fd00::1%eth0", ["2001:DB8:0::1"], "2001:db8::1", id="IPv6 in another spelling"),
        pytest.param("", ["198.51.100.1"], "", id="a peer without an address"),
    ],
)
def test_the_right_most_hop_that_is_not_ours_is_the_caller(peer: str, forwarded: list[str], caller: str) -> None:
    assert TrustedProxies(OURS).caller(peer, forwarded) == caller
    assert TrustedProxies().caller(peer, forwarded) == peer, "nobody is believed by default"


def test_an_ipv6_caller_is_counted_by_his_network_and_an_ipv4_one_by_himself() -> None:
    assert network_of("2001:db8:0:1::1") == network_of("2001:db8:0:1:ffff::2") != network_of("2001:db8:0:2::1")
    assert network_of("198.51.100.1") != network_of("198.51.100.2")
    assert network_of("") == ""


async def guesses(shop: Shop, caller: str, times: int = 7) -> list[int]:
    """The answers to somebody who guesses a password, as the proxy hands him on."""
    guess, told = {"email": "buyer@example.com", "password": "wrong one"}, {"X-Forwarded-For": caller}
    return [(await shop.send("POST", "/api/auth/login/", guess, headers=told)).status for _ in range(times)]


SLOWED = [401] * 5 + [429] * 2


async def test_behind_a_named_proxy_who_guesses_slows_down_himself_alone(sqlite_store: SqliteStore) -> None:
    shop = Shop(sqlite_store)
    shop.proxies = TrustedProxies(OURS)
    async with opened(shop):
        assert await guesses(shop, "198.51.100.1") == SLOWED
        assert await guesses(shop, "6.6.6.6, 198.51.100.1", times=1) == [429], "an invented hop changes nothing"
        assert await guesses(shop, "198.51.100.2", times=1) == [401]
        assert await guesses(shop, "2001:db8::1") == SLOWED
        assert await guesses(shop, "2001:db8::2", times=1) == [429], "he has as many addresses as he likes"


async def test_a_forwarded_address_of_anybody_else_is_not_believed(shop: Shop) -> None:
    assert [status for number in range(7) for status in await guesses(shop, f"198.51.100.{number}", 1)] == SLOWED


@pytest.mark.parametrize(("proxies", "remote"), [((), "127.0.0.1"), (OURS, "198.51.100.1")])
async def test_the_audit_log_says_from_where(sqlite_store: SqliteStore, proxies: tuple[str, ...], remote: str) -> None:
    shop = Shop(sqlite_store)
    shop.proxies = TrustedProxies(proxies)
    async with opened(shop):
        told = {"X-Forwarded-For": "6.6.6.6, 198.51.100.1"}
        made = await shop.send("POST", "/admin/api/invites", {}, "admin-operator", headers=told, admin=True)
        assert made.status == 201
        (row,) = await shop.all(tables.audit_log)
        assert row["remote"] == remote
