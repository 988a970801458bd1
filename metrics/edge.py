"""What every process counts that takes requests and has a database, and the process that does nothing else."""

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from metrics.families import EdgeFamilies, IntakeFamilies
from metrics.labels import OTHER, Bounded, OneOf

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
OUTCOMES_MOST = 64
"""More outcomes than one label can have: refusal codes of webhooks are the most."""
ANSWERS_MOST = 512
"""Counters of answers kept at hand: looking one up by its labels costs more than counting."""
_HTTP_METHODS = OneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SOURCES = OneOf("stripe", "circle")
_OPERATIONS = OneOf("read", "write")


class EdgeMetrics:
    """One per process, with a registry of its own."""

    def __init__(self, families: EdgeFamilies) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it doubles the series, of no use to Prometheus
        self.registry = families.registry
        self._edge = families
        self._delivery = Bounded(OUTCOMES_MOST)
        self._answers: dict[tuple[str, int], Counter] = {}
        for operation in ("read", "write"):
            families.store_failures.labels(operation)
            families.store_seconds.labels(operation)
        ProcessCollector(registry=self.registry)

    def webhook(self, source: str, outcome: str, count: int = 1) -> None:
        """`count` deliveries ended the same way."""
        self._edge.webhooks.labels(_SOURCES(source), self._delivery(outcome)).inc(count)

    def answered(self, method: str, status: int) -> None:
        """One HTTP request of ours was answered."""
        counter = self._answers.get((method, status))
        if counter is None:
            known = str(status) if 100 <= status <= 599 else OTHER
            counter = self._edge.answers.labels(_HTTP_METHODS(method), known)
            if len(self._answers) < ANSWERS_MOST:
                self._answers[method, status] = counter
        counter.inc()

    def store_used(self, operation: str, seconds: float, usable: bool) -> None:
        """One `read` or `write` of the store; `usable` is False when the database could not be used."""
        known = _OPERATIONS(operation)
        self._edge.store_seconds.labels(known).observe(seconds)
        if not usable:
            self._edge.store_failures.labels(known).inc()

    def loop_was_late(self, seconds: float) -> None:
        """The event loop, by so much, once."""
        self._edge.loop_lag.observe(seconds)

    def build(self, schema: str, database: str, mode: str) -> None:
        """What runs: the schema this program needs, `sqlite` or `postgresql`, `live` or `test`."""
        self._edge.build.labels(schema, database, mode).set(1)

    def render(self) -> bytes:
        """Everything in Prometheus' text format; its content type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class IntakeMetrics(EdgeMetrics):
    """Of the process that takes Stripe's webhooks alone."""

    def __init__(self) -> None:
        self._families = IntakeFamilies(CollectorRegistry())
        super().__init__(self._families)
        for outcome in ("stored", "duplicate", "unavailable", "signature_invalid"):
            self.webhook("stripe", outcome, 0)

    def delivery_answered(self, seconds: float) -> None:
        """One delivery, whatever became of it."""
        self._families.delivery_seconds.observe(seconds)
