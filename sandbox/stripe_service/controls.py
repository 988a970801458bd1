"""What a test, the week's player or the simulator does to the sandbox's Stripe, in-process. No part of Stripe's API.

The same over HTTP: `sandbox.stripe_service.control_api`.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from sandbox.faults import Fault, Faults, Rule
from sandbox.stripe_service.books import Json
from sandbox.stripe_service.errors import ApiError, missing
from sandbox.stripe_service.shapes import webhook_endpoint
from sandbox.stripe_service.timing import DAY_MS
from sandbox.stripe_service.webhooks import Endpoint, Switches
from sandbox.stripe_service.world import World


class Controls:
    """Every method raises `ApiError` for an unknown id or an impossible step, and answers the changed object."""

    def __init__(self, world: World, faults: Faults, inner_faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._inner_faults = inner_faults
        self._timing = world.books.timing
        self.pay = world.payments.pay
        self.decline = world.payments.decline
        self.expire = world.payments.expire
        self.settle = world.payments.settle
        self.release = world.payments.release
        self.fail_refund = world.reversals.fail_refund
        self.cancel_refund = world.reversals.cancel_refund
        self.settle_refund = world.reversals.settle_refund
        self.open_dispute = world.reversals.open_dispute
        self.prevent_dispute = world.reversals.prevent_dispute
        self.escalate_dispute = world.reversals.escalate_dispute
        self.answer_dispute = world.reversals.answer_dispute
        self.close_dispute = world.reversals.close_dispute
        self.pay_out_automatically = world.balance.pay_out_automatically
        self.fail_payout = world.balance.fail_payout

    @property
    def switches(self) -> Switches:
        """The delivery's disturbances; set its fields, or all at once through `disturb_delivery`."""
        return self._world.post_office.switches

    @property
    def on_disturbed(self) -> list[Callable[[], None]]:
        """Called for each delivery that a switch loses, doubles, holds back or signs wrongly."""
        return self._world.post_office.on_disturbed

    @property
    def on_left_pending(self) -> list[Callable[[], None]]:
        """Called for each refund that our balance does not cover."""
        return self._world.reversals.on_left_pending

    def refund(
        self,
        charge_or_intent: str,
        amount: int | None = None,
        reason: str | None = None,
        metadata: Json | None = None,
    ) -> Json:
        """As the operator does in Stripe's dashboard; `amount` in cents, all that is left if None. With `metadata` it
        is what an earlier call made of which Stripe knew nothing until now."""
        params: Json = {"payment_intent" if charge_or_intent.startswith("pi_") else "charge": charge_or_intent}
        if amount is not None:
            params["amount"] = amount
        if reason is not None:
            params["reason"] = reason
        if metadata is not None:
            params["metadata"] = metadata
        return self._world.reversals.refund(params)

    def lack_funds(self, *, lacks: bool = True) -> Json:
        """From now on refunds stay pending, because our balance does not cover them, or no more."""
        self._world.reversals.lacks_funds = lacks
        return {"lacks_funds": lacks}

    def disturb_delivery(self, **switches: Any) -> Json:
        """Set some `Switches` fields, leave the others. Unknown names raise `ApiError`."""
        known = asdict(self.switches)
        for name in switches:
            if name not in known:
                raise ApiError(400, f"No delivery switch {name}; there are {', '.join(known)}", param=name)
        if not all(isinstance(held, int) for held in switches.get("delay_ms", {}).values()):
            raise ApiError(400, "delay_ms maps event types to milliseconds.", param="delay_ms")
        self._world.post_office.switches = replace(self.switches, **switches)
        return asdict(self.switches)

    def calm_delivery(self) -> Json:
        """All switches back to none; tries that failed before are tried again at their time."""
        self._world.post_office.switches = Switches()
        return asdict(self.switches)

    def add_fault(self, rule: Rule, *, inside: bool = False) -> Rule:
        """`inside`: strikes behind the idempotency layer, so that an injected status is remembered by its key."""
        return (self._inner_faults if inside else self._faults).add(rule)

    def clear_faults(self) -> None:
        self._faults.clear()
        self._inner_faults.clear()

    def delay_fees(self, delay_ms: int | None = None) -> None:
        """From now on balance transactions come so long after their payments; None: as they did."""
        books = self._world.books
        books.timing = self._timing if delay_ms is None else replace(self._timing, fee_delay_ms=delay_ms)

    def limit_rate(self, match: str = "/v1/", times: int = 1) -> Rule:
        """The next `times` matching requests get 429."""
        return self.add_fault(Rule(match, Fault.STATUS, times=times, status=429))

    def add_webhook(self, url: str, enabled_events: list[str] | None = None, secret: str | None = None) -> Json:
        """Register an endpoint, perhaps with a secret that is known beforehand. Answers it with its secret."""
        params = {"url": url, "enabled_events": enabled_events or ["*"]}
        return webhook_endpoint(self._world.add_endpoint(params, secret), with_secret=True)

    def roll_secret(self, endpoint_id: str, overlap_ms: int = DAY_MS, secret: str | None = None) -> str:
        """Give an endpoint a new secret; the old one signs beside it for `overlap_ms`. Answers the new one."""
        endpoint = self._endpoint(endpoint_id)
        now = self._world.books.clock()
        still_active = [(old, until) for old, until in endpoint.rolled if until > now]
        endpoint.rolled = [(endpoint.secret, now + overlap_ms), *still_active]
        endpoint.secret = secret or self._world.new_secret()
        return endpoint.secret

    def forge_event(self, event_type: str, subject: Json, *, livemode: bool | None = None) -> Json:
        """Send an event of any type about any object: an unknown type, the wrong mode, another currency."""
        return self._world.events.emit(event_type, subject, livemode=livemode).render()

    def resend_event(self, event_id: str, endpoint_id: str | None = None) -> Json:
        """Deliver an event again, to one endpoint or to all enabled ones."""
        event = self._world.events.find(event_id)
        if event is None:
            raise missing("event", event_id)
        for endpoint in [self._endpoint(endpoint_id)] if endpoint_id else self._world.post_office.endpoints.values():
            self._world.post_office.resend(event, endpoint.id)
        return event.render()

    def ledger(self) -> Json:
        """An independent record for checkers: every charge that took or takes money, with what became of it.

        Cents throughout; `fee_cents` and `net_cents` are None until the balance transaction exists."""
        books = self._world.books
        payments = [self._entry(charge) for charge in books.charges if charge["status"] != "failed"]
        paid = [entry for entry in payments if entry["status"] == "succeeded"]
        return {
            "payments": payments,
            "totals": {
                "paid": len(paid),
                "gross_cents": sum(entry["gross_cents"] for entry in paid),
                "fee_cents": sum(entry["fee_cents"] or 0 for entry in paid),
                "refunded_cents": sum(entry["refunded_cents"] for entry in paid),
                "balance_cents": self._world.balance.available_cents + self._world.balance.pending_cents,
            },
        }

    def _entry(self, charge: Json) -> Json:
        books = self._world.books
        refunds = books.refunds.matching("charge", charge["id"])
        disputes = books.disputes.matching("charge", charge["id"])
        session = books.sessions.get(books.session_of[charge["payment_intent"]]) or {}
        booked = books.balance_transactions.get(charge["balance_transaction"] or "") or {}
        return {
            "session": session.get("id"),
            "client_reference_id": session.get("client_reference_id"),
            "payment_intent": charge["payment_intent"],
            "charge": charge["id"],
            "status": charge["status"],
            "created": charge["created"],
            "metadata": charge["metadata"],
            "gross_cents": charge["amount"],
            "balance_transaction": booked.get("id"),
            "fee_cents": booked.get("fee"),
            "net_cents": booked.get("net"),
            "available_on": booked.get("available_on"),
            "refunded_cents": charge["amount_refunded"],
            "refunds": [{key: row[key] for key in ("id", "amount", "status", "metadata")} for row in refunds],
            "disputes": [_told_of(row) for row in disputes],
        }

    def _endpoint(self, endpoint_id: str) -> Endpoint:
        endpoint = self._world.post_office.endpoints.get(endpoint_id)
        if endpoint is None:
            raise missing("webhook_endpoint", endpoint_id)
        return endpoint


def _told_of(dispute: Json) -> Json:
    """`withdrawn_cents`: what it has taken of us and not brought back, without its fee."""
    withdrawn = -sum(booked["amount"] for booked in dispute["balance_transactions"])
    return {**{key: dispute[key] for key in ("id", "amount", "status")}, "withdrawn_cents": withdrawn}
