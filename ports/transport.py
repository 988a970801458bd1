"""Outgoing HTTP as a port: method, url, headers, body in; status, headers, body out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`deadline_seconds` bounds the whole call: connecting, sending, waiting and reading the body.

    Headers carry keys, and bodies may, so that neither shows in a repr.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    deadline_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """`headers` has lower-case names. Redirects are not followed: a 3xx is an answer like any other."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No whole answer came. `sent` is False only if surely no byte of the request left: then nothing happened there.

    Everything else (a reset, a deadline, a cut body) may have taken effect.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Transport(Protocol):
    async def send(self, request: HttpRequest) -> HttpResponse:
        """Raises TransportError. Never retries: whether a call may be repeated is the caller's knowledge."""
        ...

    async def close(self) -> None: ...
