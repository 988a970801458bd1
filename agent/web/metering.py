"""What the web room counts. The metrics room implements it; the names of the outcomes are listed here."""

from typing import Protocol


class WebMetrics(Protocol):
    """Counters. Called on the event loop; never raises, never waits."""

    def answered(self, method: str, status: int) -> None:
        """One HTTP request was answered."""
        ...

    def webhook(self, source: str, outcome: str, count: int) -> None:
        """Deliveries of `stripe` or `circle`: `stored`, `duplicate`, `unavailable`, or the code of its refusal
        (`signature_invalid`, `wrong_mode`, `invalid_json`, ...)."""
        ...


class NoMetrics:
    """Counts nothing: for a router outside a daemon."""

    def answered(self, method: str, status: int) -> None:
        pass

    def webhook(self, source: str, outcome: str, count: int) -> None:
        pass
