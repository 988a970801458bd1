"""/v1/checkout/sessions"""

from decimal import ROUND_HALF_UP, Decimal

from sandbox.stripe_service import params as p
from sandbox.stripe_service.books import Json
from sandbox.stripe_service.errors import ApiError, bad_param
from sandbox.stripe_service.forms import Form
from sandbox.stripe_service.listing import PAGE_ROWS, equals, line_items, page
from sandbox.stripe_service.metadata import METADATA_ONLY, merge
from sandbox.stripe_service.routes import Route
from sandbox.stripe_service.shapes import METHODS
from sandbox.stripe_service.world import World

USD_MINIMUM_CENTS = 50
LEAST_LIFE_SECONDS = 30 * 60
GREATEST_LIFE_SECONDS = 24 * 3600
PATH = "/v1/checkout/sessions"

_PRODUCT: p.Fields = {
    "name": p.text(250),
    "description": p.text(),
    "images": p.array_of(p.text(2048), 8),
    "metadata": p.metadata,
    "tax_code": p.anything,
    "tax_details": p.anything,
    "unit_label": p.anything,
}
_PRICE: p.Fields = {
    "currency": p.text(3),
    "product": p.unavailable,
    "product_data": p.hash_of(_PRODUCT, ["name"]),
    "recurring": p.unavailable,
    "tax_behavior": p.anything,
    "unit_amount": p.integer(0, p.AMOUNT_MAX),
    "unit_amount_decimal": p.decimal,
}
_LINE: p.Fields = {
    "adjustable_quantity": p.off,
    "metadata": p.metadata,
    "price": p.text(255),
    "price_data": p.hash_of(_PRICE, ["currency", "product_data"]),
    "quantity": p.integer(1, 999_999),
    "tax_rates": p.unavailable,
}
_INTENT_DATA: p.Fields = {
    "application_fee_amount": p.unavailable,
    "capture_method": p.choice("automatic", "automatic_async"),
    "description": p.text(1000),
    "metadata": p.metadata,
    "on_behalf_of": p.unavailable,
    "receipt_email": p.text(800),
    "setup_future_usage": p.anything,
    "shipping": p.anything,
    "statement_descriptor": p.text(22),
    "statement_descriptor_suffix": p.text(22),
    "transfer_data": p.unavailable,
    "transfer_group": p.text(255),
}
_LOOKS = (
    "adaptive_pricing",
    "after_expiration",
    "billing_address_collection",
    "branding_settings",
    "consent_collection",
    "custom_fields",
    "custom_text",
    "customer_update",
    "integration_identifier",
    "locale",
    "name_collection",
    "origin_context",
    "payment_method_collection",
    "payment_method_configuration",
    "payment_method_data",
    "payment_method_options",
    "phone_number_collection",
    "saved_payment_method_options",
    "shipping_address_collection",
    "submit_type",
    "tax_id_collection",
    "wallet_options",
)
"""Known to Stripe, without influence on the money: taken and not acted on."""
_ABSENT = (
    "allow_promotion_codes",
    "customer",
    "customer_account",
    "discounts",
    "optional_items",
    "permissions",
    "redirect_on_completion",
    "return_url",
    "setup_intent_data",
    "shipping_options",
    "subscription_data",
)
"""Known to Stripe, and it would change what is paid or by whom: refused clearly. `payment_method_types` is in neither
list: endive removed it."""
CREATE: p.Fields = {
    **dict.fromkeys(_LOOKS, p.anything),
    **dict.fromkeys(_ABSENT, p.unavailable),
    "allowed_payment_method_types": p.array_of(p.text(100)),
    "automatic_tax": p.off,
    "cancel_url": p.url,
    "client_reference_id": p.text(200),
    "currency": p.text(3),
    "customer_creation": p.choice("always", "if_required"),
    "customer_email": p.text(800),
    "excluded_payment_method_types": p.array_of(p.text(100)),
    "expires_at": p.integer(0),
    "invoice_creation": p.off,
    "line_items": p.array_of(p.hash_of(_LINE, ["quantity"]), 100),
    "managed_payments": p.off,
    "metadata": p.metadata,
    "mode": p.choice("payment"),
    "payment_intent_data": p.hash_of(_INTENT_DATA),
    "success_url": p.url,
    "ui_mode": p.choice("hosted_page"),
}
LIST: p.Fields = {
    **p.PAGE,
    "customer": p.text(),
    "customer_account": p.text(),
    "customer_details": p.hash_of({"email": p.text(800)}, ["email"]),
    "payment_intent": p.text(),
    "payment_link": p.text(),
    "status": p.choice("complete", "expired", "open"),
    "subscription": p.text(),
}


class CheckoutApi:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        key = "checkout_session"
        return [
            Route("POST", PATH, key, self.create),
            Route("GET", PATH, key, self.list_all),
            Route("GET", PATH + "/{id}", key, self.retrieve),
            Route("POST", PATH + "/{id}", key, self.update),
            Route("POST", PATH + "/{id}/expire", key, self.expire),
            Route("GET", PATH + "/{id}/line_items", key, self.line_items),
        ]

    def create(self, form: Form) -> Json:
        values = p.read(form, CREATE, ["line_items", "success_url"])
        self._check_life(values.get("expires_at"))
        self._choose_methods(values)
        if values.get("currency", "usd").lower() != "usd":
            raise bad_param("The sandbox's Stripe charges usd only.", "currency")
        items = [_priced(item, f"line_items[{index}]") for index, item in enumerate(values["line_items"])]
        total = sum(item["total"] for item in items)
        if total < USD_MINIMUM_CENTS:
            message = "The Checkout Session's total amount due must add up to at least $0.50 usd"
            raise ApiError(400, message, code="amount_too_small")
        if total > p.AMOUNT_MAX:
            raise ApiError(400, "The total amount must be no more than $999,999.99", code="amount_too_large")
        return self._world.payments.open_session(values, items, self._world.public_url)

    def _check_life(self, expires_at: int | None) -> None:
        now = self._world.books.now_seconds()
        message = "The `expires_at` timestamp must be"
        if expires_at is not None and expires_at < now + LEAST_LIFE_SECONDS:
            raise bad_param(f"{message} at least 30 minutes from Checkout Session creation.", "expires_at")
        if expires_at is not None and expires_at > now + GREATEST_LIFE_SECONDS:
            raise bad_param(f"{message} less than 24 hours from Checkout Session creation.", "expires_at")

    def _choose_methods(self, values: Json) -> None:
        """Narrow what this account offers by the two filters; nothing left is an error."""
        allowed = values.get("allowed_payment_method_types") or list(METHODS)
        excluded = values.get("excluded_payment_method_types", [])
        left = [method for method in METHODS if method in allowed and method not in excluded]
        if not left:
            raise bad_param("No valid payment method types for this Checkout Session.", "allowed_payment_method_types")
        values["offered"] = left

    def list_all(self, form: Form) -> Json:
        values = p.read(form, LIST)
        same = equals(
            values, "payment_intent", "status", "customer", "customer_account", "payment_link", "subscription"
        )
        email = values.get("customer_details", {}).get("email")

        def keep(row: Json) -> bool:
            return same(row) and (email is None or (row["customer_details"] or {}).get("email") == email)

        return page(self._world.books.sessions, values, PATH, keep, self._of_intent(values.get("payment_intent")))

    def _of_intent(self, intent_id: str | None) -> list[Json] | None:
        if intent_id is None:
            return None
        session_id = self._world.books.session_of.get(intent_id)
        return [] if session_id is None else [self._world.payments.session(session_id)]

    def retrieve(self, form: Form, session_id: str) -> Json:
        p.read(form, {})
        return self._world.payments.session(session_id)

    def update(self, form: Form, session_id: str) -> Json:
        values = p.read(form, METADATA_ONLY)
        session = self._world.payments.session(session_id)
        merge(session, values)
        return session

    def expire(self, form: Form, session_id: str) -> Json:
        p.read(form, {})
        return self._world.payments.expire(session_id)

    def line_items(self, form: Form, session_id: str) -> Json:
        values = p.read(form, p.PAGE)
        session = self._world.payments.session(session_id)
        return line_items(
            self._world.books, session["id"], values.get("limit", PAGE_ROWS), values.get("starting_after")
        )


def _priced(item: Json, name: str) -> Json:
    """A line item with its cents: `unit_cents` (None for a fraction of a cent), `unit_decimal`, `total`."""
    if "price" in item:
        raise ApiError(
            400, f"No such price: '{item['price']}'", code="resource_missing", param=f"{name}[price]", saved=False
        )
    price = item.get("price_data")
    if price is None:
        message = f"Missing required param: {name}[price_data]."
        raise bad_param(message, f"{name}[price_data]", "parameter_missing")
    if price["currency"].lower() != "usd":
        raise bad_param(f"Invalid currency: {price['currency']}. The sandbox's Stripe charges usd only.", "currency")
    if ("unit_amount" in price) == ("unit_amount_decimal" in price):
        message = "You must pass exactly one of unit_amount and unit_amount_decimal."
        raise bad_param(message, f"{name}[price_data][unit_amount]", "parameter_missing")
    unit = Decimal(price.get("unit_amount", price.get("unit_amount_decimal")))
    is_whole = unit == unit.to_integral_value()
    total = int((unit * item["quantity"]).quantize(Decimal(1), ROUND_HALF_UP))
    return {**item, "unit_cents": int(unit) if is_whole else None, "unit_decimal": format(unit, "f"), "total": total}
