"""What can only be judged while it happens: the answers that clients get, and what a request left behind.

I13: an operator's act that was answered is counted, for the audit log to show. I14: no secret is told. I16: what was
refused changed nothing.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from simulator.checker.records import Sent

BATCHES = "/admin/api/batches"
_CHANGED: ContextVar[list[int] | None] = ContextVar("rows changed by the request under way", default=None)


class Scrutiny:
    """`found` is told every broken invariant in words; `secrets` may stand in no answer."""

    def __init__(self, found: Callable[[str], None], sent: Sent, secrets: Iterable[str]) -> None:
        self._found, self._sent = found, sent
        self._secrets = tuple(secret.encode() for secret in secrets)

    def committed(self, changed: int) -> None:
        """A transaction of whatever runs now changed so many rows."""
        rows = _CHANGED.get()
        if rows is not None:
            rows.append(changed)

    @contextmanager
    def request(self) -> Iterator[list[int]]:
        """While a request is served: what each of its own transactions changed."""
        rows: list[int] = []
        token = _CHANGED.set(rows)
        try:
            yield rows
        finally:
            _CHANGED.reset(token)

    def judge(self, request: str, method: str, target: str, answer: tuple[int, bytes], rows: list[int]) -> None:
        """`request` is the id under which the daemon knows it."""
        status, body = answer
        if status == 500:
            self._found(f"{method} {target} was answered 500: {body[:200]!r}")
        if 400 <= status < 500 and any(rows):
            self._found(f"I16: {method} {target} was refused with {status} and changed {sum(rows)} rows")
        if any(secret in body for secret in self._secrets):
            self._found(f"I14: the answer to {method} {target} tells a secret")
        if method == "POST" and target.startswith("/admin/api/") and status < 300 and any(rows):
            if target != BATCHES or json.loads(body).get("batch"):  # else there was nothing to plan
                self._sent.acts[request] = f"{method} {target}"

    def tells(self, text: str) -> bool:
        """Whether a secret stands in it."""
        return any(secret.decode() in text for secret in self._secrets)
