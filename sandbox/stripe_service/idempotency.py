"""Idempotency keys of POST requests: the first result is kept 24 hours and replayed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sandbox.service import Clock, Response
from sandbox.stripe_service.errors import ApiError
from sandbox.stripe_service.timing import DAY_MS

KEPT_MS = DAY_MS
KEY_CHARS_MAX = 255


@dataclass(frozen=True, slots=True)
class Kept:
    fingerprint: str
    at_ms: int
    response: Response
    request_id: str


class IdempotencyKeys:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, Kept] = {}

    def run(self, key: str, fingerprint: str, request_id: str, execute: Callable[[], Response]) -> Response:
        """The kept answer of `key`, or that of `execute`. An `ApiError` out of `execute` is kept only if it is `saved`.

        Raises `ApiError` idempotency_error when the key comes with another path or other parameters."""
        self._forget_old()
        if len(key) > KEY_CHARS_MAX:
            raise ApiError(400, f"Idempotency keys may have at most {KEY_CHARS_MAX} characters.", saved=False)
        kept = self._kept.get(key)
        if kept is None:
            return self._first(key, fingerprint, request_id, execute)
        if kept.fingerprint != fingerprint:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request."
            )
            raise ApiError(400, message, type_="idempotency_error", saved=False)
        marks = {"idempotent-replayed": "true", "original-request": kept.request_id}
        return replace(kept.response, headers={**kept.response.headers, **marks})

    def _first(self, key: str, fingerprint: str, request_id: str, execute: Callable[[], Response]) -> Response:
        try:
            response = execute()
        except ApiError as error:
            if not error.saved:
                raise
            response = Response(error.status, error.body(), {"content-type": "application/json"})
        self._kept[key] = Kept(fingerprint, self._clock(), response, request_id)
        return response

    def _forget_old(self) -> None:
        """Keys are in order of their first use, so the old ones stand in front."""
        limit = self._clock() - KEPT_MS
        old = []
        for key, kept in self._kept.items():
            if kept.at_ms > limit:
                break
            old.append(key)
        for key in old:
            del self._kept[key]
