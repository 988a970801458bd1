"""A machine's clock that most others contradict signs and sends nothing until it is right again."""

from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from agent.assembly import build_engine
from agent.clock_watch import HEARD, SKEW_MOST_SECONDS, ClockWatch
from agent.gateway_assembly import Ports, build_gateways
from config.settings import load_settings
from domain.flow import STEPS
from metrics import Metrics
from ports.executor import InlineExecutor
from ports.system import SystemIds
from ports.transport import HttpRequest, HttpResponse
from storage.engines.inline import InlineStore
from storage.tables import jobs
from tests.config.environment import VALID
from tests.web.shop import START, HandClock

PLATFORM_ADDRESS = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"


class Dated:
    """Somebody out there whose answers have a date."""

    def __init__(self) -> None:
        self.date: str | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, {} if self.date is None else {"date": self.date}, b"{}")

    async def close(self) -> None:
        pass


class SetClock(HandClock):
    """A wall clock that somebody sets; timers go on as they were."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


async def test_while_most_answers_contradict_the_clock_no_lane_that_sends_or_plans_a_monday_is_open(
    tmp_path: Path,
) -> None:
    outside, clock = Dated(), SetClock()
    ports = Ports(clock, SystemIds(), InlineExecutor(), outside, InlineStore(tmp_path / "agent.db"))
    settings, metrics = load_settings(VALID), Metrics()
    gateways = build_gateways(settings, ports, metrics)
    engine = build_engine(settings, ports, gateways, metrics, PLATFORM_ADDRESS)
    engine.gate.is_open = True
    sending = {step.kind for step in STEPS if step.sends} | {"plan"}

    def open_lanes() -> set[str]:
        lanes = [lane for lane in engine.worker._lanes if lane.queue.table is jobs and lane.is_open()]
        return {kind for lane in lanes for kind in lane.queue.kinds or ()}

    async def answers(seconds_off: float | None, times: int) -> None:
        outside.date = None
        if seconds_off is not None:
            outside.date = format_datetime(START + timedelta(seconds=seconds_off), usegmt=True)
        for _ in range(times):
            await gateways.clock.send(HttpRequest("GET", "https://api.stripe.com/"))

    assert not sending & open_lanes(), "nobody has told the time yet"
    await answers(None, HEARD)
    assert sending <= open_lanes(), "nobody does"
    await answers(-SKEW_MOST_SECONDS, HEARD)
    await answers(SKEW_MOST_SECONDS + 1, HEARD // 2)
    assert sending <= open_lanes(), "the others are not most yet"
    assert b"payment_agent_clock_skew_seconds 120.0" in metrics.render()
    await answers(SKEW_MOST_SECONDS + 1, 1)
    assert not sending & open_lanes()
    assert {"fee", "events_sweep", "wallet"} <= open_lanes()
    for nonsense in ("no date at all", "Mon, 23 Nov 2026 09:00:10 +99999999999999999999"):
        outside.date = nonsense
        await gateways.clock.send(HttpRequest("GET", "https://api.stripe.com/"))
    assert not sending & open_lanes()
    await answers(0, HEARD // 2 + 1)
    assert sending <= open_lanes()
    clock.ahead = timedelta(days=7)
    assert not sending & open_lanes(), "a clock that was set is off before anybody has answered again"
    clock.ahead = timedelta(0)
    assert sending <= open_lanes()
    engine.gate.is_open = False
    assert sending & open_lanes() == {"plan"}


async def test_a_clock_that_is_off_from_the_start_is_never_trusted() -> None:
    outside, clock = Dated(), SetClock()
    outside.date, clock.ahead = format_datetime(START, usegmt=True), timedelta(days=8)
    watch = ClockWatch(outside, clock)
    for _ in range(2 * HEARD):
        assert not watch.trusted
        await watch.send(HttpRequest("GET", "https://api.stripe.com/"))
    clock.ahead = timedelta(0)
    assert watch.trusted
