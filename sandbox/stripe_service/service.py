"""The sandbox's Stripe as one state machine: API, pay page, controls, webhooks."""

import random
from collections.abc import Mapping
from dataclasses import replace

from sandbox.faults import Faults
from sandbox.service import Clock, Delivery, Request, Response
from sandbox.stripe_service.access import Keys
from sandbox.stripe_service.api import JSON_HEADERS, Api, with_envelope
from sandbox.stripe_service.control_api import ControlApi
from sandbox.stripe_service.controls import Controls
from sandbox.stripe_service.errors import default_body
from sandbox.stripe_service.ids import Ids
from sandbox.stripe_service.limits import RateLimits
from sandbox.stripe_service.pay_page import PayPage
from sandbox.stripe_service.timing import REALISTIC, Timing
from sandbox.stripe_service.world import World


class StripeService:
    """`secret_keys` may do everything, `restricted_keys` (`rk_…` → resource → "read" | "write") what they name.

    `public_url` is where the pay page is reached, without a slash at the end; set it again once the port is known.
    The same seed, clock and order of calls give the same ids.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        *,
        secret_keys: tuple[str, ...],
        restricted_keys: Mapping[str, Mapping[str, str]] | None = None,
        publishable_key: str = "pk_test_sandbox",
        public_url: str = "https://checkout.stripe.com",
        timing: Timing = REALISTIC,
        livemode: bool = False,
    ) -> None:
        """`limits` set on it later: the documented request rates, 429 beyond."""
        self._clock = clock
        self.limits: RateLimits | None = None
        self._world = World(clock, rng, timing, livemode, publishable_key, public_url)
        self._request_ids = Ids(random.Random(rng.getrandbits(64)))
        self.faults = Faults(random.Random(rng.getrandbits(64)))
        inner_faults = Faults(random.Random(rng.getrandbits(64)))
        self.controls = Controls(self._world, self.faults, inner_faults)
        self._api = Api(self._world, Keys(secret_keys, restricted_keys or {}), inner_faults)
        self._pay_page = PayPage(self._world)
        self._control_api = ControlApi(self.controls, self.faults, inner_faults)

    @property
    def public_url(self) -> str:
        return self._world.public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self._world.public_url = url.rstrip("/")

    @property
    def account_id(self) -> str:
        return self._world.books.account.id

    def handle(self, request: Request) -> Response:
        self._world.books.agenda.run(self._clock())
        if request.path.startswith("/_sandbox/"):
            return self._control_api.handle(request)
        request_id = self._request_ids.make("req_", 14)
        answer = self.faults.apply(f"{request.method} {request.path}", lambda: self._answer(request, request_id))
        answer = with_envelope(answer)
        return replace(answer, headers={**answer.headers, "request-id": request_id})

    def _answer(self, request: Request, request_id: str) -> Response:
        if request.path.startswith("/c/"):
            return self._pay_page.handle(request)
        limit = self.limits.refuses(request.method, request.path, self._clock()) if self.limits else None
        if limit is not None:
            return Response(429, default_body(429), {**JSON_HEADERS, "stripe-rate-limited-reason": limit})
        return self._api.handle(request, request_id)

    def tick(self, now_ms: int) -> None:
        self._world.books.agenda.run(now_ms)
        self._world.post_office.collect(now_ms)

    def next_due_ms(self) -> int | None:
        dues = (self._world.books.agenda.next_ms(), self._world.post_office.next_ms())
        return min((due for due in dues if due is not None), default=None)

    def take_deliveries(self) -> list[Delivery]:
        return self._world.post_office.take()

    def delivered(self, delivery_id: int, status: int | None) -> None:
        self._world.post_office.delivered(delivery_id, status)
