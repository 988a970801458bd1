"""Answers on the wire: read from a plain socket, without a client that would mend them."""

import asyncio

import pytest

from agent.web.messages import WebResponse
from agent.web.wire import message
from domain.errors import Misuse
from tests.web.shop import Shop


async def _say(shop: Shop, *requests: bytes) -> bytes:
    """Everything that comes back over one connection until the server closes it, or stops speaking."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.public.port)
    received = b""
    for request in requests:
        writer.write(request)
        received += await reader.readuntil(b"\r\n\r\n")
        _, _, length = received.lower().rpartition(b"content-length: ")
        if request.startswith(b"GET"):
            received += await reader.readexactly(int(length.split(b"\r\n")[0]))
    try:
        async with asyncio.timeout(60):
            if b"Connection: close" in received:
                received += await reader.read()
    finally:
        writer.close()
    return received


async def test_a_connection_takes_one_request_after_the_other(shop: Shop) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    received = await _say(shop, request, request)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.count(b"\r\nDate: ") == 2
    assert b"Connection: close" not in received


@pytest.mark.parametrize(
    "request_head",
    [
        pytest.param(b"GET /healthz HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", id="asked to close"),
    ],
)
async def test_a_client_that_does_not_stay_is_told_and_the_connection_closed(shop: Shop, request_head: bytes) -> None:
    received = await _say(shop, request_head)
    assert b"Connection: close\r\n" in received


async def test_an_answer_to_head_has_neither_body_nor_length(shop: Shop) -> None:
    received = await _say(shop, b"HEAD /api/circle/webhook/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in received


def test_an_answer_without_content_has_no_length() -> None:
    sent = message(WebResponse(204), "r-1", with_body=True, keep_alive=True)
    assert sent.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"Content-Length" not in sent
    assert b"\r\nContent-Type: " not in sent


def test_an_empty_body_has_the_length_zero() -> None:
    sent = message(WebResponse(303, headers={"Location": "/a"}), "r-1", with_body=True, keep_alive=True)
    assert b"\r\nLocation: /a\r\n" in sent
    assert b"\r\nContent-Length: 0\r\n" in sent


def test_an_answers_own_headers_replace_the_common_ones() -> None:
    sent = message(WebResponse(200, b"x", headers={"Cache-Control": "public"}), "r", with_body=True, keep_alive=True)
    assert sent.count(b"Cache-Control") == 1
    assert b"\r\nCache-Control: public\r\n" in sent


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=c", "a\nb", "a\0b"])
def test_a_header_that_would_begin_another_one_is_never_sent(value: str) -> None:
    with pytest.raises(Misuse):
        message(WebResponse(303, headers={"Location": value}), "r-1", with_body=True, keep_alive=True)
