"""The parts of the sandbox's Stripe, wired."""

import random

from sandbox.service import Clock
from sandbox.stripe_service.balance import Balance
from sandbox.stripe_service.books import API_VERSION, Books, Json
from sandbox.stripe_service.events import EventLog
from sandbox.stripe_service.payments import Payments
from sandbox.stripe_service.reversals import Reversals
from sandbox.stripe_service.timing import Timing
from sandbox.stripe_service.webhooks import Endpoint, PostOffice


class World:
    """One account at Stripe. Ids and delivery disturbances draw from generators of their own, so that switching a
    disturbance on leaves the ids as they were."""

    def __init__(
        self, clock: Clock, rng: random.Random, timing: Timing, livemode: bool, publishable_key: str, public_url: str
    ) -> None:
        self.books = Books(clock, random.Random(rng.getrandbits(64)), timing, livemode, publishable_key)
        self.post_office = PostOffice(clock, random.Random(rng.getrandbits(64)), timing)
        self.events = EventLog(self.books, self.post_office)
        self.balance = Balance(self.books, self.events)
        self.payments = Payments(self.books, self.events, self.balance)
        self.reversals = Reversals(self.books, self.events, self.balance)
        self.public_url = public_url

    def add_endpoint(self, params: Json, secret: str | None = None) -> Endpoint:
        """Register a webhook endpoint; `params` as in POST /v1/webhook_endpoints."""
        books = self.books
        endpoint = Endpoint(
            id=books.ids.make("we_1"),
            url=params["url"],
            enabled_events=list(params["enabled_events"]),
            api_version=params.get("api_version", API_VERSION),
            secret=secret or self.new_secret(),
            created=books.now_seconds(),
            livemode=books.account.livemode,
            description=params.get("description"),
            metadata=params.get("metadata", {}),
        )
        self.post_office.endpoints[endpoint.id] = endpoint
        return endpoint

    def new_secret(self) -> str:
        return self.books.ids.make("whsec_", 32)
