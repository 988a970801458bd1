"""The real transport against a server that misbehaves: every call ends, and says whether anything may have happened."""

import asyncio
import datetime
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateways.circle_api import CircleGateway, Rates
from gateways.stripe_api import StripeGateway
from gateways.transport import AiohttpTransport
from ports.system import SystemClock, SystemIds
from ports.transport import HttpRequest, TransportError
from sandbox.front import Front
from tests.gateways.fault_server import Behave, drip, fault_server, flood, reply, reset, silence
from tests.sandbox.circle.world import API_KEY, SECRET, World
from tests.sandbox.stripe.machine import KEY, Machine

CREDENTIAL = "Bearer sk_test_canary"


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport(body_max_bytes=200_000)
    yield made
    await made.close()


def post(url: str, deadline_seconds: float = 5.0) -> HttpRequest:
    return HttpRequest("POST", url, {"authorization": CREDENTIAL}, b"a=1", deadline_seconds)


async def test_an_answer_of_any_status_comes_back_whole_with_lower_case_header_names(
    transport: AiohttpTransport,
) -> None:
    async with fault_server(reply("503 Busy", b"<html>", "Retry-After: 7", "X-Request-ID: r1")) as server:
        answer = await transport.send(post(f"{server.url}/v1/x?q=1"))
    assert (answer.status, answer.body) == (503, b"<html>")
    assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("7", "r1")
    assert server.heads[0].startswith(b"POST /v1/x?q=1 HTTP/1.1")
    assert server.heads[0].endswith(b"a=1")


async def test_a_refused_connection_surely_sent_nothing(transport: AiohttpTransport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(TransportError) as failure:
            await transport.send(post(f"http://127.0.0.1:{unused.getsockname()[1]}/"))
    assert failure.value.sent is False


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(reset, id="reset after the request"),
        pytest.param(reply("200 OK", b'{"id":', length=50), id="cut body"),
        pytest.param(drip(0.02), id="one byte at a time"),
        pytest.param(silence, id="hang after the headers"),
        pytest.param(flood, id="endless body"),
    ],
)
async def test_an_answer_that_does_not_come_whole_may_have_had_its_effect_and_ends_in_time(
    transport: AiohttpTransport, behave: Behave
) -> None:
    async with fault_server(behave) as server:
        started = asyncio.get_running_loop().time()
        with pytest.raises(TransportError) as failure:
            await transport.send(post(server.url, deadline_seconds=0.4))
        assert asyncio.get_running_loop().time() - started < 1.4
        assert failure.value.sent is True
        assert len(server.heads) == 1, "a POST must not be repeated"


async def test_a_redirect_is_an_answer_and_carries_no_credentials_anywhere(transport: AiohttpTransport) -> None:
    async with fault_server(reply("200 OK")) as thief:
        async with fault_server(reply("302 Found", b"", f"Location: {thief.url}/")) as server:
            answer = await transport.send(post(server.url))
    assert answer.status == 302
    assert thief.connections == 0


async def test_nothing_that_an_answer_sets_is_sent_back(transport: AiohttpTransport) -> None:
    async with fault_server(reply("200 OK", b"", "Set-Cookie: session=1")) as server:
        for _ in range(2):
            await transport.send(post(f"http://localhost:{server.port}/"))
    assert len(server.heads) == 2
    assert b"cookie" not in server.heads[1].lower()


async def test_a_compressed_answer_is_not_unpacked_past_the_size_cap(transport: AiohttpTransport) -> None:
    bomb = gzip.compress(b"0" * 5_000_000)
    async with fault_server(reply("200 OK", bomb, "Content-Encoding: gzip")) as server:
        answer = await transport.send(post(server.url))
    assert answer.body == bomb
    assert b"accept-encoding: identity" in server.heads[0].lower()


async def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(
    transport: AiohttpTransport, tmp_path: Path
) -> None:
    async with fault_server(reply("200 OK"), tls=self_signed(tmp_path)) as server:
        with pytest.raises(TransportError) as failure:
            await transport.send(post(f"https://127.0.0.1:{server.port}/"))
    assert failure.value.sent is False
    assert server.heads == []


async def test_a_header_that_can_not_be_written_does_not_escape_as_another_error(transport: AiohttpTransport) -> None:
    async with fault_server(reply("200 OK")) as server:
        with pytest.raises(TransportError):
            await transport.send(HttpRequest("GET", server.url, {"x-user-token": "a\r\nx-evil: 1"}))
    assert server.heads == []


async def test_each_call_is_reported_with_host_and_outcome_and_no_path() -> None:
    seen: list[tuple[str, str]] = []
    transport = AiohttpTransport(observe=lambda host, outcome, _seconds: seen.append((host, outcome)))
    async with fault_server(reply("404 Not Found")) as server:
        await transport.send(post(f"{server.url}/secret-key"))
        host = f"127.0.0.1:{server.port}"
    async with fault_server(silence) as mute:
        with pytest.raises(TransportError):
            await transport.send(post(mute.url, deadline_seconds=0.1))
    await transport.close()
    assert seen == [(host, "4xx"), (f"127.0.0.1:{mute.port}", "timeout")]


async def test_a_closed_transport_sends_nothing_and_closes_twice() -> None:
    transport = AiohttpTransport()
    await transport.close()
    await transport.close()
    with pytest.raises(TransportError) as failure:
        await transport.send(post("http://127.0.0.1:9/"))
    assert failure.value.sent is False


def test_a_request_does_not_show_its_credentials() -> None:
    assert "canary" not in repr(post("http://127.0.0.1/"))


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_both_gateways_speak_to_the_sandbox_over_real_sockets(transport: AiohttpTransport, world: World) -> None:
    machine, clock = Machine(), SystemClock()
    fronts = [Front(service, lambda: machine.now_ms, "127.0.0.1", 0) for service in (machine.service, world.circle)]
    for front in fronts:
        await front.start()
    stripe_url, circle_url = (f"http://127.0.0.1:{front.port}" for front in fronts)
    try:
        stripe = StripeGateway(transport, KEY, stripe_url, clock)
        circle = CircleGateway(transport, circle_url, API_KEY, SECRET, SystemIds(), clock, Rates())
        assert (await stripe.account()).id == machine.service.account_id
        made = await circle.create_wallet_set(UUID(int=1, version=4), "x")
        assert await circle.fetch_wallet_set(made.id) == made
    finally:
        for front in fronts:
            await front.stop()
