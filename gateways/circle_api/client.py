"""One request to Circle: turn, headers, ciphertext, answer, errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from domain.errors import (
    AccessRefused,
    KeyRefused,
    KeySpent,
    Misuse,
    OutcomeUnknown,
    PaymentSystemError,
    Rejected,
    Retryable,
)
from gateways.answers import Json, ShapeError, integer, mapping, parse_object, text
from gateways.border import garbled, held_up, no_answer, one_line, retry_after_seconds
from gateways.circle_api.cipher import EntityCipher
from gateways.circle_api.error_codes import (
    ENTITY_SECRET_INVALID,
    IDEMPOTENCY_KEY_USED,
    PUBLIC_KEY_PATH,
    W3S,
    ErrorCodes,
    Verdict,
)
from gateways.circle_api.rates import CallClass, Rates, build_paces
from gateways.key_guard import KeyGuard
from ports.clock import Clock, SendWindow
from ports.ids import Ids
from ports.transport import HttpRequest, HttpResponse, Transport, TransportError

DEADLINE_SECONDS = 30.0
HOLD_SECONDS = 1.0
"""Pause of a class after a 429 without Retry-After: Circle counts by the second."""
_ACCESS_STATUSES = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Call:
    """`has_effect`: whether it changes anything at Circle, so that a lost answer leaves the outcome unknown.
    `takes_secret`: whether the body carries a ciphertext of the entity secret. `favoured`: the reserved lane. `window`:
    when it is over, the call is not sent any more (Retryable). `asks_for_key`: it is sent though the key is refused.
    `for_platform`: it uses the platform wallet, so that a wallet or token that is refused is so for all such calls."""

    name: str
    method: str
    path: str
    rate: CallClass
    query: Mapping[str, str] = field(default_factory=dict)
    body: Json | None = field(default=None, repr=False)
    user_token: str | None = field(default=None, repr=False)
    has_effect: bool = False
    takes_secret: bool = False
    favoured: bool = False
    window: SendWindow | None = None
    asks_for_key: bool = False
    for_platform: bool = False


def read_call(name: str, path: str, query: Mapping[str, str] | None = None, user_token: str | None = None) -> Call:
    return Call(name, "GET", path, CallClass.READ, query=query or {}, user_token=user_token)


class CircleRefusal(Exception):
    """An answer in Circle's error format, before it is judged. Stays in this room."""

    def __init__(self, status: int, code: int, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


class CircleClient:
    """Sends calls at Circle's rates and translates every failure.

    Each call is tried once, but for one case: when Circle can't decrypt the entity secret, the public key is fetched
    anew and the call is sent again; nothing had happened. While the key is refused none is sent (`key`).
    """

    def __init__(
        self,
        transport: Transport,
        api_base: str,
        api_key: str,
        entity_secret: str | None,
        ids: Ids,
        clock: Clock,
        rates: Rates,
        deadline_seconds: float,
        codes: ErrorCodes = W3S,
    ) -> None:
        """`entity_secret` None: a service of Circle's that takes none."""
        self._transport = transport
        self._base = api_base.rstrip("/")
        self._api_key = api_key
        self._ids = ids
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._paces = build_paces(rates, clock)
        self._cipher = None if entity_secret is None else EntityCipher(entity_secret, self._fetch_public_key)
        self._codes = codes
        self.key = KeyGuard(codes.service, self._ask_for_key)

    def __repr__(self) -> str:
        return f"CircleClient({self._base!r}, api_key='***')"

    async def data(self, call: Call) -> Json:
        """The `data` object of the answer. Raises Retryable, OutcomeUnknown, Rejected."""
        answer = await self.answer(call)
        try:
            return mapping(answer, "data")
        except ShapeError as error:
            raise self.garbled(call, error) from error

    async def answer(self, call: Call) -> Json:
        """The whole answer. Raises Retryable, OutcomeUnknown, Rejected."""
        try:
            return await self.try_call(call)
        except CircleRefusal as refusal:
            raise self.judge(call, refusal) from None

    async def try_call(self, call: Call) -> Json:
        """As `answer`, but a refusal comes out as it is, for calls to which some refusals are an answer."""
        try:
            return await self._send(call)
        except CircleRefusal as refusal:
            if refusal.code != ENTITY_SECRET_INVALID or not call.takes_secret or self._cipher is None:
                raise
        self._cipher.forget_key()
        return await self._send(call)

    def judge(self, call: Call, refusal: CircleRefusal) -> PaymentSystemError:
        """What a refusal means for the caller."""
        code, known = refusal.code, self._codes.verdicts
        message = f"{self._named(call)}: {one_line(refusal.message)} (HTTP {refusal.status}, code {code})"
        verdict = known[code][0] if code in known else None
        of_key = refusal.status == 401 and (call.user_token is None or code in self._codes.account_wide)
        access = KeyRefused if of_key else AccessRefused
        if refusal.status == 429 or verdict is Verdict.LATER:
            return Retryable(message, retry_after_seconds(refusal.headers, self._clock.now()))
        if verdict is not None and refusal.status < 500:
            for_all = code in self._codes.account_wide or (call.for_platform and verdict is Verdict.ACCESS)
            return (access if for_all else Rejected)(str(code), message)
        # 156020 comes as 403 and yet tells of an effect, not of a right.
        if refusal.status in _ACCESS_STATUSES and code != IDEMPOTENCY_KEY_USED:
            return access(str(refusal.status), message)
        if call.has_effect:
            return KeySpent(message) if code == IDEMPOTENCY_KEY_USED else OutcomeUnknown(message)
        return Retryable(message, retry_after_seconds(refusal.headers, self._clock.now()))

    def garbled(self, call: Call, error: ShapeError) -> PaymentSystemError:
        return garbled(str(error), self._named(call), has_effect=call.has_effect)

    def _named(self, call: Call) -> str:
        return f"{self._codes.service}: {call.name}"

    async def _send(self, call: Call) -> Json:
        self._require_key(call)
        body = await self._body(call)
        pace = self._paces[call.rate]
        await pace.turn(favoured=call.favoured)
        self._require_key(call)
        if call.window is not None and call.window.is_over:
            raise held_up(self._named(call))
        try:
            response = await self._transport.send(self._request(call, body))
        except TransportError as error:
            raise no_answer(error, self._named(call), has_effect=call.has_effect) from error
        if response.status == 429:
            pace.hold(retry_after_seconds(response.headers, self._clock.now()) or HOLD_SECONDS)
        try:
            return self._read(call, response)
        except CircleRefusal as refusal:
            meant = self.judge(call, refusal)
            if isinstance(meant, KeyRefused):
                self.key.refuse(meant)
            raise

    def _require_key(self, call: Call) -> None:
        if not call.asks_for_key:
            self.key.require(self._named(call))

    async def _ask_for_key(self) -> None:
        await self.answer(replace(read_call("ask for our key", self._codes.asked_for_key), asks_for_key=True))

    def _read(self, call: Call, response: HttpResponse) -> Json:
        try:
            answer = parse_object(response.body)
            if 200 <= response.status < 300:
                return answer
            code = integer(answer, "code")
        except ShapeError as error:
            if response.status == 429:
                raise CircleRefusal(429, 5, "rate limit", response.headers) from None
            reason = ShapeError(f"{error}, HTTP {response.status}")
            raise self.garbled(call, reason) from error
        raise CircleRefusal(response.status, code, _message(answer), response.headers)

    def _request(self, call: Call, body: bytes) -> HttpRequest:
        headers = {
            "authorization": f"Bearer {self._api_key}",
            "accept": "application/json",
            "x-request-id": str(self._ids.uuid()),
        }
        if body:
            headers["content-type"] = "application/json"
        if call.user_token is not None:
            headers["x-user-token"] = call.user_token
        query = f"?{urlencode(call.query)}" if call.query else ""
        return HttpRequest(call.method, f"{self._base}{call.path}{query}", headers, body, self._deadline_seconds)

    async def _body(self, call: Call) -> bytes:
        if call.body is None:
            return b""
        if not call.takes_secret:
            return orjson.dumps(call.body)
        if self._cipher is None:
            raise Misuse(f"{self._named(call)}: takes a secret, and there is none")
        try:
            ciphertext = await self._cipher.ciphertext()
        except ShapeError as error:
            # Nothing of this call has left yet.
            raise garbled(str(error), self._named(call), has_effect=False) from error
        return orjson.dumps({**call.body, "entitySecretCiphertext": ciphertext})

    async def _fetch_public_key(self) -> str:
        return text(await self.data(read_call("fetch entity public key", PUBLIC_KEY_PATH)), "publicKey")


def path_part(value: str) -> str:
    """One segment of a path: an id from outside must not become another path."""
    return quote(value, safe="")


def _message(answer: dict[str, Any]) -> str:
    """Circle's message with the names of the bad fields; never their values, which may be secret."""
    message, errors = answer.get("message"), answer.get("errors")
    shown = message if isinstance(message, str) else "no message"
    entries = errors if isinstance(errors, list) else []
    fields = [str(entry.get("location")) for entry in entries if isinstance(entry, dict)]
    return f"{shown} [{', '.join(fields)}]" if fields else shown
