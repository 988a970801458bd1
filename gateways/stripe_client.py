"""The official SDK over our transport port: it builds and signs requests, we carry them."""

import logging
from collections.abc import Mapping
from typing import Any

import stripe

from ports.transport import HttpRequest, Transport

API_VERSION = "2026-10-28.endive"
"""The version that `gateways.stripe_facts` reads. The webhook endpoint must be made with the same one."""

# Off before the first call: telemetry sends the platform's description and writes an id into the home folder.
stripe.enable_telemetry = False
# At DEBUG the SDK logs whole bodies, and with them client secrets and buyers' addresses.
logging.getLogger("stripe").setLevel(logging.WARNING)


class PortHttpClient(stripe.HTTPClient):
    """The SDK's seam for HTTP. A TransportError passes through the SDK untouched, with its `sent`.

    The SDK's own clients let a cut or stalled body escape as exceptions of their libraries (reference/stripe.md, 0.1).
    """

    name = "transport-port"

    def __init__(self, transport: Transport, deadline_seconds: float) -> None:
        super().__init__()
        self._transport = transport
        self._deadline_seconds = deadline_seconds

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        body = post_data.encode() if isinstance(post_data, str) else b""
        answer = await self._transport.send(
            HttpRequest(method.upper(), url, dict(headers), body, deadline_seconds=self._deadline_seconds)
        )
        return answer.body, answer.status, answer.headers

    async def close_async(self) -> None:
        """Nothing to close: the transport belongs to whoever made it."""


def build_client(transport: Transport, secret_key: str, api_base: str, deadline_seconds: float) -> stripe.StripeClient:
    """A client that tries every call once: whether it may be repeated is for the step with its saved key to decide."""
    return stripe.StripeClient(
        secret_key,
        stripe_version=API_VERSION,
        base_addresses={"api": api_base.rstrip("/")},
        max_network_retries=0,
        http_client=PortHttpClient(transport, deadline_seconds),
    )
