"""Stripe's objects with all their keys, as of API version 2026-10-28.endive; null stands where nothing is known."""

from sandbox.stripe_service.books import Books, Json
from sandbox.stripe_service.webhooks import Endpoint

CARD: Json = {
    "brand": "visa",
    "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
    "country": "US",
    "exp_month": 12,
    "exp_year": 2034,
    "fingerprint": "sandboxCardFinger",
    "funding": "credit",
    "last4": "4242",
    "network": "visa",
    "three_d_secure": None,
    "wallet": None,
}
BANK_ACCOUNT: Json = {
    "account_holder_type": "individual",
    "account_type": "checking",
    "bank_name": "STRIPE TEST BANK",
    "fingerprint": "sandboxBankFinger",
    "last4": "6789",
    "routing_number": "110000000",
}
NO_ADDRESS: Json = {"city": None, "country": "US", "line1": None, "line2": None, "postal_code": None, "state": None}
CARD_RETURN: Json = {
    "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
    "type": "card",
}
BANK_RETURN: Json = {"type": "us_bank_transfer", "us_bank_transfer": {"reference": None, "reference_status": "pending"}}
METHODS = ("card", "us_bank_account")


def nulls(*names: str) -> Json:
    return dict.fromkeys(names)


def method_details(method: str) -> Json:
    return {"type": method, method: dict(CARD if method == "card" else BANK_ACCOUNT)}


def line_item(books: Books, item: Json) -> Json:
    """From one checked `line_items[]` entry with its `unit_cents`."""
    total = item["total"]
    product = item["price_data"]["product_data"]
    return {
        "id": books.ids.make("li_1"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": "usd",
        "description": product["name"],
        "metadata": item.get("metadata", {}),
        "price": {
            "id": books.ids.make("price_1"),
            "object": "price",
            "active": False,
            "billing_scheme": "per_unit",
            "created": books.now_seconds(),
            "currency": "usd",
            "livemode": books.account.livemode,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": books.ids.make("prod_", 14),
            "recurring": None,
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "one_time",
            "unit_amount": item["unit_cents"],
            "unit_amount_decimal": item["unit_decimal"],
        },
        "quantity": item["quantity"],
    }


def session(books: Books, params: Json, total: int, public_url: str) -> Json:
    session_id = books.ids.make("cs_live_" if books.account.livemode else "cs_test_", 58)
    now = books.now_seconds()
    allowed = params.get("allowed_payment_method_types")
    return {
        "id": session_id,
        "object": "checkout.session",
        **nulls("after_expiration", "allow_promotion_codes", "client_secret", "collected_information", "consent"),
        **nulls("consent_collection", "currency_conversion", "customer", "customer_account", "invoice", "locale"),
        **nulls("excluded_payment_method_types", "integration_identifier", "name_collection", "optional_items"),
        **nulls("origin_context", "payment_intent", "payment_link", "payment_method_configuration_details"),
        **nulls("permissions", "presentment_details", "recovered_from", "saved_payment_method_options"),
        **nulls("setup_intent", "shipping_address_collection", "shipping_cost", "submit_type", "subscription"),
        **nulls("wallet_options", "billing_address_collection"),
        "adaptive_pricing": {"enabled": False},
        "allowed_payment_method_types": allowed,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "branding_settings": None,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": "usd",
        "custom_fields": [],
        "custom_text": nulls("after_submit", "shipping_address", "submit", "terms_of_service_acceptance"),
        "customer_creation": params.get("customer_creation", "if_required"),
        "customer_details": None,
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "expires_at": params.get("expires_at", now + 86_400),
        "invoice_creation": {"enabled": False, "invoice_data": {}},
        "livemode": books.account.livemode,
        "managed_payments": {"enabled": False},
        "metadata": params.get("metadata", {}),
        "mode": "payment",
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "payment_method_types": params["offered"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "redirect_on_completion": None,
        "return_url": None,
        "shipping_options": [],
        "status": "open",
        "success_url": params["success_url"],
        "tax_id_collection": {"enabled": False, "required": "never"},
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{public_url}/c/pay/{session_id}",
    }


def payment_intent(books: Books, cs: Json, data: Json) -> Json:
    intent_id = books.ids.make("pi_3")
    return {
        "id": intent_id,
        "object": "payment_intent",
        **nulls("allowed_payment_method_types", "application", "application_fee_amount", "automatic_payment_methods"),
        **nulls("canceled_at", "cancellation_reason", "customer", "customer_account", "excluded_payment_method_types"),
        **nulls("hooks", "last_payment_error", "latest_charge", "managed_payments", "next_action", "on_behalf_of"),
        **nulls("payment_details", "payment_method", "payment_method_configuration_details", "payment_record"),
        **nulls("presentment_details", "processing", "review", "setup_future_usage", "shipping", "source"),
        **nulls("transfer_data"),
        "amount": cs["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": data.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{books.ids.make('', 25)}",
        "confirmation_method": "automatic",
        "created": books.now_seconds(),
        "currency": "usd",
        "description": data.get("description"),
        "livemode": books.account.livemode,
        "metadata": dict(data.get("metadata", {})),
        "payment_method_options": {},
        "payment_method_types": list(cs["payment_method_types"]),
        "receipt_email": data.get("receipt_email"),
        "statement_descriptor": data.get("statement_descriptor"),
        "statement_descriptor_suffix": data.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_group": data.get("transfer_group"),
    }


def charge(books: Books, pi: Json, method: str, email: str) -> Json:
    """A charge that has been tried and not yet decided: status pending, nothing captured."""
    return {
        "id": books.ids.make("ch_3" if method == "card" else "py_3"),
        "object": "charge",
        **nulls("application", "application_fee", "application_fee_amount", "authorization_code"),
        **nulls("balance_transaction", "customer", "failure_balance_transaction", "failure_code", "failure_message"),
        **nulls("on_behalf_of", "outcome", "presentment_details", "receipt_number", "receipt_url", "review"),
        **nulls("shipping", "source", "source_transfer", "transfer", "transfer_data"),
        "amount": pi["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": {
            "address": dict(NO_ADDRESS),
            "email": email,
            "name": "Sandbox Buyer",
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "created": books.now_seconds(),
        "currency": "usd",
        "description": pi["description"],
        "disputed": False,
        "fraud_details": {},
        "livemode": books.account.livemode,
        "metadata": dict(pi["metadata"]),
        "paid": False,
        "payment_intent": pi["id"],
        "payment_method": books.ids.make("pm_1"),
        "payment_method_details": method_details(method),
        "radar_options": {},
        "receipt_email": pi["receipt_email"],
        "refunded": False,
        "statement_descriptor": pi["statement_descriptor"],
        "statement_descriptor_suffix": pi["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_group": pi["transfer_group"],
    }


def refund(books: Books, of: Json, params: Json, amount: int) -> Json:
    return {
        "id": books.ids.make("re_3" if of["id"].startswith("ch_") else "pyr_1"),
        "object": "refund",
        **nulls("balance_transaction", "customer", "customer_account", "description", "failure_balance_transaction"),
        **nulls("instructions_email", "next_action", "pending_reason", "presentment_details", "receipt_number"),
        **nulls("source_transfer_reversal", "transfer_reversal"),
        "amount": amount,
        "charge": of["id"],
        "created": books.now_seconds(),
        "currency": "usd",
        "destination_details": dict(CARD_RETURN if of["id"].startswith("ch_") else BANK_RETURN),
        "metadata": params.get("metadata", {}),
        "payment_intent": of["payment_intent"],
        "payment_method": of["payment_method"],
        "reason": params.get("reason"),
        "status": "succeeded",
    }


def dispute(books: Books, of: Json, amount: int, reason: str, status: str) -> Json:
    now = books.now_seconds()
    return {
        "id": books.ids.make("du_1"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": of["id"],
        "created": now,
        "currency": "usd",
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": now + 7 * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "intended_submission_method": "manual",
        "is_charge_refundable": status.startswith("warning_"),
        "livemode": books.account.livemode,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason,
        "status": status,
    }


def payout(books: Books, params: Json, *, automatic: bool, arrival: int) -> Json:
    return {
        "id": books.ids.make("po_1"),
        "object": "payout",
        **nulls("application_fee", "application_fee_amount", "balance_transaction", "failure_balance_transaction"),
        **nulls("failure_code", "failure_message", "original_payout", "payout_method", "reversed_by", "trace_id"),
        "amount": params["amount"],
        "arrival_date": arrival,
        "automatic": automatic,
        "created": books.now_seconds(),
        "currency": "usd",
        "description": params.get("description"),
        "destination": params.get("destination", "ba_1SandboxBankAccount000001"),
        "livemode": books.account.livemode,
        "metadata": params.get("metadata", {}),
        "method": params.get("method", "standard"),
        "reconciliation_status": "in_progress" if automatic else "not_applicable",
        "source_type": params.get("source_type", "card"),
        "statement_descriptor": params.get("statement_descriptor"),
        "status": "pending",
        "type": "bank_account",
    }


def webhook_endpoint(endpoint: Endpoint, *, with_secret: bool) -> Json:
    """The secret is told once, in the answer to the creation."""
    shown: Json = {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": endpoint.api_version,
        "application": None,
        "created": endpoint.created,
        "description": endpoint.description,
        "enabled_events": endpoint.enabled_events,
        "livemode": endpoint.livemode,
        "metadata": endpoint.metadata,
        "status": endpoint.status,
        "url": endpoint.url,
    }
    return {**shown, "secret": endpoint.secret} if with_secret else shown


def account(books: Books) -> Json:
    return {
        "id": books.account.id,
        "object": "account",
        "business_profile": {"name": "renaissBlock sandbox", "url": None, "support_email": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active", "us_bank_account_ach_payments": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": books.account.created,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "operator@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "renaissBlock sandbox", "timezone": "Etc/UTC"}},
        "type": "standard",
    }
