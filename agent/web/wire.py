"""An answer as the bytes of its message. aiohttp's own response makes every header anew for every answer, which costs
as much as all that the intake does with an event."""

import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

from agent.web.messages import WebResponse
from domain.errors import Misuse

SECURITY_HEADERS = {
    "Server": "agent",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADS_MAX = 256
"""Heads kept: a status with a content type, both from the registry's endpoints."""


class WireAnswer(web.StreamResponse):
    """What `WebFront` hands to aiohttp, which calls `prepare`, then `write_eof`, then looks at `keep_alive`."""

    def __init__(self, answer: WebResponse, request_id: str, *, close: bool) -> None:
        super().__init__(status=answer.status)
        self._answer, self._request_id = answer, request_id
        self._stays = not close
        self._message = b""
        self._to: AbstractStreamWriter | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection takes another request. A client of HTTP/1.0 connects anew for each."""
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._stays = self._stays and request.keep_alive and request.version == HttpVersion11
        self._message = message(
            self._answer, self._request_id, with_body=request.method != "HEAD", keep_alive=self._stays
        )
        self._to = request.writer
        return self._to

    async def write_eof(self, data: bytes = b"") -> None:
        """Hand the whole message to the socket at once; waits while the client reads too slowly."""
        if self._to is not None:
            await self._to.write_eof(self._message)


def message(answer: WebResponse, request_id: str, *, with_body: bool, keep_alive: bool) -> bytes:
    """The whole HTTP/1.1 message. Raises Misuse for a header that would begin another one."""
    kind = answer.content_type if answer.body else ""
    head = _make_head(answer.status, kind, answer.headers) if answer.headers else _common_head(answer.status, kind)
    length = f"Content-Length: {len(answer.body)}\r\n" if with_body and _may_have_body(answer.status) else ""
    close = "" if keep_alive else "Connection: close\r\n"
    tail = f"Date: {rfc822_formatted_time()}\r\nX-Request-Id: {request_id}\r\n{length}{close}\r\n"
    return b"".join((head, tail.encode("latin-1"), answer.body if length else b""))


@lru_cache(maxsize=_HEADS_MAX)
def _common_head(status: int, content_type: str) -> bytes:
    return _make_head(status, content_type, {})


def _make_head(status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
    """Status line and headers, without those that differ from answer to answer. An answer's own headers win."""
    fields = {**SECURITY_HEADERS, **headers}
    if content_type:
        fields["Content-Type"] = content_type
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    for name, value in fields.items():
        if _CONTROL.search(name) or _CONTROL.search(value):
            raise Misuse(f"the header {name!r} of an answer has a control character")
        lines.append(f"{name}: {value}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _may_have_body(status: int) -> bool:
    return status >= HTTPStatus.OK and status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
