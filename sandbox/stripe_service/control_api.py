"""`Controls` over HTTP under /_sandbox: JSON in, JSON out, no key. Stripe has nothing like it."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from sandbox.faults import Fault, Faults, Rule
from sandbox.service import Request, Response
from sandbox.stripe_service.api import JSON_HEADERS, json_answer
from sandbox.stripe_service.books import Json
from sandbox.stripe_service.controls import Controls
from sandbox.stripe_service.errors import ApiError

Types = Mapping[str, type | tuple[type, ...]]
Action = Callable[..., Any]
NUMBER = (int, float)

FAULT: Types = {
    "match": str,
    "fault": str,
    "times": int,
    "skip": int,
    "probability": NUMBER,
    "delay_ms": int,
    "status": int,
    "body": dict,
    "inside": bool,
}
SWITCHES: Types = {
    "duplicates": NUMBER,
    "shuffle_ms": int,
    "drop": NUMBER,
    "tries_max": (int, type(None)),
    "delay_ms": dict,
    "created_step_seconds": int,
    "timestamp_offset_seconds": int,
    "bad_signatures": NUMBER,
}
DISPUTE: Types = {"charge_or_intent": str, "amount": int, "inquiry": bool, "reason": str}
PREVENTED: Types = {"charge_or_intent": str, "amount": int, "resolved": bool, "reason": str}


class ControlApi:
    def __init__(self, controls: Controls, faults: Faults, inner_faults: Faults) -> None:
        self._controls = controls
        self._faults = faults
        self._inner_faults = inner_faults
        c = controls
        self._routes: list[tuple[str, str, Types, Action]] = [
            ("POST", "/sessions/{id}/pay", {"method": str, "email": str, "debit": str}, c.pay),
            ("POST", "/sessions/{id}/decline", {"decline_code": str}, c.decline),
            ("POST", "/sessions/{id}/expire", {}, c.expire),
            ("POST", "/sessions/{id}/settle", {"succeeded": bool}, c.settle),
            ("POST", "/charges/{id}/release", {}, c.release),
            ("POST", "/refunds", {"charge_or_intent": str, "amount": int, "reason": str}, c.refund),
            ("POST", "/refunds/pending", {"lacks": bool}, c.lack_funds),
            ("POST", "/refunds/{id}/fail", {"reason": str}, c.fail_refund),
            ("POST", "/refunds/{id}/settle", {}, c.settle_refund),
            ("POST", "/refunds/{id}/cancel", {}, c.cancel_refund),
            ("POST", "/disputes", DISPUTE, c.open_dispute),
            ("POST", "/disputes/prevented", PREVENTED, c.prevent_dispute),
            ("POST", "/disputes/{id}/escalate", {}, c.escalate_dispute),
            ("POST", "/disputes/{id}/answer", {}, c.answer_dispute),
            ("POST", "/disputes/{id}/close", {"outcome": str}, c.close_dispute),
            ("POST", "/payouts/automatic", {}, c.pay_out_automatically),
            ("POST", "/payouts/{id}/fail", {"code": str}, c.fail_payout),
            ("POST", "/events", {"event_type": str, "subject": dict, "livemode": bool}, c.forge_event),
            ("POST", "/events/{id}/resend", {"endpoint_id": str}, c.resend_event),
            ("GET", "/delivery", {}, lambda: asdict(c.switches)),
            ("POST", "/delivery", SWITCHES, c.disturb_delivery),
            ("DELETE", "/delivery", {}, c.calm_delivery),
            ("GET", "/faults", {}, self._list_faults),
            ("POST", "/faults", FAULT, self._add_fault),
            ("DELETE", "/faults", {}, self._clear_faults),
            ("POST", "/webhook_endpoints", {"url": str, "enabled_events": list, "secret": str}, c.add_webhook),
            ("POST", "/webhook_endpoints/{id}/roll", {"overlap_ms": int, "secret": str}, self._roll),
            ("GET", "/ledger", {}, c.ledger),
        ]
        self._patterns = [
            (method, re.compile("/_sandbox" + path.replace("{id}", "([^/]+)")), types, action)
            for method, path, types, action in self._routes
        ]

    def handle(self, request: Request) -> Response:
        try:
            return json_answer(self._run(request))
        except ApiError as error:
            return Response(error.status, error.body(), JSON_HEADERS)

    def _run(self, request: Request) -> Json:
        for method, pattern, types, action in self._patterns:
            found = pattern.fullmatch(request.path) if request.method == method else None
            if found is not None:
                answer: Json = _call(action, found.groups(), _arguments(request.body, types))
                return answer
        routes = ", ".join(f"{method} /_sandbox{path}" for method, path, _, _ in self._routes)
        raise ApiError(404, f"No control {request.method} {request.path}; there are {routes}")

    def _add_fault(
        self, match: str, fault: str, *, inside: bool = False, body: Json | None = None, **options: Any
    ) -> Json:
        if fault not in list(Fault):
            raise ApiError(400, f"No fault {fault}; there are {', '.join(Fault)}", param="fault")
        content = b"{}" if body is None else orjson.dumps(body)
        self._controls.add_fault(Rule(match, Fault(fault), body=content, **options), inside=inside)
        return self._list_faults()

    def _clear_faults(self) -> Json:
        self._controls.clear_faults()
        return self._list_faults()

    def _list_faults(self) -> Json:
        return {
            "faults": [_shown(rule) for rule in self._faults.rules],
            "inside": [_shown(rule) for rule in self._inner_faults.rules],
            "injected": self._faults.injected + self._inner_faults.injected,
        }

    def _roll(self, endpoint_id: str, **options: Any) -> Json:
        return {"id": endpoint_id, "secret": self._controls.roll_secret(endpoint_id, **options)}


def _shown(rule: Rule) -> Json:
    """But for whom it tells of its strikes, which is no JSON."""
    shown = {**asdict(rule), "body": rule.body.decode("utf-8", "replace")}
    del shown["strikes"]
    return shown


def _arguments(body: bytes, types: Types) -> Json:
    """The JSON object of a control request, each value of its type; anything else raises `ApiError` 400."""
    try:
        content = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "The body is not JSON.") from error
    if not isinstance(content, dict):
        raise ApiError(400, "The body must be a JSON object.")
    for name, value in content.items():
        wanted = types.get(name)
        if wanted is None:
            raise ApiError(400, f"Unknown field {name}; there are {', '.join(types) or 'none'}", param=name)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ApiError(400, f"Field {name} has the wrong type.", param=name)
    return content


def _call(action: Action, ids: tuple[str, ...], arguments: Json) -> Any:
    try:
        inspect.signature(action).bind(*ids, **arguments)
    except TypeError as error:
        raise ApiError(400, f"The fields do not fit: {error}.") from error
    return action(*ids, **arguments)
