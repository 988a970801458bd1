"""What no well-meaning client sends: each a clear 4xx in the one shape, never a 500, and nothing stored."""

import asyncio
import gzip
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from agent.web.front import FrontLimits
from storage import tables
from storage.engines.sqlite import SqliteStore
from tests.web.shop import PATIENT, Shop, opened

SIGN_UP = "/api/auth/signup/"
PASSES = {"password": "long enough", "invite_code": "x"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b'{"email": "\xed\xa0\x80"}',
        b'{"email": "a", "email": "b"}',
        b'{"price": NaN}',
        b'{"price": -Infinity}',
        b'{"a":' * 50_000,
        b'{"n": ' + b"9" * 5_000 + b"}",
        b"{'email': 1}",
        b'{"email": "a"} {}',
    ],
)
async def test_broken_json_is_a_400(shop: Shop, raw: bytes) -> None:
    answer = await shop.send("POST", SIGN_UP, raw=raw)
    assert (answer.status, answer.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"{}",
        b'{"email": "\\ud800@example.com", "password": "long enough", "invite_code": "x"}',
        b'{"email": "a@example.com", "password": "long enough \\ud800", "invite_code": "x"}',
        b'{"email": "a@example.com", "password": "long enough", "invite_code": "\\u0000"}',
        b'{"\\ud800": 1}',
    ],
)
async def test_json_that_does_not_fit_is_a_422(shop: Shop, raw: bytes) -> None:
    answer = await shop.send("POST", SIGN_UP, raw=raw)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert await shop.rows(tables.users) == 0


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/api/content", "; there is something at /api/content/"),
        ("/api/content/7", "; there is something at /api/content/7/"),
        ("/library/", "; there is something at /library"),
        ("/api/contents", ""),
        ("/api/content//", "; there is something at /api/content/"),
        ("/<b>", ""),
    ],
)
async def test_a_path_that_lacks_its_slash_or_has_one_too_many_is_a_404_that_says_so(
    shop: Shop, path: str, hint: str
) -> None:
    answer = await shop.send("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")
    assert answer.body["error"]["message"] == f"there is nothing here{hint}"


async def test_a_field_that_there_is_none_of_is_named_in_plain_words(shop: Shop) -> None:
    answer = await shop.send("POST", SIGN_UP, {"email": "a@example.com", "nickname": "ada"} | PASSES)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.body["error"]["message"] == "nickname: there is no such field here"


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_a_body_that_is_not_called_json_is_a_415(shop: Shop, content_type: str) -> None:
    answer = await shop.send("POST", SIGN_UP, raw=b"{}", headers={"Content-Type": content_type})
    assert (answer.status, answer.code) == (415, "content_type_unsupported")


async def test_a_body_over_the_limit_is_a_413_by_its_length_and_in_chunks(shop: Shop) -> None:
    whole = b"x" * (256 * 1024 + 1)
    answer = await shop.send("POST", SIGN_UP, raw=whole)
    assert (answer.status, answer.code) == (413, "body_too_large")
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.public.port)
    writer.write(f"POST {SIGN_UP} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    for _ in range(5):
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 60)
    writer.close()


async def test_a_gzip_bomb_is_a_415_and_is_never_unpacked(shop: Shop) -> None:
    bomb = gzip.compress(b"0" * 20_000_000)
    answer = await shop.send("POST", SIGN_UP, raw=bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "encoding_unsupported")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/console/", 404),
        ("GET", "/api/content", 404),
        ("GET", "/api/content/0/", 404),
        ("GET", "/api/content/01/", 404),
        ("GET", "/api/content/-1/", 404),
        ("GET", "/api/content/9999999999999999999/", 404),
        ("GET", "/api/content/999999999999999999/", 404),
        ("GET", "/api/content/１/", 404),
        ("GET", "/api/content/1'--/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("DELETE", "/api/content/", 405),
        ("OPTIONS", "/api/content/", 405),
        ("GET", "/api/auth/login/", 405),
        ("PUT", "/api/content/1/", 405),
        ("GET", "/api/checkout/webhook/", 405),
    ],
)
async def test_what_is_not_in_the_registry_is_a_404_or_405(shop: Shop, method: str, path: str, status: int) -> None:
    answer = await shop.send(method, path)
    assert answer.status == status
    assert answer.code in {"not_found", "method_not_allowed"}
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=１", "before=-1", "before=1e3", "page=2"])
async def test_a_wrong_query_is_a_422(shop: Shop, query: str) -> None:
    answer = await shop.send("GET", f"/api/content/?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")


async def test_every_answer_carries_the_security_headers_and_an_id_of_its_own(shop: Shop) -> None:
    answers = [await shop.send("GET", path) for path in ("/healthz", "/nothing", "/api/profile/", "/checkout/cancel")]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Python" not in answer.headers["Server"]
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


def limited(store: SqliteStore, limits: FrontLimits) -> AbstractAsyncContextManager[Shop]:
    shop = Shop(store)
    shop.limits = limits
    return opened(shop)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything that still comes until the other side closes."""
    return await asyncio.wait_for(reader.read(), 60)


async def test_a_connection_that_says_nothing_or_half_a_header_is_dropped(sqlite_store: SqliteStore) -> None:
    async with limited(sqlite_store, replace(PATIENT, header_seconds=0.3)) as shop:
        for said in (b"", b"POST /api/checkout/webhook/ HTTP/1.1\r\nHost: x\r\nX-Half"):
            reader, writer = await asyncio.open_connection("127.0.0.1", shop.public.port)
            writer.write(said)
            try:
                assert await ended(reader) == b""
            except ConnectionResetError:
                pass
            writer.close()


async def test_a_body_that_drips_is_a_408(sqlite_store: SqliteStore) -> None:
    async with limited(sqlite_store, replace(PATIENT, body_seconds=0.3)) as shop:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.public.port)
        writer.write(b"POST /api/checkout/webhook/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 60)
        writer.close()


async def test_a_store_function_that_breaks_is_a_generic_500_without_a_word_of_why(shop: Shop) -> None:
    shop.circle.user_token = None  # type: ignore[assignment,method-assign]
    user_id, token = await shop.member()
    await shop.store.write(
        lambda conn: conn.execute(
            tables.users.update()
            .where(tables.users.c.id == user_id)
            .values(wallet_state="challenge", wallet_challenge_id="c")
        )
    )
    answer = await shop.send("GET", "/api/wallet/setup/", token=token)
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "NoneType" not in str(answer.body)
