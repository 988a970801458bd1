"""Circle Mint's endpoints under /v1/businessAccount, one function each."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sandbox.circle_service.errors import ApiError
from sandbox.circle_service.fields import Fields, Json, is_uuid
from sandbox.circle_service.idempotency import Replays
from sandbox.circle_service.paging import page
from sandbox.circle_service.solana import parse_address
from sandbox.circle_service.wire import DECIMAL
from sandbox.mint_service.books import (
    CENTS_DECIMALS,
    CHAIN,
    CURRENCY,
    Books,
    Deposit,
    Recipient,
    Transfer,
    Wire,
    money,
)
from sandbox.mint_service.sending import Sending

AMOUNT_CENTS_MAX = 10**12
BASE_UNITS_PER_CENT = 10_000
CHAINS = ("ALGO", "AVAX", "BASE", "BTC", "ETH", "FLOW", "HBAR", "POLY", "SOL", "TRX", "XLM")
"""Of the chains only SOL is served here; POLY, not MATIC (reference/circle.md, section 10)."""
PAGE_SIZE = "50"
"""The lists' own default, in descending order of creation."""

T = TypeVar("T", Deposit, Recipient, Transfer)
Data = dict[str, object] | list[dict[str, object]]
Reply = tuple[int, Data]


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that an endpoint works on."""

    books: Books
    sending: Sending
    replays: Replays


@dataclass(frozen=True, slots=True)
class Call:
    params: tuple[str, ...]
    query: Fields
    body: Json = field(default_factory=dict)


def not_found() -> ApiError:
    return ApiError(404, 404, "Not found.")


def key_conflict() -> ApiError:
    """Which refusal a key with another payload gets is not documented: 409 stands for "state conflict"."""
    return ApiError(409, 409, "The idempotency key was used with another request.")


def balances(account: Account, _: Call) -> Reply:
    books = account.books
    return 200, {"available": [money(books.available)], "unsettled": [money(books.unsettled)]}


def list_wires(account: Account, _: Call) -> Reply:
    return 200, [wire.view() for wire in account.books.wires]


def get_wire(account: Account, call: Call) -> Reply:
    return 200, _wire(account, call).view()


def wire_instructions(account: Account, call: Call) -> Reply:
    return 200, _wire(account, call).instructions()


def mock_wire(account: Account, call: Call) -> Reply:
    """Circle's own control of its sandbox: dollars arrive as if somebody had wired them."""
    fields = Fields(call.body)
    ref, units = fields.text("trackingRef", required=True), _money(fields)
    bank = call.body.get("beneficiaryBank")
    number = bank.get("accountNumber") if isinstance(bank, dict) else None
    fields.done()
    wire = next((one for one in account.books.wires if (one.tracking_ref, one.account_number) == (ref, number)), None)
    if wire is None:
        raise not_found()
    deposit = account.books.wired(wire, units)
    account.sending.expect(deposit)
    view = {"trackingRef": ref, "amount": money(units), "beneficiaryBank": {"accountNumber": number}}
    return 201, {**view, "status": deposit.status}


def list_deposits(account: Account, call: Call) -> Reply:
    call.query.choice("type", ("wire",))
    call.query.done()
    return 200, [one.view() for one in _page(call, account.books.deposits)]


def create_recipient(account: Account, call: Call) -> Reply:
    fields = _with_key(call)
    address = fields.text("address", required=True) or ""
    description = fields.text("description", required=True) or ""
    chain = fields.choice("chain", CHAINS)
    fields.choice("currency", (CURRENCY,))
    if chain is None and not fields.errors:
        fields.fail("chain", "required", "may not be empty")
    if chain == CHAIN and parse_address(address) is None:
        fields.fail("address", "pattern_mismatch", "is not an address of the chain")
    fields.done()
    verified = account.books.switches.verify_recipients
    return _once(
        account, "recipient", call, 200, lambda: account.books.know(address, description, verified=verified).view
    )


def list_recipients(account: Account, call: Call) -> Reply:
    """Only those that are verified and may be paid."""
    return 200, [one.view() for one in _page(call, [one for one in account.books.recipients if one.is_verified])]


def delete_recipient(account: Account, call: Call) -> Reply:
    found = next((one for one in account.books.recipients if one.id == call.params[0]), None)
    if found is None:
        raise not_found()
    account.books.recipients.remove(found)
    return 200, {}


def create_transfer(account: Account, call: Call) -> Reply:
    fields = _with_key(call)
    units = _money(fields)
    destination = call.body.get("destination")
    inner = Fields(destination if isinstance(destination, dict) else {})
    if inner.choice("type", ("verified_blockchain",)) is None and not inner.errors:
        inner.fail("type", "required", "may not be empty")
    address_id = inner.uuid("addressId", required=True)
    fields.errors += [{**one, "location": f"destination.{one['location']}"} for one in inner.errors]
    fields.done()
    recipient = next((one for one in account.books.recipients if one.id == address_id and one.is_verified), None)
    if recipient is None:
        raise not_found()

    def make() -> Callable[[], dict[str, object]]:
        transfer = account.books.order(str(call.body["idempotencyKey"]), recipient, units)
        account.sending.begin(transfer)
        return transfer.view

    return _once(account, "transfer", call, 201, make)


def list_transfers(account: Account, call: Call) -> Reply:
    return 200, [one.view() for one in _page(call, account.books.transfers)]


def get_transfer(account: Account, call: Call) -> Reply:
    found = next((one for one in account.books.transfers if one.id == call.params[0]), None)
    if found is None:
        raise not_found()
    return 200, found.view()


def _wire(account: Account, call: Call) -> Wire:
    found = next((one for one in account.books.wires if one.id == call.params[0]), None)
    if found is None:
        raise not_found()
    return found


def _with_key(call: Call) -> Fields:
    """The body's fields; its idempotency key is a UUID of version 4."""
    fields = Fields(call.body)
    fields.uuid("idempotencyKey", required=True, version=4)
    return fields


def _money(fields: Fields) -> int:
    """Base units of `amount`: dollars and whole cents, positive. What is wrong is noted."""
    value = fields.values.get("amount")
    inner = Fields(value if isinstance(value, dict) else {})
    text = inner.text("amount", required=True) or ""
    if inner.choice("currency", (CURRENCY,)) is None and not inner.errors:
        inner.fail("currency", "required", "may not be empty")
    match = DECIMAL.fullmatch(text)
    places = (match[2] or "") if match else ""
    good = match is not None and match[1] and len(places) <= CENTS_DECIMALS
    cents = int(match[1]) * 10**CENTS_DECIMALS + int(places.ljust(CENTS_DECIMALS, "0")) if good and match else 0
    if text and not 0 < cents < AMOUNT_CENTS_MAX:
        inner.fail("amount", "number_format", "must be a positive amount of dollars")
    fields.errors += [{**one, "location": f"amount.{one['location']}"} for one in inner.errors]
    return cents * BASE_UNITS_PER_CENT


def _once(
    account: Account, scope: str, call: Call, status: int, make: Callable[[], Callable[[], dict[str, object]]]
) -> Reply:
    """Make it, or show what the same key made before."""
    key = str(call.body["idempotencyKey"])
    try:
        known = account.replays.find(
            scope, key, call.body, original_on_conflict=account.books.switches.replay_returns_original
        )
    except ApiError:
        raise key_conflict() from None
    if known is not None:
        return status, known()
    view = make()
    account.replays.keep(scope, key, call.body, view)
    return status, view()


def _page(call: Call, items: list[T]) -> list[T]:
    for name in ("pageBefore", "pageAfter"):
        cursor = call.query.text(name)
        if cursor is not None and not is_uuid(cursor):
            call.query.fail(name, "uuid_format", "is not in the correct UUID format")
    call.query.done()
    return page(Fields({"pageSize": PAGE_SIZE, **call.query.values}), items)


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Callable[[Account, Call], Reply]


def _route(method: str, path: str, handler: Callable[[Account, Call], Reply]) -> Route:
    return Route(method, re.compile(path.replace("*", "([^/]+)")), handler)


_ACCOUNT = "/v1/businessAccount"
ROUTES = (
    _route("GET", f"{_ACCOUNT}/balances", balances),
    _route("GET", f"{_ACCOUNT}/banks/wires", list_wires),
    _route("GET", f"{_ACCOUNT}/banks/wires/*", get_wire),
    _route("GET", f"{_ACCOUNT}/banks/wires/*/instructions", wire_instructions),
    _route("POST", "/v1/mocks/payments/wire", mock_wire),
    _route("GET", f"{_ACCOUNT}/deposits", list_deposits),
    _route("POST", f"{_ACCOUNT}/wallets/addresses/recipient", create_recipient),
    _route("GET", f"{_ACCOUNT}/wallets/addresses/recipient", list_recipients),
    _route("DELETE", f"{_ACCOUNT}/wallets/addresses/recipient/*", delete_recipient),
    _route("POST", f"{_ACCOUNT}/transfers", create_transfer),
    _route("GET", f"{_ACCOUNT}/transfers", list_transfers),
    _route("GET", f"{_ACCOUNT}/transfers/*", get_transfer),
)


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groups()
    return None
