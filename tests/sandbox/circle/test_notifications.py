"""Webhooks: probe, test, signature, retries, and the switches that spoil them."""

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.service import Delivery
from tests.sandbox.circle.world import World

SUBSCRIPTIONS = "/v2/notifications/subscriptions"
HOOK = "http://127.0.0.1:9/api/circle/webhook/"


def verify(world: World, delivery: Delivery) -> None:
    """As a receiver does it: over the raw bytes, with the key fetched by its id."""
    key = world.get(f"/v2/notifications/publicKey/{delivery.headers['X-Circle-Key-Id']}").data
    assert key["algorithm"] == "ECDSA_SHA_256"
    public = serialization.load_der_public_key(base64.b64decode(key["publicKey"]))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = base64.b64decode(delivery.headers["X-Circle-Signature"])
    public.verify(signature, delivery.body, ec.ECDSA(hashes.SHA256()))


def cause(world: World) -> None:
    """Something that is notified once: a user finishes his setup."""
    world.post("/v1/w3s/users", {"userId": "user-1"})
    token = world.post("/v1/w3s/users/token", {"userId": "user-1"}).data["userToken"]
    body = {"idempotencyKey": world.new_key(), "blockchains": ["SOL-DEVNET"]}
    world.post("/v1/w3s/user/initialize", body, x_user_token=token)
    world.pass_ms(1_000)


def test_a_new_subscription_is_probed_and_gets_a_test(world: World) -> None:
    made = world.post(SUBSCRIPTIONS, {"endpoint": HOOK})
    assert made.status == 200
    assert made.data["restricted"] is False
    world.pass_ms(10)
    assert [delivery.method for delivery in world.deliveries] == ["HEAD", "POST"]
    body = json.loads(world.deliveries[1].body)
    assert body["notificationType"] == "webhooks.test"
    assert body["notification"] == {"hello": "world"}
    assert body["notificationId"] == "00000000-0000-0000-0000-000000000000"


def test_the_signature_holds_over_the_raw_compact_body(world: World) -> None:
    world.post(SUBSCRIPTIONS, {"endpoint": HOOK})
    cause(world)
    delivery = world.deliveries[-1]
    verify(world, delivery)
    body = json.loads(delivery.body)
    assert delivery.body == json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    assert list(body) == [
        "subscriptionId",
        "notificationId",
        "notificationType",
        "notification",
        "timestamp",
        "version",
    ]
    assert len(body["timestamp"]) == len("2026-11-23T09:00:00.123456789Z")


def test_a_failed_delivery_is_tried_again_with_the_same_id_and_bytes(world: World) -> None:
    world.post(SUBSCRIPTIONS, {"endpoint": HOOK})
    world.pass_ms(10)
    start = len(world.deliveries)
    answers = iter([None, 500, 204])
    world.endpoint_status = lambda _delivery: next(answers)
    cause(world)
    world.pass_ms(12_000)
    tries = world.deliveries[start:]
    assert len(tries) == 3
    assert len({(each.body, each.headers["X-Circle-Signature"]) for each in tries}) == 1
    assert world.circle.next_due_ms() is None


def test_a_dead_endpoint_is_given_up_after_the_last_retry(world: World) -> None:
    world.post(SUBSCRIPTIONS, {"endpoint": HOOK})
    world.pass_ms(10)
    start = len(world.deliveries)
    world.endpoint_status = lambda _delivery: None
    cause(world)
    world.pass_ms(10_000_000)
    assert len(world.deliveries) - start == 7
    assert world.circle.custody.notifier.given_up == 1


def test_types_narrow_what_is_sent(world: World) -> None:
    world.post(SUBSCRIPTIONS, {"endpoint": HOOK, "notificationTypes": ["transactions.*"]})
    cause(world)
    assert world.notifications("challenges") == []
    world.post(SUBSCRIPTIONS, {"endpoint": HOOK + "2", "notificationTypes": ["challenges.setPin", "*"]})
    world.post("/v1/w3s/users", {"userId": "user-2"})
    token = world.post("/v1/w3s/users/token", {"userId": "user-2"}).data["userToken"]
    body = {"idempotencyKey": world.new_key(), "blockchains": ["SOL-DEVNET"]}
    world.post("/v1/w3s/user/initialize", body, x_user_token=token)
    world.pass_ms(1_000)
    assert len(world.notifications("challenges.initialize")) == 1


def test_subscriptions_are_read_disabled_and_deleted(world: World) -> None:
    made = world.post(SUBSCRIPTIONS, {"endpoint": HOOK}).data
    assert world.get(SUBSCRIPTIONS).data == [made]
    path = f"{SUBSCRIPTIONS}/{made['id']}"
    assert world.call("PATCH", path, {"name": "n"}).bad_fields == {"enabled": "required"}
    changed = world.call("PATCH", path, {"name": "n", "enabled": False}).data
    assert (changed["name"], changed["enabled"]) == ("n", False)
    cause(world)
    assert world.notifications() == []
    assert world.call("DELETE", path).status == 204
    assert world.get(path).status == 404


@pytest.mark.parametrize("endpoint", ["http://example.com/x", "ftp://127.0.0.1/", "", "https://", "http://[::1"])
def test_endpoints_are_https_or_loopback(world: World, endpoint: str) -> None:
    assert world.post(SUBSCRIPTIONS, {"endpoint": endpoint}).failure == (400, 2)


def test_unknown_types_are_refused(world: World) -> None:
    assert world.post(SUBSCRIPTIONS, {"endpoint": HOOK, "notificationTypes": ["x"]}).failure == (400, 2)


def test_notifications_can_be_dropped_doubled_and_garbled(world: World) -> None:
    world.post(SUBSCRIPTIONS, {"endpoint": HOOK})
    world.pass_ms(10)
    world.call("POST", "/_sandbox/switches", {"duplicate_notifications": 1, "garble_signatures": 1}, key=None)
    cause(world)
    twice = world.deliveries[-2:]
    assert twice[0].body == twice[1].body
    with pytest.raises(InvalidSignature):
        verify(world, twice[0])
    world.call("POST", "/_sandbox/switches", {"drop_notifications": 1}, key=None)
    count = len(world.deliveries)
    platform = world.platform()
    world.pass_ms(15_000)
    assert platform.wallet_id
    assert len(world.deliveries) == count + 1


def test_notifications_that_are_held_back_overtake_one_another(world: World) -> None:
    world.post(SUBSCRIPTIONS, {"endpoint": HOOK})
    world.pass_ms(10)
    told: list[bool] = []
    notifier = world.circle.custody.notifier
    notifier.on_disturbed.append(lambda: told.append(True))
    numbers = [str(number) for number in range(5)]
    for hold_ms in (0, 1_000):
        world.call("POST", "/_sandbox/switches", {"hold_notifications_ms": hold_ms}, key=None)
        for number in numbers:
            notifier.notify("transactions.outbound", {"id": number})
        world.pass_ms(2_000)
        seen = [json.loads(one.body)["notification"]["id"] for one in world.deliveries[-5:]]
        assert sorted(seen) == numbers
        assert (seen == numbers) == (hold_ms == 0) == (not told)


def test_faults_are_added_and_cleared_from_outside(world: World) -> None:
    rule = {"fault": "status", "match": "GET /v1/w3s/wallets", "status": 503, "body": "{}", "times": 2}
    assert world.call("POST", "/_sandbox/faults/add", rule, key=None).json == {"rules": 1}
    assert world.call("GET", "/v1/w3s/wallets").status == 503
    world.call("POST", "/_sandbox/faults/clear", {}, key=None)
    assert world.get("/v1/w3s/wallets").status == 200
    assert world.call("POST", "/_sandbox/faults/add", {"match": "x"}, key=None).status == 400
    assert world.call("POST", "/_sandbox/nothing", {}, key=None).status == 404
