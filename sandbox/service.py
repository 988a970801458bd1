"""What every sandbox service is: a plain state machine that answers requests and reacts to time.

A service opens no socket, reads no clock and draws no randomness of its own: `Clock` and `random.Random` are handed
in. So the same object serves the offline demo (behind `sandbox.front`), the tests and the simulator on a virtual clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Clock = Callable[[], int]
"""Unix time in milliseconds."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it came in. `headers` has lower-case names; `query` is the raw string after `?`."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer. `delay_ms` holds it back; `cut` drops the connection instead of sending it (a lost answer);
    `cut_after` sends only that many bytes of the body and then drops the connection."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_ms: int = 0
    cut: bool = False
    cut_after: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An outgoing webhook that the service wants sent now. The sender answers with `Service.delivered(id, status)`."""

    id: int
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Service(Protocol):
    """The shape of Stripe, Circle and the Solana node in the sandbox."""

    def handle(self, request: Request) -> Response:
        """Answer one request. Never raises for bad input: that is a 4xx in the service's own error format."""
        ...

    def tick(self, now_ms: int) -> None:
        """Do everything that is due by `now_ms`. Calling it twice with the same time changes nothing more."""
        ...

    def next_due_ms(self) -> int | None:
        """When `tick` has something to do next; None while only requests can change the state."""
        ...

    def take_deliveries(self) -> list[Delivery]:
        """Hand over the webhooks that are due; each is handed over once per try."""
        ...

    def delivered(self, delivery_id: int, status: int | None) -> None:
        """Tell the outcome of one delivery: the HTTP status, or None when nobody answered."""
        ...
