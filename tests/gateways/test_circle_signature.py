"""Only notifications that Circle's key signed pass; unknown key ids cost little."""

import json
import uuid
from dataclasses import asdict

import pytest

from domain.errors import OutcomeUnknown, Rejected, Retryable
from gateways.bad_signature import BadSignature
from gateways.circle_api import NotificationKey
from gateways.circle_signature import FETCHES_PER_MINUTE, NotificationVerifier
from sandbox.service import Delivery
from tests.gateways.circle_world import gateway_to
from tests.gateways.wire import SkippingClock
from tests.sandbox.circle.world import World


@pytest.fixture
def delivery(world: World) -> Delivery:
    """A real notification of a transfer."""
    platform = world.platform(usdc=10)
    world.post("/v2/notifications/subscriptions", {"endpoint": "https://agent.example/hook"})
    made = world.post("/v1/w3s/developer/walletSets", world.signed(name="x"))
    assert made.status == 201
    world.transfer(world.order(platform.wallet_id, platform.address, "1"))
    world.pass_ms(1_000)
    return next(found for found in world.deliveries if b"transactions." in found.body)


@pytest.fixture
def verifier(world: World) -> NotificationVerifier:
    return NotificationVerifier(gateway_to(world)[0].notification_public_key, SkippingClock())


def signed(delivery: Delivery) -> tuple[str, str]:
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    return headers["x-circle-key-id"], headers["x-circle-signature"]


async def test_what_circle_sends_passes_and_the_key_is_fetched_once(world: World, delivery: Delivery) -> None:
    gateway, transport = gateway_to(world)
    verifier = NotificationVerifier(gateway.notification_public_key, SkippingClock())
    await verifier.verify(delivery.body, *signed(delivery))
    await verifier.verify(delivery.body, signed(delivery)[0].upper(), signed(delivery)[1])
    assert [request.method for request in transport.sent] == ["GET"]


async def test_a_body_shown_with_spaces_passes_when_its_compact_form_was_signed(
    verifier: NotificationVerifier, delivery: Delivery
) -> None:
    await verifier.verify(json.dumps(json.loads(delivery.body), indent=2).encode(), *signed(delivery))


async def test_changed_bytes_are_refused(verifier: NotificationVerifier, delivery: Delivery) -> None:
    for body in (delivery.body.replace(b'"version":2', b'"version":3'), b"", b"[" * 100_000, b"\xff"):
        with pytest.raises(BadSignature):
            await verifier.verify(body, *signed(delivery))


@pytest.mark.parametrize("signature", [None, "", "!", "AAAA", "é", "A" * 1000])
async def test_a_signature_that_is_none_is_refused(
    verifier: NotificationVerifier, delivery: Delivery, signature: str | None
) -> None:
    with pytest.raises(BadSignature):
        await verifier.verify(delivery.body, signed(delivery)[0], signature)


@pytest.mark.parametrize("key_id", [None, "", "../../v1/w3s/wallets", "é", "1"])
async def test_a_key_id_that_is_none_is_refused_without_asking_circle(
    world: World, delivery: Delivery, key_id: str | None
) -> None:
    gateway, transport = gateway_to(world)
    verifier = NotificationVerifier(gateway.notification_public_key, SkippingClock())
    with pytest.raises(BadSignature):
        await verifier.verify(delivery.body, key_id, signed(delivery)[1])
    assert transport.sent == []


async def test_a_key_that_circle_does_not_know_is_a_bad_signature_and_no_outage(
    verifier: NotificationVerifier, delivery: Delivery
) -> None:
    with pytest.raises(BadSignature, match="unknown key id"):
        await verifier.verify(delivery.body, "b1a1c1d1-0000-4000-8000-00000000dead", signed(delivery)[1])


async def test_a_flood_of_unknown_keys_asks_circle_a_few_times_a_minute_and_known_keys_still_pass(
    world: World, delivery: Delivery
) -> None:
    asked = 0

    async def fetch(key_id: str) -> NotificationKey:
        nonlocal asked
        if key_id != signed(delivery)[0]:
            asked += 1
            raise Rejected("156002", "no such key")
        return await gateway_to(world)[0].notification_public_key(key_id)

    clock = SkippingClock()
    verifier = NotificationVerifier(fetch, clock)
    await verifier.verify(delivery.body, *signed(delivery))
    for _ in range(50):
        with pytest.raises((BadSignature, Retryable)):
            await verifier.verify(delivery.body, str(uuid.uuid4()), signed(delivery)[1])  # noqa: TID251
    assert asked == FETCHES_PER_MINUTE - 1
    await verifier.verify(delivery.body, *signed(delivery))
    await clock.sleep(61)
    with pytest.raises(BadSignature):
        await verifier.verify(delivery.body, str(uuid.uuid4()), signed(delivery)[1])  # noqa: TID251
    assert asked == FETCHES_PER_MINUTE


@pytest.mark.parametrize(
    "change", [{"id": "4f6f1e2b-9c1a-4d54-8b0e-6a3d51e0c0a7"}, {"algorithm": "NONE"}, {"public_key": "AAAA"}]
)
async def test_a_key_that_is_not_the_one_asked_for_is_not_believed(
    world: World, delivery: Delivery, change: dict[str, str]
) -> None:
    async def fetch(key_id: str) -> NotificationKey:
        true = await gateway_to(world)[0].notification_public_key(key_id)
        return NotificationKey(**(asdict(true) | change))

    with pytest.raises(Retryable):
        await NotificationVerifier(fetch, SkippingClock()).verify(delivery.body, *signed(delivery))


async def test_circle_being_away_is_not_taken_for_a_bad_signature(world: World, delivery: Delivery) -> None:
    async def fetch(_key_id: str) -> NotificationKey:
        raise Retryable("away")

    with pytest.raises(Retryable):
        await NotificationVerifier(fetch, SkippingClock()).verify(delivery.body, *signed(delivery))
    assert not issubclass(BadSignature, OutcomeUnknown)


async def test_while_circle_refuses_our_own_key_a_notification_is_not_taken_for_forged(
    world: World, delivery: Delivery
) -> None:
    gateway, _ = gateway_to(world, key="TEST_API_KEY:other:key")
    verifier = NotificationVerifier(gateway.notification_public_key, SkippingClock())
    with pytest.raises(Retryable):
        await verifier.verify(delivery.body, *signed(delivery))
