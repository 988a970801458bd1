"""Stripe events as they come over the wire: whole signed HTTP requests, made before the clock runs."""

import hashlib
import hmac
from datetime import datetime
from itertools import count

import orjson

WEBHOOK_PATH = "/api/checkout/webhook/"
WEBHOOK_SECRET = "whsec_bench"
API_VERSION = "2026-10-28.clover"
_numbers = count(1)


def signed_requests(amount: int, now: datetime, kind: str = "payment_intent.succeeded") -> list[bytes]:
    """Requests with an event each that no other has, signed at `now` (the daemon takes them for five minutes)."""
    return [_request(next(_numbers), int(now.timestamp()), kind) for _ in range(amount)]


def _request(number: int, seconds: int, kind: str) -> bytes:
    body = orjson.dumps(_event(number, seconds, kind), option=orjson.OPT_INDENT_2)
    signature = hmac.new(WEBHOOK_SECRET.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    head = (
        f"POST {WEBHOOK_PATH} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
        "Accept: */*; q=0.5, application/xml\r\n"
        "Cache-Control: no-cache\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Stripe-Signature: t={seconds},v1={signature}\r\n"
        "\r\n"
    )
    return head.encode() + body


def _event(number: int, seconds: int, kind: str) -> dict[str, object]:
    """An event about a payment_intent with the fields and the indentation that Stripe sends: about 2 KB."""
    intent = f"pi_3Bench{number:015d}"
    return {
        "id": f"evt_3Bench{number:015d}",
        "object": "event",
        "api_version": API_VERSION,
        "created": seconds,
        "data": {
            "object": {
                "id": intent,
                "object": "payment_intent",
                "amount": 300,
                "amount_capturable": 0,
                "amount_details": {"tip": {}},
                "amount_received": 300,
                "application": None,
                "application_fee_amount": None,
                "automatic_payment_methods": None,
                "canceled_at": None,
                "cancellation_reason": None,
                "capture_method": "automatic_async",
                "client_secret": f"{intent}_secret_{number:025d}",
                "confirmation_method": "automatic",
                "created": seconds,
                "currency": "usd",
                "customer": None,
                "description": None,
                "last_payment_error": None,
                "latest_charge": f"ch_3Bench{number:015d}",
                "livemode": False,
                "metadata": {"purchase": str(number), "content": "12", "buyer": "7"},
                "next_action": None,
                "on_behalf_of": None,
                "payment_method": f"pm_1Bench{number:015d}",
                "payment_method_configuration_details": None,
                "payment_method_options": {
                    "card": {
                        "installments": None,
                        "mandate_options": None,
                        "network": None,
                        "request_three_d_secure": "automatic",
                    }
                },
                "payment_method_types": ["card"],
                "processing": None,
                "receipt_email": "buyer@example.com",
                "review": None,
                "setup_future_usage": None,
                "shipping": None,
                "source": None,
                "statement_descriptor": None,
                "statement_descriptor_suffix": None,
                "status": "succeeded",
                "transfer_data": None,
                "transfer_group": None,
            }
        },
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": f"req_{number:014d}", "idempotency_key": f"bench-{number:032d}"},
        "type": kind,
    }
