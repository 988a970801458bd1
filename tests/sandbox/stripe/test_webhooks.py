"""Signatures, retries, and the disturbances of the delivery."""

import orjson
import pytest
import stripe

from sandbox.service import Delivery
from sandbox.stripe_service import Timing, signature_header
from tests.sandbox.stripe.machine import HOOK, Json, Machine, type_of


def hooked(machine: Machine) -> Json:
    return machine.controls.add_webhook(HOOK)


def is_signed(delivery: Delivery, secret: str) -> bool:
    """By the official SDK, age not looked at: the clock here is not the SDK's."""
    header = delivery.headers["stripe-signature"]
    try:
        stripe.WebhookSignature.verify_header(delivery.body, header, secret)
    except stripe.SignatureVerificationError:
        return False
    return True


def timestamp_of(delivery: Delivery) -> int:
    return int(delivery.headers["stripe-signature"].split(",")[0].removeprefix("t="))


def test_the_signature_equals_stripes_golden_vector() -> None:
    body = b'{"id":"evt_test_1","object":"event"}'
    assert signature_header(["whsec_test_secret"], 1_700_000_000, body) == (
        "t=1700000000,v1=29ab30b7065c11b28e53ac114fac5d6c492ed811a12d11ed2c2aad5bb4cf9809"
    )


def test_an_endpoint_gets_what_it_subscribed_to_in_its_own_api_version() -> None:
    machine = Machine()
    form = {"url": HOOK, "enabled_events[]": "charge.succeeded", "api_version": "2025-01-27.acacia"}
    secret = machine.ok("POST", "/v1/webhook_endpoints", form)["secret"]
    machine.controls.pay(machine.open_session()["id"])
    (only,) = machine.run(1000)
    event = orjson.loads(only.body)
    assert (event["type"], event["api_version"]) == ("charge.succeeded", "2025-01-27.acacia")
    assert event["pending_webhooks"] == 1
    assert is_signed(only, secret)
    assert machine.ok("GET", f"/v1/events/{event['id']}")["pending_webhooks"] == 0


@pytest.mark.parametrize("answer", [500, 302, 400, None])
def test_what_is_not_taken_comes_again_with_growing_gaps_and_fresh_signatures(answer: int | None) -> None:
    machine = Machine(timing=Timing())
    secret = hooked(machine)["secret"]
    machine.answer_hook = answer
    machine.controls.expire(machine.open_session()["id"])
    tries = machine.run(20_000)
    start = timestamp_of(tries[0])
    assert [timestamp_of(delivery) - start for delivery in tries] == [0, 1, 3, 7, 15]
    assert all(is_signed(delivery, secret) for delivery in tries)
    assert len({delivery.headers["stripe-signature"] for delivery in tries}) == 5
    assert len({orjson.loads(delivery.body)["id"] for delivery in tries}) == 1
    machine.answer_hook = 204
    assert len(machine.run(16_000)) == 1
    assert machine.run(86_400_000) == []


def test_stripe_gives_up_after_three_days() -> None:
    machine = Machine()
    hooked(machine)
    machine.answer_hook = 500
    machine.controls.expire(machine.open_session()["id"])
    tries = machine.run(4 * 86_400_000)
    assert 15 < len(tries) < 40
    assert timestamp_of(tries[-1]) - timestamp_of(tries[0]) <= 3 * 86_400
    assert machine.service.next_due_ms() is None
    lost = machine.ok("GET", "/v1/events", "delivery_success=false")["data"]
    assert [event["type"] for event in lost] == ["checkout.session.expired"]


def test_a_disabled_or_deleted_endpoint_gets_no_more_tries() -> None:
    machine = Machine()
    endpoint = hooked(machine)
    machine.answer_hook = 500
    machine.controls.expire(machine.open_session()["id"])
    machine.run()
    machine.ok("POST", f"/v1/webhook_endpoints/{endpoint['id']}", {"disabled": "true"})
    assert machine.run(86_400_000) == []


def test_a_rolled_secret_signs_twice_for_a_day() -> None:
    machine = Machine()
    endpoint = hooked(machine)
    new = machine.controls.roll_secret(endpoint["id"])
    machine.controls.expire(machine.open_session()["id"])
    (both,) = machine.run()
    assert both.headers["stripe-signature"].count("v1=") == 2
    assert is_signed(both, endpoint["secret"])
    assert is_signed(both, new)
    machine.now_ms += 86_400_000
    machine.controls.expire(machine.open_session()["id"])
    (one,) = machine.run()
    assert not is_signed(one, endpoint["secret"])
    assert is_signed(one, new)


def test_duplicates_carry_the_same_event() -> None:
    machine = Machine()
    hooked(machine)
    machine.controls.disturb_delivery(duplicates=1.0)
    machine.controls.expire(machine.open_session()["id"])
    first, second = machine.run()
    assert first.body != b""
    assert orjson.loads(first.body)["id"] == orjson.loads(second.body)["id"]


def test_shuffled_events_overtake_one_another() -> None:
    machine = Machine()
    hooked(machine)
    machine.controls.disturb_delivery(shuffle_ms=5000)
    for _ in range(5):
        machine.controls.pay(machine.open_session()["id"])
    arrived = [orjson.loads(delivery.body)["id"] for delivery in machine.run(10_000)]
    listed = [event["id"] for event in machine.ok("GET", "/v1/events", "limit=100")["data"]][::-1]
    assert sorted(arrived) == sorted(listed)
    assert arrived != listed


def test_the_fee_can_arrive_before_the_success() -> None:
    machine = Machine()
    hooked(machine)
    machine.controls.disturb_delivery(delay_ms={"payment_intent.succeeded": 5000})
    machine.controls.pay(machine.open_session()["id"])
    types = [type_of(delivery) for delivery in machine.run(10_000)]
    assert types.index("charge.updated") < types.index("payment_intent.succeeded")


def test_dropped_tries_never_arrive_and_resume_when_the_switch_is_off() -> None:
    machine = Machine()
    hooked(machine)
    machine.controls.disturb_delivery(drop=1.0)
    machine.controls.expire(machine.open_session()["id"])
    assert machine.run(60_000) == []
    machine.controls.calm_delivery()
    assert len(machine.run(3_600_000)) == 1


def test_an_event_given_up_is_found_in_the_list_and_can_be_resent() -> None:
    machine = Machine()
    hooked(machine)
    machine.controls.disturb_delivery(drop=1.0, tries_max=1)
    machine.controls.expire(machine.open_session()["id"])
    machine.run()
    machine.controls.calm_delivery()
    assert machine.run(86_400_000) == []
    (event,) = machine.ok("GET", "/v1/events", "delivery_success=false")["data"]
    machine.control("POST", f"/events/{event['id']}/resend")
    assert len(machine.run()) == 1
    assert machine.ok("GET", "/v1/events", "delivery_success=false")["data"] == []


def test_created_can_be_made_equal_for_many_events() -> None:
    machine = Machine()
    machine.controls.disturb_delivery(created_step_seconds=60)
    machine.controls.pay(machine.open_session()["id"])
    machine.run(20_000)
    events = machine.ok("GET", "/v1/events")["data"]
    assert len({event["created"] for event in events}) == 1


def test_old_future_and_wrong_signatures_can_be_sent() -> None:
    machine = Machine()
    secret = hooked(machine)["secret"]
    machine.controls.disturb_delivery(timestamp_offset_seconds=-301)
    machine.controls.expire(machine.open_session()["id"])
    (old,) = machine.run()
    assert timestamp_of(old) == machine.now_ms // 1000 - 301
    machine.controls.disturb_delivery(timestamp_offset_seconds=0, bad_signatures=1.0)
    machine.controls.expire(machine.open_session()["id"])
    (bad,) = machine.run()
    assert not is_signed(bad, secret)


def test_a_forged_event_has_any_type_and_mode() -> None:
    machine = Machine()
    hooked(machine)
    machine.controls.forge_event("unicorn.born", {"id": "uni_1", "object": "unicorn"}, livemode=True)
    (delivery,) = machine.run()
    event = orjson.loads(delivery.body)
    assert (event["type"], event["livemode"]) == ("unicorn.born", True)
