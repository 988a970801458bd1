"""The sandbox's Circle as a state machine: requests in, answers and webhooks out, driven by an injected clock."""

import random

from sandbox.circle_service import pin_page
from sandbox.circle_service.calls import Call, Reply
from sandbox.circle_service.chain import Chain
from sandbox.circle_service.control import PREFIX, Control
from sandbox.circle_service.custody import Custody
from sandbox.circle_service.entity import SECRET_BYTES, Entity, rsa_key
from sandbox.circle_service.errors import ApiError, no_such_route, rate_limited
from sandbox.circle_service.fields import Fields, Json, parse_json, parse_query
from sandbox.circle_service.limits import RateLimits
from sandbox.circle_service.routes import find
from sandbox.circle_service.settings import PACES, Limits, Pace, Switches
from sandbox.circle_service.wire import answer, new_id
from sandbox.faults import Faults
from sandbox.service import Clock, Delivery, Request, Response

RSA_BITS = 4096
"""The live key's size: its ciphertexts have 684 base64 characters (reference/circle.md, section 2)."""
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class CircleService:
    """Circle's W3S for one developer.

    All ids and wallet keys come from `rng`: a seed reproduces them, however often somebody polls. Only the entity's
    RSA key does not (give `rsa_pem` to keep it). `entity_secret` is 64 hex characters; None leaves it to be registered
    through the API.
    `limits` chooses both the request rates (`real`: the documented ones, 429 beyond) and the pace of transfers,
    unless `pace` is given.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        chain: Chain,
        api_keys: frozenset[str],
        entity_secret: str | None = None,
        blockchain: str = "SOL-DEVNET",
        limits: Limits = "fast",
        pace: Pace | None = None,
        switches: Switches | None = None,
        rsa_bits: int = RSA_BITS,
        rsa_pem: bytes | None = None,
    ) -> None:
        self._clock = clock
        self.limits: Limits = limits
        self.rates = RateLimits()
        self.faults = Faults(rng)
        self._request_ids = random.Random(rng.getrandbits(64))
        secret = None if entity_secret is None else bytes.fromhex(entity_secret)
        if secret is not None and len(secret) != SECRET_BYTES:
            raise ValueError("the entity secret has 32 bytes, 64 hex characters")
        entity = Entity(new_id(rng), api_keys, rsa_key(rsa_bits, rsa_pem), secret)
        self.custody = Custody(clock, rng, chain, blockchain, entity, pace or PACES[limits], switches or Switches())
        self._control = Control(self.custody, self.faults)

    def handle(self, request: Request) -> Response:
        if request.path.startswith(PREFIX):
            return self._private(request)
        if pin_page.serves(request):
            return pin_page.answer_pin(self.custody, request)
        return self.faults.apply(f"{request.method} {request.path}", lambda: self._public(request))

    def tick(self, now_ms: int) -> None:
        self.custody.tick(now_ms)

    def next_due_ms(self) -> int | None:
        return self.custody.next_due_ms()

    def take_deliveries(self) -> list[Delivery]:
        return self.custody.notifier.take_deliveries()

    def delivered(self, delivery_id: int, status: int | None) -> None:
        self.custody.notifier.delivered(delivery_id, status)

    def _public(self, request: Request) -> Response:
        try:
            response = self._answer(request)
        except ApiError as error:
            response = answer(error.status, error.body())
        request_id = request.headers.get("x-request-id") or new_id(self._request_ids)
        return Response(response.status, response.body, {**response.headers, "x-request-id": request_id})

    def _answer(self, request: Request) -> Response:
        if (request.method, request.path) == ("GET", "/ping"):
            return answer(200, {"message": "pong"})
        api_key = self.custody.entity.authorize(request.headers.get("authorization"))
        now = self._clock()
        if self.limits == "real" and not self.rates.allow(request.method, request.path, now):
            raise rate_limited()
        found = find(request.method, request.path)
        if found is None:
            raise no_such_route()
        route, params = found
        body: Json = parse_json(request.body) if request.method in BODY_METHODS else {}
        query = Fields(parse_query(request.query))
        call = Call(request.method, route.template, params, request.headers, query, api_key, body, Fields(body))
        return _wrapped(route.handler(self.custody, call))

    def _private(self, request: Request) -> Response:
        try:
            body = parse_json(request.body) if request.body else {}
            return answer(200, self._control.answer(request.method, request.path.removeprefix(PREFIX), body))
        except ApiError as error:
            return answer(error.status, error.body())


def _wrapped(reply: Reply) -> Response:
    return answer(reply.status, None if reply.data is None else {"data": reply.data})
