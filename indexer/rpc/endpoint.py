"""One RPC endpoint: its rate, its health, and one call."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from domain.foreign_text import kept
from indexer.rpc.errors import (
    BLOCK_CLEANED_UP,
    BLOCK_NOT_AVAILABLE,
    INVALID_PARAMS,
    MIN_CONTEXT_SLOT_NOT_REACHED,
    SIGNATURE_FAILURE,
    SIMULATION_FAILED,
    EndpointError,
    RpcRefusal,
)
from indexer.rpc.values import EndpointHealth
from ports.clock import Clock
from ports.times import retry_after
from ports.transport import HttpRequest, Transport, TransportError

Observe = Callable[[str, str, float, str], None]
"""Told of each call: endpoint's label, method, seconds, outcome (`ok`, `refused`, `limited`, `error`)."""

BURST_CALLS = 20
"""Calls that may go out at once before the rate bound spaces them: a poll of 5,000 signatures."""
FIRST_REST_SECONDS = 0.5
LONGEST_REST_SECONDS = 30.0
"""After an error an endpoint rests, twice as long each time in a row; resting ones are asked last, not never."""
LIMITED_REST_SECONDS = 2.0
"""After a 429 without Retry-After."""
LAG_SLOTS_MOST = 50
"""Further behind, an endpoint is asked only when the others fail: ten seconds of slots, where healthy ones keep within
two or three."""
ERRORS_MOST = 3
"""So many errors in a row and it counts as unwell until it answers again."""
MESSAGE_CHARS = 300
_AVERAGE_WEIGHT = 0.1
"""Of the newest call in the moving averages of latency and errors: they follow the last ten or so."""
_NO_FAULT = frozenset(
    {
        BLOCK_CLEANED_UP,
        SIMULATION_FAILED,
        SIGNATURE_FAILURE,
        BLOCK_NOT_AVAILABLE,
        MIN_CONTEXT_SLOT_NOT_REACHED,
        INVALID_PARAMS,
    }
)
"""JSON-RPC errors that say something about the question, not that the endpoint is ill."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot that was not believed, and when it was shown (monotonic)."""

    slot: int
    at: float


class Endpoint:
    """`label` names it in logs and metrics; the URL may hold an API key and is never shown."""

    def __init__(
        self,
        number: int,
        url: str,
        transport: Transport,
        clock: Clock,
        *,
        weight: int,
        requests_per_second: float,
        deadline_seconds: float,
        observe: Observe,
    ) -> None:
        self.name = f"rpc{number}"
        self.label = f"{self.name} ({urlsplit(url).hostname})"
        self.weight = weight
        self.finalized_slot, self.finalized_at = 0, clock.monotonic()
        """The highest it has shown, and when."""
        self.lag_slots = 0
        """Finalized slots behind the newest that any endpoint showed, when all were last asked together."""
        self.claim: Claim | None = None
        """The slot it has shown last is one where the chain can't be."""
        self.excluded = ""
        """Why it is not asked at all: it is on another cluster."""
        self._url, self._transport, self._clock, self._observe = url, transport, clock, observe
        self._interval = 1.0 / requests_per_second
        self._deadline = deadline_seconds
        self._full_at = clock.monotonic()
        self._resting_until = clock.monotonic()
        self._calls = self._errors = self._errors_in_a_row = 0
        self._latency = self._error_rate = 0.0

    @property
    def is_lagging(self) -> bool:
        return self.lag_slots > LAG_SLOTS_MOST

    @property
    def is_well(self) -> bool:
        """Whether its answers count at present."""
        is_trusted = not self.excluded and self.claim is None
        return is_trusted and not self.is_lagging and self._errors_in_a_row < ERRORS_MOST

    def rests_for(self) -> float:
        """Seconds until it should be asked again; 0 when it is well."""
        return max(0.0, self._resting_until - self._clock.monotonic())

    def waits_for(self) -> float:
        """Seconds until all that it was asked has gone out at its rate: the less, the sooner it can be asked more."""
        return max(0.0, self._full_at - self._clock.monotonic())

    def health(self) -> EndpointHealth:
        return EndpointHealth(
            label=self.label,
            weight=self.weight,
            calls=self._calls,
            errors=self._errors,
            errors_in_a_row=self._errors_in_a_row,
            error_rate=self._error_rate,
            latency_seconds=self._latency,
            finalized_slot=self.finalized_slot,
            lag_slots=self.lag_slots,
            is_well=self.is_well,
            excluded=self.excluded,
        )

    async def call(self, method: str, params: list[object]) -> object:
        """The `result` of one call. Raises EndpointError, RpcRefusal."""
        await self._admit()
        self._calls += 1
        begun = self._clock.monotonic()
        try:
            result = await self._post(method, params)
        except RpcRefusal as refusal:
            self._done(method, begun, "refused", blame=refusal.code not in _NO_FAULT)
            raise
        except EndpointError as error:
            limited = error.retry_after_seconds is not None
            self._done(method, begun, "limited" if limited else "error", blame=True)
            if error.retry_after_seconds is not None:
                self._rest(error.retry_after_seconds)
            raise
        self._done(method, begun, "ok", blame=False)
        return result

    def blame(self) -> None:
        """Its answer turned out to be garbage or older than what it knew before."""
        self._errors += 1
        self._errors_in_a_row += 1
        self._rest(min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2.0 ** min(self._errors_in_a_row - 1, 10)))

    def doubt(self, claim: Claim) -> None:
        """It shows a slot where the chain can't be: it counts for nothing until it shows another one."""
        self.claim = claim
        self.blame()

    async def _admit(self) -> None:
        """Wait for this endpoint's rate; refuse rather than wait longer than a call may take."""
        now = self._clock.monotonic()
        wait = max(self._full_at, now) - now - (BURST_CALLS - 1) * self._interval
        if wait > self._deadline:
            raise EndpointError(f"{self.label}: its rate bound is used up", reached=False)
        self._full_at = max(self._full_at, now) + self._interval
        if wait > 0:
            await self._clock.sleep(wait)

    async def _post(self, method: str, params: list[object]) -> object:
        number = self._calls
        body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        request = HttpRequest("POST", self._url, {"content-type": "application/json"}, body, self._deadline)
        try:
            response = await self._transport.send(request)
        except TransportError as error:
            raise EndpointError(f"{self.label}: no answer to {method}: {error}", reached=error.sent) from error
        if response.status == 429:
            asked = retry_after(response.headers, self._clock.now(), LONGEST_REST_SECONDS)
            rest = LIMITED_REST_SECONDS if asked is None else asked
            raise EndpointError(f"{self.label}: too many requests", reached=False, retry_after_seconds=rest)
        if response.status != 200:
            raise EndpointError(f"{self.label}: {method} was answered with HTTP {response.status}")
        return self._result(method, number, response.body)

    def _result(self, method: str, number: int, body: bytes) -> object:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise EndpointError(f"{self.label}: {method} was answered with something that is not JSON") from error
        if not isinstance(answer, dict) or answer.get("id") != number or ("error" in answer) == ("result" in answer):
            raise EndpointError(f"{self.label}: {method} was answered with something that is not JSON-RPC")
        if "result" in answer:
            return answer["result"]
        refusal = answer["error"]
        code = refusal.get("code") if isinstance(refusal, dict) else None
        if not isinstance(code, int):
            raise EndpointError(f"{self.label}: {method} was answered with an error of no known shape")
        text = kept(str(refusal.get("message")), MESSAGE_CHARS)
        raise RpcRefusal(f"{self.label}: {method}: {text} ({code})", code, refusal.get("data"))

    def _done(self, method: str, begun: float, outcome: str, *, blame: bool) -> None:
        seconds = self._clock.monotonic() - begun
        self._latency += (seconds - self._latency) * (_AVERAGE_WEIGHT if self._latency else 1.0)
        self._error_rate += (float(blame) - self._error_rate) * _AVERAGE_WEIGHT
        self._observe(self.label, method, seconds, outcome)
        if blame:
            self.blame()
        else:
            self._errors_in_a_row = 0

    def _rest(self, seconds: float) -> None:
        self._resting_until = max(self._resting_until, self._clock.monotonic() + seconds)
