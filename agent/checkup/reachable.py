"""Whether Stripe, Circle, buyers and the operator reach the daemon."""

import json
from collections.abc import AsyncIterator
from datetime import datetime

from agent.checkup import surroundings
from agent.checkup.findings import Finding, failed, ok, skipped, warning
from agent.checkup.heard import Listener
from agent.checkup.services import DEADLINE_SECONDS
from config.settings import Settings
from ports.clock import Clock
from ports.transport import HttpRequest, HttpResponse, TransportError

CIRCLE_PATH, STRIPE_PATH = "/api/circle/webhook/", "/api/checkout/webhook/"
PROXY = "PUBLIC_BASE_URL, DNS and the TLS proxy before AGENT_LISTEN; is the daemon running?"


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


async def operator(settings: Settings, listener: Listener) -> Finding:
    """Whether the daemon lets this operator in."""
    url = settings.agent_admin_url.rstrip("/")
    try:
        answer = await _ask(settings, listener, "status")
    except TransportError:
        return skipped("daemon", f"does not run at {url}; start it with `python main.py run`")
    if answer.status == 200:
        return ok("daemon", f"runs at {url}")
    if answer.status in (401, 403):
        return warning("daemon", "runs, and refuses the token", "AGENT_ADMIN_TOKEN: the one it was started with")
    return failed("daemon", f"{url} answered {answer.status}", "AGENT_ADMIN_URL: the daemon's admin port")


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
