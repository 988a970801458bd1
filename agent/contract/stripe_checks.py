"""What is asked of Stripe in test mode. One payment of 3.00 is made by a person on the hosted page, and given back."""

from datetime import timedelta

from agent.contract.check import Check, Failed, Finding, Skipped
from agent.contract.ground import Ground
from agent.stripe_endpoint import flaw
from agent.web.checkout import session_params
from domain.errors import Misuse, Rejected
from domain.keys import is_payment_intent_id
from gateways.answers import Json
from gateways.stripe_facts import SessionFacts
from storage.sales.checkouts import Mark

PRICE_CENTS = 300
SESSION_LIFE = timedelta(minutes=45)
"""Stripe takes 30 minutes at least."""
FEE_SECONDS = 120.0
"""Stripe's balance transaction usually comes within seconds."""
EVENTS_SECONDS = 60.0
_NO_PAYMENT = "no payment was made; pay on the page that `stripe.payment` shows"


async def key(ground: Ground) -> Finding:
    """The key is one of test mode, and reads the balance."""
    balance = await ground.stripe.balance()
    if balance.livemode:
        raise Failed("STRIPE_SECRET_KEY works on real money", "use a test key: sk_test_ or rk_test_")
    return Finding("a key of test mode reads the balance")


async def checkout(ground: Ground) -> Finding:
    """One key makes one Session, whatever is repeated; other parameters under it are refused."""
    uuid = str(ground.ids.uuid())
    first = await _session(ground, uuid, "Contract check")
    again = await _session(ground, uuid, "Contract check", first)
    if again.id != first.id:
        raise Failed("the same idempotency key made two Sessions", "report it: buyers could pay twice")
    try:
        await _session(ground, uuid, "Another title", first)
    except (Misuse, Rejected):
        pass
    else:
        raise Failed("a key was taken with other parameters", "report it: a saved key no longer means one intent")
    closed = await ground.stripe.expire_checkout_session(first.id, f"{uuid}-expire")
    if closed.status != "expired":
        raise Failed(f"an expired Session is {closed.status}", "report it")
    return Finding("a repeated key gives the same Session; with other parameters it is refused; an open one expires")


async def payment(ground: Ground) -> Finding:
    """A payment on the hosted page succeeds."""
    session = await _session(ground, str(ground.ids.uuid()), "Contract check")
    wish = f"Open {session.url} and pay 3.00 with the test card 4242 4242 4242 4242. Paid?"
    if not await ground.ask(wish):
        raise Skipped("nobody paid on the hosted page", "run it in a terminal and pay with the test card")

    async def is_paid() -> bool:
        return (await ground.stripe.fetch_checkout_session(session.id)).payment_status == "paid"

    if not await ground.until(is_paid, EVENTS_SECONDS):
        raise Failed("the Session is not paid", "pay on the page before you answer")
    paid = await ground.stripe.fetch_checkout_session(session.id)
    if paid.payment_intent is None or not is_payment_intent_id(paid.payment_intent):
        raise Failed("the paid Session names no payment_intent of the known form", "report it: keys are made of it")
    intent = await ground.stripe.fetch_payment_intent(paid.payment_intent)
    if (intent.status, intent.amount_received, intent.currency) != ("succeeded", PRICE_CENTS, "usd"):
        raise Failed(f"the payment is {intent.status}, {intent.amount_received} {intent.currency}", "report it")
    ground.found.payment_intent, ground.found.charge_id = intent.id, intent.latest_charge
    return Finding("paid on the hosted page; the payment_intent names our checkout")


async def fee(ground: Ground) -> Finding:
    """The balance transaction names fee and net in USD cents."""
    intent = _paid(ground)

    async def is_booked() -> bool:
        ground.found.charge_id = (await ground.stripe.fetch_payment_intent(intent)).latest_charge
        charge = ground.found.charge_id
        return (
            charge is not None and (await ground.stripe.fetch_charge_with_fee(charge)).balance_transaction is not None
        )

    if not await ground.until(is_booked, FEE_SECONDS):
        raise Failed("no balance transaction came in two minutes", "run it again later: sales stay without a split")
    assert ground.found.charge_id is not None
    booked = (await ground.stripe.fetch_charge_with_fee(ground.found.charge_id)).balance_transaction
    assert booked is not None
    if booked.currency != "usd":
        raise Failed(f"Stripe settles in {booked.currency}", "give the account a USD balance: only USD is booked")
    return Finding(f"fee {booked.fee} cents, net {booked.net} cents", {"fee_cents": booked.fee})


async def events(ground: Ground) -> Finding:
    """The events list shows the sale: what no webhook brought is found again."""
    intent, since = _paid(ground), ground.clock.now() - timedelta(hours=1)
    wanted = {"checkout.session.completed", "payment_intent.succeeded"}

    async def are_listed() -> bool:
        seen = set()
        async for page in ground.stripe.list_events(since, sorted(wanted)):
            seen |= {str(event["type"]) for event in page.events if intent in _ids_of(event)}
        return seen == wanted

    if not await ground.until(are_listed, EVENTS_SECONDS):
        raise Failed("the events list does not show the sale", "give the key the right to read events")
    return Finding("the events list shows the sale's events")


async def refund(ground: Ground) -> Finding:
    """The payment is given back, once, and the refund is found by what we wrote on it."""
    intent, mark = _paid(ground), {"contract": str(ground.ids.uuid())}
    params = {"payment_intent": intent, "metadata": mark}
    made = await ground.stripe.create_refund(params, mark["contract"])
    again = await ground.stripe.create_refund(params, mark["contract"])
    found = await ground.stripe.find_refund(intent, mark)
    if again.id != made.id or found is None or found.id != made.id:
        raise Failed(
            "a repeated refund is another one, or can't be found again", "report it: money could go back twice"
        )
    return Finding("given back once, found again by its metadata")


async def webhook_endpoint(ground: Ground) -> Finding:
    """The webhook endpoint of PUBLIC_BASE_URL exists at our API version and with our events."""
    try:
        endpoints = await ground.stripe.webhook_endpoints()
    except Rejected as error:
        mend = "give the key the right to read webhook endpoints, or look at the endpoint in Stripe's dashboard"
        raise Skipped(f"the key may not look: {error.code}", mend) from None
    wrong = flaw(endpoints, ground.settings.public_base_url)
    if wrong is not None:
        raise Failed(*wrong)
    return Finding("enabled, at our API version, with our events")


def _ids_of(event: Json) -> set[object]:
    """The event's object, and the payment_intent that it names."""
    found = event["data"]["object"]
    return {found.get("id"), found.get("payment_intent")}


async def _session(ground: Ground, uuid: str, title: str, like: SessionFacts | None = None) -> SessionFacts:
    expires = ground.clock.now() + SESSION_LIFE if like is None else like.expires_at
    params = session_params(Mark(uuid, uuid, uuid), title, PRICE_CENTS, expires, ground.settings.public_base_url)
    return await ground.stripe.create_checkout_session(params, uuid)


def _paid(ground: Ground) -> str:
    if ground.found.payment_intent is None:
        raise Skipped("there is no payment to look at", _NO_PAYMENT)
    return ground.found.payment_intent


_PAID = ("stripe.payment",)
CHECKS = (
    Check("stripe.key", "Is it a test key with the rights to read?", key),
    Check("stripe.checkout", "Does one idempotency key make one Session?", checkout),
    Check("stripe.payment", "Does a card payment on the hosted page come out as we read it?", payment, human=True),
    Check("stripe.fee", "Does the balance transaction name fee and net?", fee, after=_PAID),
    Check("stripe.events", "Are missed events found again in the list?", events, after=_PAID),
    Check("stripe.refund", "Is money given back once?", refund, after=_PAID),
    Check("stripe.webhook_endpoint", "Is the webhook endpoint made as it should be?", webhook_endpoint, needed=False),
)
