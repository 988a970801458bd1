"""A buyer's wish becomes a Stripe Checkout Session: intent, key and parameters are committed before Stripe is asked."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection

from agent.web.endpoint import Access, Call, Endpoint
from agent.web.rates import Rate
from agent.web.settings import WebSettings
from agent.web.shop_bodies import CheckoutBegun, CheckoutWish
from domain.errors import AccessRefused, KeySpent, OutcomeUnknown, Rejected, RequestError, Retryable
from domain.states import CheckoutState
from ports.clock import Clock
from ports.ids import Ids
from storage.people import users
from storage.sales import checkouts
from storage.sales.checkouts import Checkout, Mark, abandon
from storage.store import Store

CHECKOUTS = Rate(burst=60, per_second=0.2)
"""Of one buyer: a Session at Stripe for each content, and a row."""
TRIES = 3
"""Calls to Stripe within one request, all with one key; the buyer's next request goes on with the same key."""
PAUSE_SECONDS = 0.25
LEAST_LIFETIME = timedelta(minutes=31)
"""Stripe wants at least 30 minutes between creation and expiry; a minute for clocks that differ."""
PAYMENT_METHOD = "card"
CURRENCY = "usd"
KEY_SPENT = "Stripe failed within, and repeats that for this key"


class Session(Protocol):
    """What Stripe answered."""

    @property
    def id(self) -> str: ...

    @property
    def url(self) -> str | None: ...

    @property
    def status(self) -> str | None: ...

    @property
    def client_reference_id(self) -> str | None: ...

    @property
    def amount_total(self) -> int | None: ...

    @property
    def currency(self) -> str | None: ...


class CheckoutGateway(Protocol):
    """The one call of Stripe's that selling needs."""

    async def create_checkout_session(self, params: dict[str, Any], idempotency_key: str) -> Session:
        """Raises Retryable, OutcomeUnknown or Rejected. The same key with the same params gives the same Session, or,
        after KeySpent, never one."""
        ...


class Shop:
    """The checkout endpoint. Stripe sends the buyer back to two of the shop's pages."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, stripe: CheckoutGateway, settings: WebSettings) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._stripe = stripe
        self._settings = settings

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/api/checkout/stripe/",
                Access.USER,
                self.check_out,
                "Begin paying by card, or go on where it was left",
                CheckoutBegun,
                takes=CheckoutWish,
                errors=(404, 409, 502),
                rate=CHECKOUTS,
            ),
        ]

    async def check_out(self, call: Call) -> CheckoutBegun:
        wish = call.taken(CheckoutWish)
        if wish.payment_method != PAYMENT_METHOD:
            raise RequestError(422, "payment_method_unknown", "the only payment_method is card", "payment_method")
        if wish.currency.lower() != CURRENCY:
            raise RequestError(422, "currency_unsupported", "the only currency is usd", "currency")
        checkout = await self._begin(wish.content_id, call.user_id)
        if checkout.state is CheckoutState.CREATING:
            checkout = await self._create(checkout, wish.content_id, call.user_id)
        if checkout.stripe_session_id is None or checkout.url is None:
            raise RequestError(409, "checkout_over", "this checkout ended a moment ago; ask again")
        return CheckoutBegun(session_id=checkout.stripe_session_id, redirect_url=checkout.url)

    async def _begin(
        self, content_id: int, buyer_id: int, first: Callable[[Connection, datetime], None] = lambda conn, now: None
    ) -> Checkout:
        """The buyer's live checkout, or a new one in the state CREATING. What comes `first` happens with it or not at
        all: the last edition may be gone by now."""
        now = self._clock.now()
        content, buyer = await self._store.read(
            lambda conn: (checkouts.for_sale(conn, content_id), users.required(conn, buyer_id))
        )
        wanted = checkouts.Wanted(
            uuid=str(self._ids.uuid()),
            idempotency_key=str(self._ids.uuid()),
            content_id=content_id,
            buyer_id=buyer_id,
            expires_at=(now + max(self._settings.checkout_lifetime, LEAST_LIFETIME)).replace(microsecond=0),
        )
        mark = Mark(wanted.uuid, content.uuid, buyer.uuid)
        params = session_params(
            mark, content.title, content.price_cents, wanted.expires_at, self._settings.public_base_url
        )
        price: int = content.price_cents

        def begin(conn: Connection) -> Checkout:
            first(conn, now)
            return checkouts.begin(conn, wanted, price, params, now)

        return await self._store.write(begin)

    async def _create(self, checkout: Checkout, content_id: int, buyer_id: int) -> Checkout:
        """Ask Stripe with the stored key and parameters. One that Stripe refuses because its time has become too short,
        or that it failed over, is replaced once; nothing was ever handed out for it."""
        try:
            return await self._ask_stripe(checkout)
        except KeySpent:
            why = KEY_SPENT
        except Rejected as first:
            why = f"Stripe refused: {first.code}"
            if checkout.expires_at - self._clock.now() >= LEAST_LIFETIME - timedelta(minutes=1):
                await self._abandon(checkout, why)
                raise _refused(first) from None
        replacement = await self._begin(content_id, buyer_id, lambda conn, now: abandon(conn, checkout.id, why, now))
        if replacement.state is not CheckoutState.CREATING:
            return replacement
        try:
            return await self._ask_stripe(replacement)
        except KeySpent:
            raise _unavailable() from None  # the buyer's next request replaces it
        except Rejected as error:
            await self._abandon(replacement, f"Stripe refused: {error.code}")
            raise _refused(error) from None

    async def _ask_stripe(self, checkout: Checkout) -> Checkout:
        session = await self._session(checkout)
        told = (session.client_reference_id, session.amount_total, session.currency)
        if told != (checkout.uuid, checkout.price_cents, CURRENCY):
            raise Rejected("session_differs", f"checkout {checkout.id}: Stripe's Session is not the one asked for")
        if session.status not in (None, "open") or session.url is None:
            await self._abandon(checkout, f"Stripe calls the Session {session.status}")
            raise RequestError(409, "checkout_over", "this checkout ended a moment ago; ask again")
        session_id, url, now = session.id, session.url, self._clock.now()
        return await self._store.write(lambda conn: checkouts.opened(conn, checkout.id, session_id, url, now))

    async def _session(self, checkout: Checkout) -> Session:
        for attempt in range(TRIES):
            if attempt:
                await self._clock.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                return await self._stripe.create_checkout_session(checkout.params, checkout.idempotency_key)
            except KeySpent:
                raise
            except (Retryable, OutcomeUnknown):
                continue
            except AccessRefused:
                break
        raise _unavailable()

    async def _abandon(self, checkout: Checkout, reason: str) -> None:
        now = self._clock.now()
        await self._store.write(lambda conn: abandon(conn, checkout.id, reason, now))


def session_params(
    mark: Mark, title: str, price_cents: int, expires_at: datetime, public_base_url: str
) -> dict[str, Any]:
    """Parameters of the Session, frozen with its key: a repeat with others would be refused by Stripe.

    Our UUIDs are on the Session and on its payment intent, so that whichever event comes first finds its purchase, also
    in a database from before the Session. Only cards: delayed methods would change when a sale counts. Adaptive pricing
    would charge another currency.
    """
    metadata = mark.as_metadata()
    return {
        "mode": "payment",
        "line_items": [
            {
                "quantity": 1,
                "price_data": {"currency": CURRENCY, "unit_amount": price_cents, "product_data": {"name": title}},
            }
        ],
        "client_reference_id": mark.checkout,
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata},
        "allowed_payment_method_types": [PAYMENT_METHOD],
        "adaptive_pricing": {"enabled": False},
        "success_url": f"{public_base_url}/checkout/success?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{public_base_url}/checkout/cancel",
        "expires_at": int(expires_at.timestamp()),
    }


def _unavailable() -> RequestError:
    return RequestError(503, "stripe_unavailable", "Stripe does not answer now; ask again, nothing is lost")


def _refused(error: Rejected) -> RequestError:
    return RequestError(502, "stripe_refused", f"Stripe refused this checkout ({error.code})")
