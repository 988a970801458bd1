"""The sandbox's Circle Mint as a state machine: requests in, answers out, driven by an injected clock."""

import random
from uuid import UUID

from sandbox.circle_service.chain import Chain
from sandbox.circle_service.errors import ApiError, malformed_authorization, unknown_credentials
from sandbox.circle_service.fields import Fields, parse_json, parse_query
from sandbox.circle_service.idempotency import Replays
from sandbox.circle_service.wire import answer
from sandbox.faults import Faults
from sandbox.mint_service.api import Account, Call, find, not_found
from sandbox.mint_service.books import Books, Switches
from sandbox.mint_service.control import Control
from sandbox.mint_service.sending import Sending
from sandbox.service import Clock, Delivery, Request, Response

PREFIX = "/_sandbox/"
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class MintService:
    """One business account at Circle Mint. All ids come from `rng`: a seed reproduces them.

    No rate limit is documented for Circle Mint (reference/circle.md, section 10): a fault rule answers 429 where a
    test wants one. Webhooks (Amazon SNS) are not sent: the daemon polls.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        chain: Chain,
        api_keys: frozenset[str],
        switches: Switches | None = None,
    ) -> None:
        self.api_keys = api_keys
        """May be exchanged at any time, as a person does in Circle's console."""
        self._request_ids = random.Random(rng.getrandbits(64))
        self.faults = Faults(random.Random(rng.getrandbits(64)))
        self.books = Books(clock, random.Random(rng.getrandbits(64)), switches or Switches())
        self._sending = Sending(self.books, random.Random(rng.getrandbits(64)), chain)
        self.replays = Replays()
        self._account = Account(self.books, self._sending, self.replays)
        self._control = Control(self._account, self.faults)

    def handle(self, request: Request) -> Response:
        if request.path.startswith(PREFIX):
            return self._private(request)
        return self.faults.apply(f"{request.method} {request.path}", lambda: self._public(request))

    def tick(self, now_ms: int) -> None:
        self._sending.tick(now_ms)

    def next_due_ms(self) -> int | None:
        return self._sending.next_due_ms()

    def take_deliveries(self) -> list[Delivery]:
        return []

    def delivered(self, delivery_id: int, status: int | None) -> None:
        """Nothing is delivered."""

    def _public(self, request: Request) -> Response:
        try:
            response = self._answer(request)
        except ApiError as error:
            response = answer(error.status, error.body())
        made = str(UUID(bytes=self._request_ids.randbytes(16), version=4))
        request_id = request.headers.get("x-request-id") or made
        return Response(response.status, response.body, {**response.headers, "x-request-id": request_id})

    def _answer(self, request: Request) -> Response:
        if (request.method, request.path) == ("GET", "/ping"):
            return answer(200, {"message": "pong"})
        self._authorize(request.headers.get("authorization"))
        found = find(request.method, request.path)
        if found is None:
            raise not_found()
        route, params = found
        body = parse_json(request.body) if request.method in BODY_METHODS else {}
        status, data = route.handler(self._account, Call(params, Fields(parse_query(request.query)), body))
        return answer(status, {"data": data})

    def _authorize(self, header: str | None) -> None:
        scheme, _, key = (header or "").partition(" ")
        if scheme != "Bearer" or not key.strip():
            raise malformed_authorization()
        if key.strip() not in self.api_keys:
            raise unknown_credentials()

    def _private(self, request: Request) -> Response:
        try:
            body = parse_json(request.body) if request.body else {}
            return answer(200, self._control.answer(request.method, request.path.removeprefix(PREFIX), body))
        except ApiError as error:
            return answer(error.status, error.body())
