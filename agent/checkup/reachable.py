"""Whether Stripe, Circle, buyers and the operator reach the daemon."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

from agent.checkup import surroundings
from agent.checkup.findings import Finding, failed, ok, skipped, warning
from agent.checkup.heard import Listener
from agent.checkup.services import DEADLINE_SECONDS
from agent.web.admin.work_bodies import Status
from config.settings import Settings
from ports.clock import Clock
from ports.transport import HttpRequest, HttpResponse, TransportError

CIRCLE_PATH, STRIPE_PATH = "/api/circle/webhook/", "/api/checkout/webhook/"
DAEMON = "daemon"
PROXY = "PUBLIC_BASE_URL, DNS and the TLS proxy before AGENT_LISTEN; is the daemon running?"
KEY = "mend the key (docs/runbooks/servicerefuses.md); a new one counts from the next start"
PAUSED = "`python main.py sends resume` when the cause is gone: docs/runbooks/sendspaused.md"
OUTFLOW = "say what it was: docs/runbooks/orphanoutflow.md"
HELD = "mend what it names, and they go on by themselves: docs/runbooks/ordersheld.md"


async def webhooks(settings: Settings, listener: Listener) -> AsyncIterator[Finding]:
    """By the address that Stripe and Circle use. From this machine: a firewall before it may still be in the way."""
    base = settings.public_base_url.rstrip("/")
    if settings.live and not base.startswith("https://"):
        yield failed("public address", "is not https", "PUBLIC_BASE_URL: Stripe and Circle deliver to https only")
    expected = {"circle webhook": ("HEAD", CIRCLE_PATH, 200), "stripe webhook": ("GET", STRIPE_PATH, 405)}
    for check, (method, path, status) in expected.items():
        try:
            answer = await listener.send(HttpRequest(method, base + path, {}, b"", DEADLINE_SECONDS))
        except TransportError as error:
            yield failed(check, f"nobody answers at {base}{path}: {error}", PROXY)
            continue
        if answer.status == status:
            yield ok(check, f"{base}{path} leads to the daemon")
        else:
            yield failed(check, f"{base}{path} answered {answer.status}, not {status}", PROXY)


async def operator(settings: Settings, listener: Listener) -> AsyncIterator[Finding]:
    """Whether the daemon lets this operator in, and what it says stops it."""
    url = settings.agent_admin_url.rstrip("/")
    try:
        answer = await _ask(settings, listener, "status")
    except TransportError:
        yield skipped(DAEMON, f"does not run at {url}; start it with `python main.py run`")
        return
    if answer.status == 200:
        yield ok(DAEMON, f"runs at {url}")
        for finding in _stops(answer.body):
            yield finding
    elif answer.status in (401, 403):
        yield warning(DAEMON, "runs, and refuses the token", "AGENT_ADMIN_TOKEN: the one it was started with")
    else:
        yield failed(DAEMON, f"{url} answered {answer.status}", "AGENT_ADMIN_URL: the daemon's admin port")


def _stops(body: bytes) -> Iterator[Finding]:
    """What keeps payouts from leaving, a line each."""
    try:
        status = Status.model_validate_json(body)
    except ValueError:
        yield skipped("payouts", "the daemon's status can't be read: is it of another version?")
        return
    paused, held = status.sends_paused, status.orders_held
    found = [failed("key", f"{service} refuses the daemon's own", KEY) for service in status.refused_keys]
    if paused is not None:
        found.append(warning("sends", f"all are paused: {paused}", PAUSED))
    if status.unexplained_outflow:
        found.append(failed("outflow", "one is unexplained, and nothing is sent until it is", OUTFLOW))
    if held is not None:
        found.append(failed("orders", f"are held, and one asks for all: {held}", HELD))
    yield from found or [ok("payouts", "nothing stops them")]


async def backup(settings: Settings, listener: Listener, clock: Clock) -> Finding:
    """The newest backup that the running daemon knows of."""
    try:
        answer = await _ask(settings, listener, "backups")
        known = [datetime.fromisoformat(one["started_at"]) for one in json.loads(answer.body)["items"]]
    except (TransportError, ValueError, KeyError, TypeError) as error:
        return skipped("backup", f"the daemon did not say: {error}")
    now = clock.now()
    return surroundings.backup_age(max((begun for begun in known if begun <= now), default=None), clock)


async def _ask(settings: Settings, listener: Listener, what: str) -> HttpResponse:
    token = settings.agent_admin_token.get_secret_value()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    url = f"{settings.agent_admin_url.rstrip('/')}/admin/api/{what}"
    return await listener.send(HttpRequest("GET", url, headers, b"", DEADLINE_SECONDS))
