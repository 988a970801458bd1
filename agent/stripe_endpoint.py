"""Whether the webhook endpoint at Stripe is made as it has to be: for `contract` and `doctor`, and each hour."""

from collections.abc import Iterable

from agent.steps.events_sweep import SWEPT_TYPES
from gateways.stripe_client import API_VERSION
from gateways.stripe_facts import WebhookEndpointFacts

PATH = "/api/checkout/webhook/"


def flaw(endpoints: Iterable[WebhookEndpointFacts], public_base_url: str) -> tuple[str, str] | None:
    """What is wrong with the endpoint at our address, and how to mend it; None when one there is as it has to be."""
    url = f"{public_base_url.rstrip('/')}{PATH}"
    found = [flaw_of(one) for one in endpoints if one.url == url]
    if not found:
        return f"there is no webhook endpoint at {url}", "make it as docs/GOING_LIVE.md says"
    return None if None in found else found[0]


def flaw_of(endpoint: WebhookEndpointFacts) -> tuple[str, str] | None:
    """The same of one endpoint, wherever it is."""
    if endpoint.status != "enabled":
        return f"the webhook endpoint is {endpoint.status}", "enable it in Stripe's dashboard"
    if endpoint.api_version != API_VERSION:
        return f"its API version is {endpoint.api_version}", f"make it anew with {API_VERSION}: it can't be changed"
    missing = sorted(set(SWEPT_TYPES) - set(endpoint.enabled_events))
    if missing and "*" not in endpoint.enabled_events:
        return f"it is not told of {', '.join(missing)}", "subscribe it to them in Stripe's dashboard"
    return None
