"""The sandbox's Stripe on a manual clock, without sockets: requests in, answers and deliveries out."""

import random
from typing import Any
from urllib.parse import urlencode

import orjson

from sandbox.service import Delivery, Request, Response
from sandbox.stripe_service import FAST, StripeService, Timing

KEY = "sk_test_machine"
MONDAY_MS = 1_795_425_600_000
"""2026-11-23 09:20:00 UTC, a Monday."""
HOOK = "http://shop.invalid/hook"
Json = dict[str, Any]


class Machine:
    """One service with its own time and a list of everything it delivered."""

    def __init__(self, seed: int = 1, timing: Timing = FAST, **options: Any) -> None:
        self.now_ms = MONDAY_MS
        rng = random.Random(seed)
        self.service = StripeService(lambda: self.now_ms, rng, secret_keys=(KEY,), timing=timing, **options)
        self.controls = self.service.controls
        self.tries: list[Delivery] = []
        self.answer_hook: int | None = 200

    def send(self, method: str, path: str, form: Json | str = "", key: str = KEY, **headers: str) -> Response:
        """One API request; `form` is flat, with Stripe's brackets in its names."""
        encoded = form if isinstance(form, str) else urlencode(form)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        known = {"authorization": f"Bearer {key}", **names}
        if method == "POST":
            known.setdefault("content-type", "application/x-www-form-urlencoded")
            return self.service.handle(Request(method, path, "", known, encoded.encode()))
        return self.service.handle(Request(method, path, encoded, known))

    def ok(self, method: str, path: str, form: Json | str = "", **headers: str) -> Json:
        answer = self.send(method, path, form, **headers)
        assert answer.status == 200, answer.body
        found: Json = orjson.loads(answer.body)
        return found

    def refused(self, method: str, path: str, form: Json | str = "", **headers: str) -> tuple[int, Json]:
        answer = self.send(method, path, form, **headers)
        assert answer.status >= 400, answer.body
        error: Json = orjson.loads(answer.body)["error"]
        return answer.status, error

    def control(self, method: str, path: str, content: Json | None = None) -> Json:
        body = b"" if content is None else orjson.dumps(content)
        answer = self.service.handle(Request(method, f"/_sandbox{path}", "", {}, body))
        found: Json = orjson.loads(answer.body)
        return found

    def open_session(self, **more: str) -> Json:
        """A session over $3.00; `more` adds or replaces parameters."""
        return self.ok("POST", "/v1/checkout/sessions", {**session_form(), **more})

    def run(self, passing_ms: int = 0) -> list[Delivery]:
        """Let time pass, stopping at everything that is due; answer what is delivered meanwhile."""
        first = len(self.tries)
        end = self.now_ms + passing_ms
        while True:
            self.service.tick(self.now_ms)
            for delivery in self.service.take_deliveries():
                self.tries.append(delivery)
                self.service.delivered(delivery.id, self.answer_hook)
            due = self.service.next_due_ms()
            if due is None or due > end:
                break
            self.now_ms = max(self.now_ms, due)
        self.now_ms = end
        return self.tries[first:]

    def event_types(self) -> list[str]:
        """All events so far, oldest first."""
        events = self.ok("GET", "/v1/events", {"limit": 100})["data"]
        return [event["type"] for event in reversed(events)]


def session_form(cents: int = 300) -> Json:
    line = "line_items[0]"
    return {
        "mode": "payment",
        f"{line}[quantity]": "1",
        f"{line}[price_data][currency]": "usd",
        f"{line}[price_data][unit_amount]": str(cents),
        f"{line}[price_data][product_data][name]": "Still life",
        "success_url": "https://shop.example/ok?sid={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example/back",
    }


def type_of(delivery: Delivery) -> str:
    found: str = orjson.loads(delivery.body)["type"]
    return found
