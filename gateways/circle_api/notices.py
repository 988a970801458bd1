"""The entity's configuration, notification keys and subscriptions (reference/circle.md, sections 2 and 8)."""

from collections.abc import Sequence

from domain.errors import Rejected, Retryable
from gateways.answers import ShapeError, rows, text
from gateways.circle_api.client import Call, CircleRefusal, path_part, read_call
from gateways.circle_api.facts import NotificationKey, SubscriptionFacts
from gateways.circle_api.rates import CallClass
from gateways.circle_api.reading import CircleCalls, inner

NOT_FOUND = 404
SUBSCRIPTIONS = "/v2/notifications/subscriptions"
WANTED_TYPES = ("transactions.*", "challenges.*")
"""What the daemon takes hints from."""


class NoticeCalls(CircleCalls):
    async def ping(self) -> None:
        """Whether Circle answers at all; needs no valid key. Raises Retryable."""
        answer = await self._client.answer(read_call("ping", "/ping"))
        if answer.get("message") != "pong":
            raise Retryable("Circle: ping: no pong")

    async def app_id(self) -> str:
        """The app id that the users' client SDK needs."""
        return await self._data(read_call("fetch entity", "/v1/w3s/config/entity"), lambda data: text(data, "appId"))

    async def notification_public_key(self, key_id: str) -> NotificationKey:
        """Rejected where Circle has no such key, whatever its code for that: who named it is somebody else."""
        call = read_call("fetch notification key", f"/v2/notifications/publicKey/{path_part(key_id)}")
        try:
            answer = await self._client.try_call(call)
        except CircleRefusal as refusal:
            judged = self._client.judge(call, refusal)
            raise (Rejected(str(refusal.code), str(judged)) if refusal.status == NOT_FOUND else judged) from None
        return self._shaped(call, inner("data", NotificationKey.read), answer)

    async def create_subscription(self, endpoint: str, types: Sequence[str] = WANTED_TYPES) -> SubscriptionFacts:
        """Circle probes the endpoint with HEAD first. No idempotency key: list before creating."""
        call = Call(
            "create subscription",
            "POST",
            SUBSCRIPTIONS,
            CallClass.WRITE,
            body={"endpoint": endpoint, "notificationTypes": list(types)},
            has_effect=True,
        )
        return await self._data(call, SubscriptionFacts.read)

    async def list_subscriptions(self) -> list[SubscriptionFacts]:
        call = read_call("list subscriptions", SUBSCRIPTIONS)
        answer = await self._client.answer(call)
        try:
            return [SubscriptionFacts.read(row) for row in rows(answer, "data")]
        except ShapeError as error:
            raise self._client.garbled(call, error) from error
