"""Stripe as the steps see it: facts in, facts out, three kinds of errors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote_plus

import stripe

from domain.errors import KeyRefused, Misuse
from gateways.answers import Json, ShapeError
from gateways.border import garbled, held_up, no_answer
from gateways.key_guard import KeyGuard
from gateways.pace import Pace
from gateways.stripe_client import build_client
from gateways.stripe_errors import translate
from gateways.stripe_facts import (
    AccountFacts,
    BalanceEntry,
    BalanceFacts,
    ChargeFacts,
    EventPage,
    PaymentIntentFacts,
    RefundFacts,
    SessionFacts,
    WebhookEndpointFacts,
    read_event,
    read_page,
)
from ports.clock import Clock, SendWindow
from ports.transport import Transport, TransportError

PAGE_ROWS = 100
"""Stripe's largest page."""
EVENT_TYPES_MAX = 20
"""Stripe's limit for the `types` filter."""
DEADLINE_SECONDS = 30.0
READS_PER_SECOND = 20
"""Stripe takes 25 requests a second of one endpoint, and of a test account in all: a flash sale's fees, asked for as
fast as they come, would have its buyers' Sessions refused."""
_SDK_TRIPPED = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RecursionError)
"""What the SDK raises itself when a 2xx body is JSON of another form than it expects."""

_NONE: Mapping[str, Any] = {}

T = TypeVar("T")
Read = Callable[[Json], T]


class StripeGateway:
    """Every call is tried once. Calls with an `idempotency_key` may be repeated with the same key and parameters for 24
    hours; after that Stripe may have forgotten the key, so look the object up first.

    All methods raise Retryable, OutcomeUnknown (calls with a key only), Rejected, or Misuse (a key reused with other
    parameters). While our secret key is refused no call is made (`key`). Answers are read as the JSON that Stripe sent:
    the SDK's objects convert some fields, and to make them takes longer than the rest of a call.
    """

    def __init__(
        self,
        transport: Transport,
        secret_key: str,
        api_base: str,
        clock: Clock,
        deadline_seconds: float = DEADLINE_SECONDS,
        reads_per_second: int = READS_PER_SECOND,
    ) -> None:
        """`reads_per_second` of this process, 0: no limit. What a buyer or a refund waits for goes at once."""
        self._clock = clock
        self._reads = Pace(clock, reads_per_second)
        self._api_base = api_base
        self._client = build_client(transport, secret_key, api_base, deadline_seconds)
        self.key = KeyGuard("Stripe", self._ask_for_key)

    def __repr__(self) -> str:
        return f"StripeGateway({self._api_base!r}, secret_key='***')"

    async def create_checkout_session(self, params: Mapping[str, Any], idempotency_key: str) -> SessionFacts:
        """`params` as saved with the key: Stripe's names, JSON types."""
        what, path = "create checkout session", "/v1/checkout/sessions"
        return await self._post(what, path, params, idempotency_key, SessionFacts.read)

    async def fetch_checkout_session(self, session_id: str) -> SessionFacts:
        return await self._get(
            f"fetch {session_id}", f"/v1/checkout/sessions/{quote_plus(session_id)}", SessionFacts.read
        )

    async def expire_checkout_session(self, session_id: str, idempotency_key: str) -> SessionFacts:
        """Close an open Session, so that it can't be paid any more. Rejected if it is not open."""
        path = f"/v1/checkout/sessions/{quote_plus(session_id)}/expire"
        return await self._post(f"expire {session_id}", path, {}, idempotency_key, SessionFacts.read)

    async def find_session_by_payment_intent(self, payment_intent: str) -> SessionFacts | None:
        """The Session that led to a payment: nothing on the payment intent names it."""
        what, of = f"find session of {payment_intent}", {"payment_intent": payment_intent, "limit": 1}
        found, _ = await self._get(what, "/v1/checkout/sessions", read_page, of)
        return self._read("find session", SessionFacts.read, found[0]) if found else None

    async def find_checkout_session(self, client_reference_id: str, created_after: datetime) -> SessionFacts | None:
        """Look-up before an idempotency key older than 24 hours is used again. The newest match, or None.

        Stripe has no filter by reference: this pages through all Sessions made since `created_after`.
        """
        params = {"created": {"gte": int(created_after.timestamp())}}
        async for rows, _ in self._pages("find session", "/v1/checkout/sessions", params, None):
            for row in rows:
                session = self._read("find session", SessionFacts.read, row)
                if session.client_reference_id == client_reference_id:
                    return session
        return None

    async def fetch_payment_intent(self, payment_intent: str) -> PaymentIntentFacts:
        path = f"/v1/payment_intents/{quote_plus(payment_intent)}"
        return await self._get(f"fetch {payment_intent}", path, PaymentIntentFacts.read)

    async def fetch_charge_with_fee(self, charge_id: str) -> ChargeFacts:
        """The charge, with its balance transaction once Stripe has one."""
        path, whole = f"/v1/charges/{quote_plus(charge_id)}", {"expand": ["balance_transaction"]}
        return await self._get(f"fetch {charge_id}", path, ChargeFacts.read, whole)

    async def create_refund(
        self, params: Mapping[str, Any], idempotency_key: str, window: SendWindow | None = None
    ) -> RefundFacts:
        """`params` as saved with the key. A refund's own reference in `metadata` makes it findable later. When `window`
        is over, it is not asked for any more (Retryable)."""
        if window is not None and window.is_over:
            raise held_up("Stripe: create refund")
        return await self._post("create refund", "/v1/refunds", params, idempotency_key, RefundFacts.read)

    async def fetch_refund(self, refund_id: str) -> RefundFacts:
        return await self._get(f"fetch {refund_id}", f"/v1/refunds/{quote_plus(refund_id)}", RefundFacts.read)

    async def list_refunds(self, payment_intent: str) -> list[RefundFacts]:
        """All refunds of a payment, newest first, whoever made them."""
        what = f"refunds of {payment_intent}"
        params = {"payment_intent": payment_intent}
        return [
            self._read(what, RefundFacts.read, row)
            async for rows, _ in self._pages(what, "/v1/refunds", params, None)
            for row in rows
        ]

    async def find_refund(self, payment_intent: str, metadata: Mapping[str, str]) -> RefundFacts | None:
        """The payment's refund that carries all of `metadata`, or None."""
        for refund in await self.list_refunds(payment_intent):
            if metadata.items() <= refund.metadata.items():
                return refund
        return None

    async def list_events(
        self, created_gte: datetime, types: Sequence[str], starting_after: str | None = None
    ) -> AsyncIterator[EventPage]:
        """Pages of events since `created_gte` (Stripe keeps 30 days), newest first, at most 20 types.

        A broken-off listing goes on with `starting_after=page.next_cursor`.
        """
        if len(types) > EVENT_TYPES_MAX:
            raise Misuse(f"list events: {len(types)} types, Stripe takes {EVENT_TYPES_MAX}")
        params = {"created": {"gte": int(created_gte.timestamp())}, "types": list(types)}
        async for rows, cursor in self._pages("list events", "/v1/events", params, starting_after):
            yield EventPage(tuple(self._read("list events", read_event, row) for row in rows), cursor)

    async def list_balance_transactions(self, created_gte: datetime) -> AsyncIterator[tuple[BalanceEntry, ...]]:
        """Pages of everything that moved our Stripe balance since `created_gte`, newest first."""
        what, params = "list balance transactions", {"created": {"gte": int(created_gte.timestamp())}}
        async for rows, _ in self._pages(what, "/v1/balance_transactions", params, None):
            yield tuple(self._read(what, BalanceEntry.read, row) for row in rows)

    async def balance(self) -> BalanceFacts:
        return await self._get("fetch balance", "/v1/balance", BalanceFacts.read)

    async def account(self) -> AccountFacts:
        """The key's account and mode. The account object does not tell the mode, the balance does."""
        obj = await self._get("fetch account", "/v1/account", _account_id)
        return AccountFacts(obj, (await self.balance()).livemode)

    async def webhook_endpoints(self) -> list[WebhookEndpointFacts]:
        """All of the account's (Stripe allows 16). Rejected `stripe_forbidden` for a restricted key without that
        right."""
        what = "list webhook endpoints"
        return [
            self._read(what, WebhookEndpointFacts.read, row)
            async for rows, _ in self._pages(what, "/v1/webhook_endpoints", {}, None)
            for row in rows
        ]

    async def _pages(
        self,
        what: str,
        path: str,
        params: Mapping[str, Any],
        cursor: str | None,
    ) -> AsyncIterator[tuple[list[Json], str | None]]:
        """Ends because each page's cursor lies further back in a list that has an end; one that stands still raises."""
        while True:
            after = {} if cursor is None else {"starting_after": cursor}
            rows, following = await self._get(what, path, read_page, {**params, "limit": PAGE_ROWS, **after})
            yield rows, following
            if following is None:
                return
            if following == cursor:
                raise garbled("the list does not move on", what, has_effect=False)
            cursor = following

    async def _get(self, what: str, path: str, read: Read[T], params: Mapping[str, Any] = _NONE) -> T:
        self.key.require(f"Stripe: {what}")
        await self._reads.turn()
        self.key.require(f"Stripe: {what}")
        return await self._ask(what, self._client.raw_request_async("get", path, **params), read)

    async def _post(self, what: str, path: str, params: Mapping[str, Any], key: str, read: Read[T]) -> T:
        self.key.require(f"Stripe: {what}")
        call = self._client.raw_request_async("post", path, **params, idempotency_key=key)
        return await self._ask(what, call, read, has_effect=True)

    async def _ask_for_key(self) -> BalanceFacts:
        return await self._ask(
            "ask for our key", self._client.raw_request_async("get", "/v1/balance"), BalanceFacts.read
        )

    async def _ask(
        self, what: str, call: Awaitable[stripe.StripeResponse], read: Read[T], *, has_effect: bool = False
    ) -> T:
        call_name = f"Stripe: {what}"
        try:
            answered = await call
            return read(_json(answered))
        except TransportError as error:
            raise no_answer(error, call_name, has_effect=has_effect) from error
        except stripe.StripeError as error:
            # `from None`: the SDK's exception carries the whole body, which may hold a client secret.
            meant = translate(error, call_name, self._clock.now(), has_effect=has_effect)
            if isinstance(meant, KeyRefused):
                self.key.refuse(meant)
            raise meant from None
        except ShapeError as error:
            raise garbled(str(error), call_name, has_effect=has_effect) from error
        except _SDK_TRIPPED as error:
            raise garbled(type(error).__name__, call_name, has_effect=has_effect) from error

    def _read(self, what: str, read: Read[T], row: Json) -> T:
        """One row of a list."""
        try:
            return read(row)
        except ShapeError as error:
            raise garbled(str(error), f"Stripe: {what}", has_effect=False) from error


def _json(answered: stripe.StripeResponse) -> Json:
    data: Any = answered.data
    if not isinstance(data, dict):
        raise ShapeError("not a JSON object")
    return data


def _account_id(obj: Json) -> str:
    if obj.get("object") != "account" or not isinstance(obj.get("id"), str):
        raise ShapeError("not an account")
    return str(obj["id"])
