"""The API's manners: keys, parameters, idempotency, lists, expansion, faults. No sockets."""

import base64
import random

import orjson
import pytest

from sandbox.faults import Fault, Rule
from sandbox.stripe_service import ApiError
from tests.sandbox.stripe.machine import KEY, MONDAY_MS, Machine, session_form

SESSIONS = "/v1/checkout/sessions"


def test_every_answer_carries_a_request_id() -> None:
    machine = Machine()
    for path in (SESSIONS, "/v1/nothing", "/c/pay/cs_none"):
        assert machine.send("GET", path).headers["request-id"].startswith("req_")


def test_keys_are_checked_before_anything_else() -> None:
    machine = Machine(restricted_keys={"rk_test_reader": {"checkout_session": "read"}})
    assert machine.refused("GET", SESSIONS, key="")[0] == 401
    status, error = machine.refused("GET", SESSIONS, key="sk_test_somebody_else")
    assert (status, error["type"]) == (401, "invalid_request_error")
    assert "somebody" not in error["message"]
    assert machine.send("GET", SESSIONS, key="rk_test_reader").status == 200
    status, error = machine.refused("POST", SESSIONS, session_form(), key="rk_test_reader")
    assert status == 403
    assert "rak_checkout_session_write" in error["message"]
    assert machine.refused("GET", "/v1/charges", key="rk_test_reader")[0] == 403
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    assert machine.send("GET", SESSIONS, authorization=f"Basic {basic}").status == 200


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"payment_method_types[0]": "card"}, "parameter_unknown", "payment_method_types"),
        ({"payment_intent_data[colour]": "red"}, "parameter_unknown", "payment_intent_data[colour]"),
        ({"success_url": "javascript:alert(1)"}, "url_invalid", "success_url"),
        ({"success_url": ""}, "url_invalid", "success_url"),
        ({"line_items[0][quantity]": "many"}, "parameter_invalid_integer", "line_items[0][quantity]"),
        ({"ui_mode": "hosted"}, None, "ui_mode"),
        ({"mode": "subscription"}, None, "mode"),
        ({"line_items[0][price_data][currency]": "eur"}, None, "currency"),
        ({"line_items[0][price_data][unit_amount]": "49"}, "amount_too_small", None),
        ({"allowed_payment_method_types[0]": "crypto"}, None, "allowed_payment_method_types"),
        ({"client_reference_id": "x" * 201}, "parameter_invalid_string_too_long", "client_reference_id"),
        ({"metadata[k]": "x" * 501}, None, "metadata[k]"),
        ({"expires_at": str(MONDAY_MS // 1000 + 1799)}, None, "expires_at"),
        ({"expires_at": str(MONDAY_MS // 1000 + 86_401)}, None, "expires_at"),
        ({"discounts[0][coupon]": "half"}, None, "discounts"),
        ({"automatic_tax[enabled]": "true"}, None, "automatic_tax"),
        ({"expand[0]": "line_items.data.price.colour"}, None, "expand"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, str], code: str | None, param: str | None) -> None:
    status, error = Machine().refused("POST", SESSIONS, {**session_form(), **change})
    assert (status, error.get("code"), error.get("param")) == (400, code, param)
    assert error["type"] == "invalid_request_error"


def test_a_missing_parameter_is_named() -> None:
    form = session_form()
    del form["line_items[0][price_data][currency]"]
    status, error = Machine().refused("POST", SESSIONS, form)
    expected = (400, "parameter_missing", "line_items[0][price_data][currency]")
    assert (status, error["code"], error["param"]) == expected


def test_what_has_no_bearing_on_the_money_is_taken() -> None:
    more = {
        "locale": "de",
        "submit_type": "pay",
        "adaptive_pricing[enabled]": "false",
        "automatic_tax[enabled]": "false",
        "allowed_payment_method_types[]": "card",
        "customer_email": "ann@example.com",
        "expires_at": str(MONDAY_MS // 1000 + 1860),
    }
    session = Machine().open_session(**more)
    assert session["payment_method_types"] == ["card"]
    assert session["expires_at"] == MONDAY_MS // 1000 + 1860


def test_both_ways_of_writing_lists_are_read() -> None:
    machine = Machine()
    machine.controls.pay(machine.open_session()["id"])
    for query in (
        "types[]=charge.succeeded&types[]=payment_intent.succeeded",
        "types%5B0%5D=charge.succeeded&types%5B1%5D=payment_intent.succeeded",
    ):
        found = machine.ok("GET", "/v1/events", query)["data"]
        assert {event["type"] for event in found} == {"charge.succeeded", "payment_intent.succeeded"}


@pytest.mark.parametrize("body", ["a[b=1", "[x]=1", "a=1&a[b]=2", "a[b][c][d][e][f][g][h][i]=1", "%ff=1"])
def test_a_garbled_form_is_refused(body: str) -> None:
    assert Machine().refused("POST", SESSIONS, body)[0] == 400


def test_a_json_body_is_refused_as_stripe_does() -> None:
    status, error = Machine().refused("POST", SESSIONS, "{}", content_type="application/json")
    assert status == 400
    assert "application/x-www-form-urlencoded" in error["message"]


def test_unknown_paths_and_ids_are_404() -> None:
    machine = Machine()
    assert machine.refused("GET", "/v1/unknown_things")[0] == 404
    for path in ("checkout/sessions/cs_x", "payment_intents/pi_x", "charges/ch_x", "events/evt_x", "refunds/re_x"):
        status, error = machine.refused("GET", f"/v1/{path}")
        assert (status, error["code"]) == (404, "resource_missing")


def test_an_idempotency_key_replays_its_first_answer_for_a_day() -> None:
    machine = Machine()
    first = machine.send("POST", SESSIONS, session_form(), idempotency_key="order-1")
    machine.now_ms += 86_399_000
    again = machine.send("POST", SESSIONS, session_form(), idempotency_key="order-1")
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert "idempotent-replayed" not in first.headers
    machine.now_ms += 1000
    new = machine.send("POST", SESSIONS, session_form(), idempotency_key="order-1")
    assert orjson.loads(new.body)["id"] != orjson.loads(first.body)["id"]


def test_an_idempotency_key_with_other_parameters_is_refused() -> None:
    machine = Machine()
    machine.send("POST", SESSIONS, session_form(300), idempotency_key="order-1")
    status, error = machine.refused("POST", SESSIONS, session_form(400), idempotency_key="order-1")
    assert (status, error["type"]) == (400, "idempotency_error")


def test_a_failed_parameter_check_does_not_use_up_the_key() -> None:
    machine = Machine()
    machine.refused("POST", SESSIONS, {**session_form(), "colour": "red"}, idempotency_key="order-1")
    assert machine.send("POST", SESSIONS, session_form(), idempotency_key="order-1").status == 200


def test_a_refusal_by_the_endpoint_and_an_inner_500_are_replayed() -> None:
    machine = Machine()
    machine.refused("POST", SESSIONS, session_form(1), idempotency_key="small")
    assert machine.send("POST", SESSIONS, session_form(1), idempotency_key="small").headers["idempotent-replayed"]
    machine.controls.add_fault(Rule("POST /v1/checkout", Fault.STATUS, status=500), inside=True)
    for _ in range(2):
        status, error = machine.refused("POST", SESSIONS, session_form(), idempotency_key="broken")
        assert (status, error["type"]) == (500, "api_error")
    assert machine.send("POST", SESSIONS, session_form(), idempotency_key="other").status == 200


def test_an_edge_failure_does_not_use_up_the_key() -> None:
    machine = Machine()
    machine.controls.limit_rate()
    status, error = machine.refused("POST", SESSIONS, session_form(), idempotency_key="order-1")
    assert (status, error["code"]) == (429, "rate_limit")
    assert machine.send("POST", SESSIONS, session_form(), idempotency_key="order-1").status == 200


def test_a_lost_answer_did_happen() -> None:
    machine = Machine()
    machine.controls.add_fault(Rule("POST /v1/checkout", Fault.LOSE_ANSWER))
    assert machine.send("POST", SESSIONS, session_form(), idempotency_key="order-1").cut
    again = machine.send("POST", SESSIONS, session_form(), idempotency_key="order-1")
    assert again.headers["idempotent-replayed"] == "true"
    assert len(machine.ok("GET", SESSIONS)["data"]) == 1


def test_pages_walk_both_ways() -> None:
    machine = Machine()
    ids = [machine.open_session()["id"] for _ in range(7)][::-1]

    def ask(**form: str) -> tuple[list[str], bool]:
        answer = machine.ok("GET", SESSIONS, {"limit": "3", **form})
        return [row["id"] for row in answer["data"]], answer["has_more"]

    assert ask() == (ids[:3], True)
    assert ask(starting_after=ids[2]) == (ids[3:6], True)
    assert ask(starting_after=ids[5]) == (ids[6:], False)
    assert ask(ending_before=ids[6]) == (ids[3:6], True)
    assert ask(ending_before=ids[3]) == (ids[:3], False)
    status, error = machine.refused("GET", SESSIONS, {"starting_after": "cs_unknown"})
    assert (status, error["param"]) == (400, "starting_after")
    assert machine.refused("GET", SESSIONS, {"limit": "101"})[0] == 400


def test_pages_walk_both_ways_over_the_rows_of_one_payment() -> None:
    machine = Machine()
    session = machine.open_session()
    for _ in range(4):
        machine.controls.decline(session["id"])
        machine.controls.decline(machine.open_session()["id"])
    intent = machine.ok("GET", f"{SESSIONS}/{session['id']}")["payment_intent"]

    def ask(**form: str) -> list[str]:
        answer = machine.ok("GET", "/v1/charges", {"payment_intent": intent, **form})
        return [row["id"] for row in answer["data"]]

    ids = ask()
    assert len(ids) == 4
    assert ask(limit="2", starting_after=ids[0]) == ids[1:3]
    assert ask(limit="2", ending_before=ids[3]) == ids[1:3]
    assert machine.ok("GET", SESSIONS, {"payment_intent": "pi_unknown"})["data"] == []


def test_line_items_are_paged() -> None:
    machine = Machine()
    more: dict[str, str] = {}
    for number in range(1, 4):
        line = {name: value for name, value in session_form().items() if "[0]" in name}
        more |= {name.replace("[0]", f"[{number}]"): value for name, value in line.items()}
    path = f"{SESSIONS}/{machine.open_session(**more)['id']}/line_items"
    first = machine.ok("GET", path, {"limit": "3"})
    rest = machine.ok("GET", path, {"limit": "3", "starting_after": first["data"][-1]["id"]})
    assert (len(first["data"]), first["has_more"], len(rest["data"]), rest["has_more"]) == (3, True, 1, False)


def test_events_are_filtered_by_type_time_and_delivery() -> None:
    machine = Machine()
    machine.controls.add_webhook("http://shop.invalid/hook", ["charge.succeeded"])
    machine.controls.pay(machine.open_session()["id"])

    def types(form: str) -> list[str]:
        return [event["type"] for event in machine.ok("GET", "/v1/events", form)["data"]]

    assert types("type=charge.*") == ["charge.succeeded"]
    assert types("delivery_success=false") == ["charge.succeeded"]
    assert machine.ok("GET", "/v1/events", "type=charge.*")["data"][0]["pending_webhooks"] == 1
    machine.run()
    assert types("delivery_success=false") == []
    now = machine.now_ms // 1000
    assert types(f"created[gte]={now + 1}") == []
    assert len(types(f"created[gte]={now}&created[lt]={now + 1}")) == 4
    many = "&".join(f"types[]=a.{n}" for n in range(21))
    assert machine.refused("GET", "/v1/events", many)[0] == 400
    assert machine.refused("GET", "/v1/events", "type=a.b&types[]=a.b")[0] == 400


def test_events_are_gone_after_thirty_days() -> None:
    machine = Machine()
    machine.controls.pay(machine.open_session()["id"])
    event = machine.ok("GET", "/v1/events")["data"][0]
    machine.now_ms += 30 * 86_400_000
    assert machine.ok("GET", f"/v1/events/{event['id']}")["id"] == event["id"]
    machine.now_ms += 1000
    assert machine.refused("GET", f"/v1/events/{event['id']}")[0] == 404
    left = machine.ok("GET", "/v1/events", "limit=100")["data"]
    assert event["id"] not in [row["id"] for row in left]


def test_an_event_names_the_request_that_caused_it() -> None:
    machine = Machine()
    session = machine.open_session()
    answer = machine.send("POST", f"{SESSIONS}/{session['id']}/expire", idempotency_key="expire-1")
    event = machine.ok("GET", "/v1/events")["data"][0]
    assert event["request"] == {"id": answer.headers["request-id"], "idempotency_key": "expire-1"}
    assert event["api_version"] == "2026-10-28.endive"


def test_expansion_reaches_through_objects_and_lists() -> None:
    machine = Machine()
    machine.controls.pay(machine.open_session()["id"])
    machine.run(1000)
    path = "data.payment_intent.latest_charge.balance_transaction"
    session = machine.ok("GET", SESSIONS, {"expand[]": path})["data"][0]
    assert session["payment_intent"]["latest_charge"]["balance_transaction"]["fee"] == 39
    again = machine.ok("GET", f"{SESSIONS}/{session['id']}", "expand[]=line_items")
    assert again["line_items"]["data"][0]["amount_total"] == 300
    assert isinstance(again["payment_intent"], str)
    assert machine.refused("GET", SESSIONS, {"expand[]": f"{path}.source"})[0] == 400


def test_webhook_endpoints_tell_their_secret_once() -> None:
    machine = Machine()
    path = "/v1/webhook_endpoints"
    form = {
        "url": "https://shop.example/hook",
        "enabled_events[]": "charge.updated",
        "api_version": "2025-01-27.acacia",
    }
    made = machine.ok("POST", path, form)
    assert made["secret"].startswith("whsec_")
    assert "secret" not in machine.ok("GET", f"{path}/{made['id']}")
    changed = machine.ok("POST", f"{path}/{made['id']}", {"disabled": "true", "enabled_events[0]": "*"})
    assert (changed["status"], changed["enabled_events"]) == ("disabled", ["*"])
    assert machine.ok("DELETE", f"{path}/{made['id']}")["deleted"] is True
    assert machine.ok("GET", path)["data"] == []
    assert machine.refused("POST", path, {"url": "https://shop.example/hook"})[0] == 400


def test_the_account_is_the_same_by_name_and_alone() -> None:
    machine = Machine()
    account = machine.ok("GET", "/v1/account")
    assert machine.ok("GET", f"/v1/accounts/{account['id']}") == account
    assert account["id"] == machine.service.account_id


def test_controls_over_http_check_their_fields() -> None:
    machine = Machine()
    assert "error" in machine.control("POST", "/sessions/cs_x/pay")
    assert "error" in machine.control("POST", "/disputes", {})
    assert "error" in machine.control("POST", "/delivery", {"drop": "often"})
    assert "error" in machine.control("POST", "/delivery", {"lose": 1})
    assert "error" in machine.control("POST", "/faults", {"match": "/v1", "fault": "earthquake"})
    assert "error" in machine.control("GET", "/nothing")
    added = machine.control("POST", "/faults", {"match": "/v1/", "fault": "status", "status": 503, "times": 2})
    assert len(added["faults"]) == 1
    assert machine.refused("GET", SESSIONS)[0] == 503
    assert machine.control("DELETE", "/faults")["faults"] == []
    assert machine.control("POST", "/delivery", {"drop": 0.5})["drop"] == 0.5
    assert machine.control("DELETE", "/delivery")["drop"] == 0.0
    with pytest.raises(ApiError):
        machine.controls.disturb_delivery(lose=1)


def test_no_garbage_makes_the_api_fail() -> None:
    machine = Machine()
    rng = random.Random(4)
    session = machine.controls.pay(machine.open_session()["id"])
    ids = [session["id"], session["payment_intent"], "x", "%00", ""]
    kinds = [
        "checkout/sessions",
        "charges",
        "events",
        "refunds",
        "balance_transactions",
        "payouts",
        "webhook_endpoints",
    ]
    pieces = ["a", "[", "]", "=", "&", "%5B", "0", "[]", "amount", "limit=", "created[gte]=", "-1", "9" * 20, "true"]
    pieces += ["expand[]=", "data.payment_intent", "%ff", "é", "metadata", "types[]", "line_items[0]", "1.5", "\x00"]
    for _ in range(2000):
        path = f"/v1/{rng.choice(kinds)}{rng.choice(['', '/' + rng.choice(ids)])}"
        form = "".join(rng.choices(pieces, k=rng.randrange(8)))
        answer = machine.send(rng.choice(["GET", "POST"]), path, form)
        assert 200 <= answer.status < 500
        orjson.loads(answer.body)
