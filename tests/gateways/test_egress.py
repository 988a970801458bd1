"""The daemon goes to the addresses of its settings and nowhere else, whatever an address looks like."""

import ast

import pytest
from yarl import URL

from agent.daemon import outside_addresses, system_ports
from config.settings import load_settings
from gateways.egress import Egress
from metrics import Metrics
from ports.sockets import SocketBroken
from ports.transport import HttpRequest, TransportError
from tests.config.environment import VALID
from tests.gateways.fault_server import fault_server, reply
from tests.programs import ROOT


async def test_a_daemon_s_own_clients_refuse_every_address_that_no_setting_names() -> None:
    async with fault_server(reply("200 OK", b"{}")) as known, fault_server(reply("200 OK", b"{}")) as stranger:
        settings = load_settings(
            VALID
            | {
                "AGENT_STRIPE_API_URL": known.url,
                "SOLANA_RPC_URLS": f"{known.url}/?api-key=abc",
                "SOLANA_WS_URL": known.url.replace("http", "ws"),
                "DATABASE_URL": "sqlite:///unused.db",
            }
        )
        ports = system_ports(settings, Metrics({}))
        assert ports.sockets is not None
        try:
            answer = await ports.transport.send(HttpRequest("GET", f"{known.url}/v1/events"))
            assert answer.status == 200
            host = stranger.url.removeprefix("http://")
            for url in (
                stranger.url,
                f"{known.url}@{host}/",
                f"http://user@{host}\\@{known.url.removeprefix('http://')}/",
                known.url.replace("127.0.0.1", "localhost"),
                known.url.replace("http://", "https://"),
                "file:///etc/passwd",
                "//127.0.0.1/",
                "",
            ):
                with pytest.raises(TransportError) as refused:
                    await ports.transport.send(HttpRequest("POST", url, {"authorization": "Bearer canary"}))
                assert refused.value.sent is False, url
            with pytest.raises(SocketBroken, match="no setting"):
                await ports.sockets.open(stranger.url.replace("http", "ws"))
        finally:
            await ports.transport.close()
            await ports.sockets.close()
        assert stranger.connections == 0 and known.connections == 1


def test_the_addresses_are_those_of_the_settings_the_chat_s_too() -> None:
    given = {
        "AGENT_ALERT_WEBHOOK_URL": "https://hooks.chat.example/T0/secret",
        "SOLANA_RPC_URLS": "https://rpc.one.example/k,https://rpc.two.example",
    }
    egress = Egress(outside_addresses(load_settings(VALID | given)))

    for url in ("https://hooks.chat.example/any", "https://rpc.two.example/", "https://api.stripe.com/v1/events"):
        assert egress.admits(URL(url)), url
    assert not egress.admits(URL("https://rpc.two.example:8443/"))
    mint = URL("https://api-sandbox.circle.com/v1/businessAccount/balances")
    assert not egress.admits(mint)
    converts = dict.fromkeys(("AGENT_CAP_CONVERSION", "AGENT_CAP_CONVERSION_DAY"), "1") | {
        "AGENT_CONVERSION": "circle_mint"
    }
    assert Egress(outside_addresses(load_settings(VALID | converts))).admits(mint)


def test_nothing_of_the_daemon_opens_a_connection_but_its_two_clients() -> None:
    """Who could go out past the list: any other module that imports an HTTP client or opens a socket."""
    openers = {"ClientSession", "open_connection", "create_connection", "urlopen", "socket"}
    found = set()
    for room in ("agent", "chain", "config", "domain", "gateways", "indexer", "metrics", "payouts", "ports", "storage"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = node.func if isinstance(node, ast.Call) else None
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                if name in openers:
                    found.add(str(path.relative_to(ROOT)))
    commands = {name for name in found if name.startswith("agent/cli/")}
    assert found - commands == {"gateways/transport.py", "gateways/sockets.py", "agent/notify.py"}, "notify: systemd's"
