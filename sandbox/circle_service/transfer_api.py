"""Transfers: ordering, estimating, reading."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.circle_service.calls import Call, Reply, require_blockchain
from sandbox.circle_service.custody import Custody
from sandbox.circle_service.errors import (
    amounts_length,
    bad_destination,
    estimation_short_of_native,
    estimation_short_of_token,
    fee_level_and_parameters,
    insufficient_asset,
    request_on_other_chain,
    token_id_missing,
    wallet_given_twice,
    wallet_not_found,
    wrong_state,
)
from sandbox.circle_service.fields import Fields, path_id
from sandbox.circle_service.paging import page
from sandbox.circle_service.solana import COMPUTE_UNITS_DEFAULT, PRICES_MICROLAMPORTS, Fee, parse_address
from sandbox.circle_service.tokens import Token
from sandbox.circle_service.transactions import INBOUND, OUTBOUND, State, Transaction, fee_view
from sandbox.circle_service.wallets import Wallet
from sandbox.circle_service.wire import parse_amount

LEVELS = tuple(PRICES_MICROLAMPORTS)
COMPUTE_UNITS_MAX = 1_400_000
"""A Solana transaction's limit."""
PRICE_PARAMETERS = ("gasPrice", "maxFee", "priorityFee")


@dataclass(frozen=True, slots=True)
class Order:
    """A transfer request that has been read and found well-formed, its wallet and token not looked up yet."""

    wallet_id: str | None
    wallet_address: str | None
    token_id: str | None
    token_address: str | None
    blockchain: str | None
    destination: str
    amounts: list[str]
    fee: Fee
    fee_level: str | None
    ref_id: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """An order whose wallet, token and amount are known."""

    wallet: Wallet
    token: Token
    units: int
    order: Order


def create_transfer(custody: Custody, call: Call) -> Reply:
    custody.read_key(call)
    ciphertext = custody.read_ciphertext(call)
    order = read_order(custody, call, "walletAddress")
    custody.entity.check(ciphertext or "")
    if (earlier := custody.replay(call)) is not None:
        return earlier
    planned = plan(custody, order, None)
    planned.wallet.must_be_developers()
    transaction = start(custody, planned)
    return custody.created(call, transaction.summary)


def estimate_transfer(custody: Custody, call: Call) -> Reply:
    order = read_order(custody, call, "sourceAddress", with_fee=False)
    planned = plan(custody, order, custody.user_id(call))
    if not custody.transfers.covers(planned.wallet, planned.token, planned.units):
        raise estimation_short_of_native() if planned.token.is_native else estimation_short_of_token()
    return Reply(200, fee_levels())


def fee_parameters(custody: Custody, call: Call) -> Reply:
    blockchain = call.query.text("blockchain", required=True)
    call.query.done()
    require_blockchain(call, blockchain or "", custody.blockchain)
    return Reply(200, fee_levels())


def fee_levels() -> dict[str, object]:
    return {level.lower(): fee_view(Fee(COMPUTE_UNITS_DEFAULT, PRICES_MICROLAMPORTS[level])) for level in LEVELS}


def get_transaction(custody: Custody, call: Call) -> Reply:
    call.query.choice("txType", (INBOUND, OUTBOUND))
    call.query.done()
    found = custody.transactions.get(path_id(call.params[0]), custody.user_id(call))
    if custody.switches.turned_back_views > 0:
        custody.switches.turned_back_views -= 1
        if found.state_before is not found.state:
            custody.told_what_is_over()
        return Reply(200, {"transaction": found.view_before()})
    return Reply(200, {"transaction": found.view()})


def list_transactions(custody: Custody, call: Call) -> Reply:
    matches = _filter(call.query)
    user_id = custody.user_id(call)
    chosen = (
        found
        for found in custody.transactions.all()
        if (user_id is None or found.wallet.user_id == user_id) and matches(found)
    )
    return Reply(200, {"transactions": [found.view() for found in page(call.query, chosen)]})


def refuse_on_solana(custody: Custody, call: Call) -> Reply:
    """Cancel and accelerate: neither is supported on Solana."""
    custody.read_key(call)
    ciphertext = custody.read_ciphertext(call)
    call.fields.done()
    custody.transactions.get(path_id(call.params[0]))
    custody.entity.check(ciphertext or "")
    raise wrong_state()


def lowest_nonce(_custody: Custody, _call: Call) -> Reply:
    """Solana has no nonces: there is never such a transaction."""
    return Reply(204, None)


def read_order(custody: Custody, call: Call, address_field: str, *, with_fee: bool = True) -> Order:
    """The request's fields, checked for form. `address_field` names the source: the API has two words for it."""
    fields = call.fields
    amounts = fields.texts("amounts", required=True)
    destination = fields.text("destinationAddress", required=True)
    wallet_id, wallet_address = fields.uuid("walletId"), fields.text(address_field)
    token_id, token_address = fields.uuid("tokenId"), fields.text("tokenAddress")
    blockchain = fields.text("blockchain")
    fee, level = _read_fee(fields) if with_fee else (Fee(COMPUTE_UNITS_DEFAULT, 0), None)
    ref_id = fields.text("refId")
    _check_references(fields, address_field)
    fields.done()
    if blockchain is not None:
        require_blockchain(call, blockchain, custody.blockchain)
    return Order(
        wallet_id, wallet_address, token_id, token_address, blockchain, destination or "", amounts, fee, level, ref_id
    )


def plan(custody: Custody, order: Order, user_id: str | None) -> Plan:
    """Look up wallet and token, check destination, amount and freeze. Raises Circle's codes."""
    wallet = find_wallet(custody, order.wallet_id, order.wallet_address, user_id)
    if order.blockchain is not None and wallet.blockchain != order.blockchain:
        raise request_on_other_chain()
    token = _find_token(custody, order)
    wallet.must_be_live()
    if parse_address(order.destination) is None:
        raise bad_destination()
    if len(order.amounts) != 1:
        raise amounts_length()
    return Plan(wallet, token, parse_amount(order.amounts[0], token.decimals), order)


def start(custody: Custody, planned: Plan) -> Transaction:
    """Accept the transfer, or refuse it at once for lack of the token."""
    may_fail_later = custody.switches.insufficient_async or planned.token.is_native
    if not may_fail_later and not custody.transfers.covers(planned.wallet, planned.token, planned.units):
        raise insufficient_asset()
    order = planned.order
    return custody.transfers.start(
        planned.wallet, planned.token, planned.units, order.destination, order.fee, order.fee_level, order.ref_id
    )


def find_wallet(custody: Custody, wallet_id: str | None, address: str | None, user_id: str | None) -> Wallet:
    if wallet_id is not None:
        return custody.wallets.get(wallet_id, user_id)
    wallet = custody.wallets.at(address or "")
    if wallet is None or (user_id is not None and wallet.user_id != user_id):
        raise wallet_not_found()
    return wallet


def check_wallet_reference(fields: Fields, address_field: str) -> None:
    """walletId, or the address together with the blockchain."""
    if fields.has("walletId") and fields.has(address_field):
        raise wallet_given_twice()
    if not fields.has("walletId") and not fields.has(address_field):
        fields.fail("walletId", "required", f"may not be empty when '{address_field}' field is not set")
    if fields.has(address_field) and not fields.has("blockchain"):
        fields.fail("blockchain", "required", f"may not be empty when '{address_field}' field is set")


def _check_references(fields: Fields, address_field: str) -> None:
    check_wallet_reference(fields, address_field)
    if fields.has("tokenId") and fields.has("tokenAddress"):
        fields.fail("tokenAddress", "not_required", "cannot be used together with tokenId")
    if fields.has("tokenAddress") and not fields.has("blockchain"):
        fields.fail("blockchain", "required", "may not be empty when 'tokenAddress' field is set")


def _find_token(custody: Custody, order: Order) -> Token:
    if order.token_id is not None:
        return custody.tokens.get(order.token_id)
    if order.token_address is None:
        raise token_id_missing()
    return custody.tokens.at(order.token_address)


def _read_fee(fields: Fields) -> tuple[Fee, str | None]:
    """A level, or gas parameters. gasLimit beside a level overrides the level's."""
    level = fields.choice("feeLevel", LEVELS)
    given = [name for name in PRICE_PARAMETERS if fields.has(name)]
    if level is not None and given:
        raise fee_level_and_parameters()
    limit = _digits(fields, "gasLimit", COMPUTE_UNITS_DEFAULT)
    if level is not None:
        return Fee(limit, PRICES_MICROLAMPORTS[level]), level
    if not fields.has("feeLevel"):
        says = "may not be empty when 'FeeLevel' field is not set"
        if not fields.has("gasLimit"):
            fields.fail("gasLimit", "invalid_value", says)
        if not given:
            fields.fail("gasPrice", "invalid_value", says)
    price = _digits(fields, "gasPrice" if fields.has("gasPrice") else "priorityFee", 0)
    return Fee(limit, price), None


def _digits(fields: Fields, name: str, default: int) -> int:
    """A non-negative integer given as a string."""
    text = fields.text(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        fields.fail(name, "number_format", "must be a number")
        return default
    if name == "gasLimit" and int(text) > COMPUTE_UNITS_MAX:
        fields.fail(name, "max_value", f"must be less than or equal to {COMPUTE_UNITS_MAX}", max=COMPUTE_UNITS_MAX)
    return int(text)


def _filter(query: Fields) -> Callable[[Transaction], bool]:
    """What the list is narrowed to; enums are checked as the live API does."""
    state = query.choice("state", [state.value for state in State])
    kind = query.choice("txType", (INBOUND, OUTBOUND))
    operation = query.choice("operation", ("TRANSFER", "CONTRACT_EXECUTION", "CONTRACT_DEPLOYMENT"))
    custody_type = query.choice("custodyType", ("DEVELOPER", "ENDUSER"))
    blockchain, destination, tx_hash = (query.text(name) for name in ("blockchain", "destinationAddress", "txHash"))
    wallets = query.text("walletIds")
    wallet_ids = None if wallets is None else frozenset(wallets.lower().split(","))
    query.boolean("includeAll")
    query.done()

    def matches(found: Transaction) -> bool:
        asked = (
            (state, found.state.value),
            (kind, found.kind),
            (operation, "TRANSFER"),
            (custody_type, found.wallet.custody),
            (blockchain, found.wallet.blockchain),
            (destination, found.destination),
            (tx_hash, found.tx_hash),
        )
        same = all(wanted is None or wanted == value for wanted, value in asked)
        return same and (wallet_ids is None or found.wallet.id in wallet_ids)

    return matches
