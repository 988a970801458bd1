"""A Slack-compatible incoming webhook: one POST of `{"text": …}`; anything 2xx means taken."""

import json

from domain.errors import Retryable
from gateways.border import no_answer, one_line, retry_after_seconds
from ports.clock import Clock
from ports.transport import HttpRequest, Transport, TransportError

DEADLINE_SECONDS = 10.0


class ChatWebhook:
    """The address is the secret: it never shows in an error."""

    def __init__(self, transport: Transport, url: str, clock: Clock) -> None:
        self._transport, self._url, self._clock = transport, url, clock

    async def post(self, text: str) -> None:
        """Raises Retryable when the text was surely not taken, OutcomeUnknown when it may have been."""
        if not self._url:
            raise Retryable("AGENT_ALERT_WEBHOOK_URL is not set")
        request = HttpRequest(
            "POST",
            self._url,
            {"content-type": "application/json"},
            json.dumps({"text": text}).encode(),
            DEADLINE_SECONDS,
        )
        try:
            answer = await self._transport.send(request)
        except TransportError as error:
            raise no_answer(error, "the alert webhook", has_effect=True) from error
        if answer.status // 100 != 2:
            said = one_line(answer.body[:200].decode("utf-8", "replace"))
            raise Retryable(
                f"the alert webhook answered {answer.status} ({said}): check AGENT_ALERT_WEBHOOK_URL",
                retry_after_seconds(answer.headers, self._clock.now()),
            )
