"""Faults as switches: what a service does to chosen requests beside answering them.

A rule names requests by a substring of "METHOD /path" (for JSON-RPC: the method's name stands behind the path) and is
used up after `times` requests, so a test can say exactly which call fails and how often.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sandbox.service import Response


class Fault(StrEnum):
    LOSE_REQUEST = "lose_request"
    """The connection drops, after `delay_ms`, before the service saw the request: nothing happened."""
    LOSE_ANSWER = "lose_answer"
    """The service did it, the connection drops before the answer."""
    LATE = "late"
    """The answer comes `delay_ms` later."""
    STATUS = "status"
    """The service answers `status` with `body` and `headers` (429: `retry-after`) and does nothing."""
    HTML = "html"
    """The service did it, a proxy answers 200 with a page."""
    MASKED = "masked"
    """The service did it, and `status`, `body` and `headers` come in place of its answer."""
    CUT_BODY = "cut_body"
    """The service did it, half of the answer arrives."""


@dataclass(slots=True)
class Rule:
    match: str
    fault: Fault
    times: int = 1
    skip: int = 0
    """How many matching requests pass untouched first."""
    probability: float = 1.0
    delay_ms: int = 0
    status: int = 500
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    strikes: Callable[[], None] = lambda: None
    """Called for each request that it takes."""

    def answer(self) -> Response:
        """What comes in place of the service's own."""
        return Response(self.status, self.body, {"content-type": "application/json", **self.headers})


class Faults:
    """The rules in force for one service; `apply` wraps the answering of one request."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.rules: list[Rule] = []
        self.injected = 0

    def add(self, rule: Rule) -> Rule:
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        self.rules.clear()

    def apply(self, name: str, answer: Callable[[], Response]) -> Response:
        rule = self._pick(name)
        if rule is None:
            return answer()
        self.injected += 1
        match rule.fault:
            case Fault.LOSE_REQUEST:
                return Response(status=0, cut=True, delay_ms=rule.delay_ms)
            case Fault.STATUS:
                return rule.answer()
            case Fault.MASKED:
                answer()
                return rule.answer()
            case Fault.LOSE_ANSWER:
                return replace(answer(), cut=True)
            case Fault.LATE:
                return replace(answer(), delay_ms=rule.delay_ms)
            case Fault.HTML:
                answer()
                return Response(200, b"<html><body>Bad gateway</body></html>", {"content-type": "text/html"})
            case Fault.CUT_BODY:
                whole = answer()
                return replace(whole, cut_after=len(whole.body) // 2)

    def _pick(self, name: str) -> Rule | None:
        for rule in self.rules:
            if rule.times <= 0 or rule.match not in name:
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.probability < 1.0 and self._rng.random() >= rule.probability:
                continue
            rule.times -= 1
            rule.strikes()
            return rule
        return None
