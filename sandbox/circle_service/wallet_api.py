"""Wallet sets, wallets, balances and tokens."""

from collections.abc import Iterable

from sandbox.circle_service.calls import Call, Reply, require_blockchain
from sandbox.circle_service.custody import Custody
from sandbox.circle_service.errors import metadata_length, sca_unsupported, unsupported_blockchain
from sandbox.circle_service.fields import Fields, path_id
from sandbox.circle_service.paging import page
from sandbox.circle_service.solana import parse_address
from sandbox.circle_service.tokens import Holding
from sandbox.circle_service.wallets import DEVELOPER, Label, Wallet
from sandbox.circle_service.wire import format_amount, iso, parse_amount

COUNT_MAX = 200
"""Wallets per blockchain and request [schema]."""


def create_wallet_set(custody: Custody, call: Call) -> Reply:
    custody.read_key(call)
    ciphertext = custody.read_ciphertext(call)
    name = call.fields.text("name", max_length=100)
    call.fields.done()
    custody.entity.check(ciphertext or "")
    if (earlier := custody.replay(call)) is not None:
        return earlier
    made = custody.wallets.create_set(name)
    return custody.created(call, lambda: {"walletSet": made.view()})


def update_wallet_set(custody: Custody, call: Call) -> Reply:
    wallet_set = custody.wallets.get_set(path_id(call.params[0]))
    name = call.fields.text("name", required=True, max_length=100)
    call.fields.done()
    wallet_set.name = name
    wallet_set.update_ms = custody.clock()
    return Reply(200, {"walletSet": wallet_set.view()})


def get_wallet_set(custody: Custody, call: Call) -> Reply:
    return Reply(200, {"walletSet": custody.wallets.get_set(path_id(call.params[0])).view()})


def list_wallet_sets(custody: Custody, call: Call) -> Reply:
    sets = page(call.query, custody.wallets.sets.values())
    return Reply(200, {"walletSets": [wallet_set.view() for wallet_set in sets]})


def create_wallets(custody: Custody, call: Call) -> Reply:
    custody.read_key(call)
    ciphertext = custody.read_ciphertext(call)
    set_id = call.fields.uuid("walletSetId", required=True)
    blockchains = call.fields.texts("blockchains", required=True)
    account_type = call.fields.choice("accountType", ("EOA", "SCA"))
    count = call.fields.integer("count", 1, 1, COUNT_MAX)
    labels = read_labels(call.fields)
    call.fields.done()
    require_solana(custody, call, blockchains, account_type)
    if labels and len(labels) != count:
        raise metadata_length()
    custody.entity.check(ciphertext or "")
    if (earlier := custody.replay(call)) is not None:
        return earlier
    wallet_set = custody.wallets.get_set(set_id or "")
    made = [
        wallet for blockchain in blockchains for wallet in custody.wallets.create(wallet_set, blockchain, count, labels)
    ]
    return custody.created(call, lambda: {"wallets": [wallet.view() for wallet in made]})


def require_solana(custody: Custody, call: Call, blockchains: Iterable[str], account_type: str | None) -> None:
    for blockchain in blockchains:
        require_blockchain(call, blockchain, custody.blockchain)
    if account_type == "SCA":
        raise sca_unsupported()


def read_labels(fields: Fields) -> list[Label]:
    """The `metadata` list: names and reference ids of the wallets to be made."""
    entries = fields.values.get("metadata")
    if entries is None:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        fields.fail("metadata", "invalid_value", "must be a list of objects")
        return []
    return [read_label(Fields(entry), fields) for entry in entries]


def read_label(entry: Fields, report_to: Fields) -> Label:
    label = Label(entry.text("name"), entry.text("refId"))
    report_to.errors.extend(entry.errors)
    return label


def get_wallet(custody: Custody, call: Call) -> Reply:
    return Reply(200, {"wallet": _wallet(custody, call).view()})


def update_wallet(custody: Custody, call: Call) -> Reply:
    wallet = _wallet(custody, call)
    label = read_label(call.fields, call.fields)
    call.fields.done()
    custody.wallets.rename(wallet, label)
    return Reply(200, {"wallet": wallet.view()})


def list_wallets(custody: Custody, call: Call) -> Reply:
    wallets = page(call.query, _matching(custody, call))
    return Reply(200, {"wallets": [wallet.view() for wallet in wallets]})


def list_wallets_with_balances(custody: Custody, call: Call) -> Reply:
    blockchain = call.query.text("blockchain", required=True)
    at_least = call.query.text("amount__gte")
    token_address = call.query.text("tokenAddress")
    call.query.done()
    require_blockchain(call, blockchain or "", custody.blockchain)
    found = []
    for wallet in page(call.query, (w for w in _matching(custody, call) if w.custody == DEVELOPER)):
        holdings = [
            holding
            for holding in custody.tokens.holdings(wallet)
            if not holding.is_nft
            and (token_address is None or _address(holding) == token_address)
            and (at_least is None or holding.units >= parse_amount(at_least, holding.token.decimals))
        ]
        found.append(wallet.view() | {"tokenBalances": [balance_view(custody, holding) for holding in holdings]})
    return Reply(200, {"wallets": found})


def list_balances(custody: Custody, call: Call) -> Reply:
    holdings = [holding for holding in _holdings(custody, call) if not holding.is_nft]
    return Reply(200, {"tokenBalances": [balance_view(custody, holding) for holding in page(call.query, holdings)]})


def list_nfts(custody: Custody, call: Call) -> Reply:
    holdings = [holding for holding in _holdings(custody, call) if holding.is_nft]
    return Reply(200, {"nfts": [balance_view(custody, holding) for holding in page(call.query, holdings)]})


def get_token(custody: Custody, call: Call) -> Reply:
    return Reply(200, {"token": custody.tokens.get(path_id(call.params[0])).view()})


def validate_address(custody: Custody, call: Call) -> Reply:
    address = call.fields.text("address", required=True)
    blockchain = call.fields.text("blockchain", required=True)
    call.fields.done()
    require_blockchain(call, blockchain or "", custody.blockchain)
    return Reply(200, {"isValid": parse_address(address or "") is not None})


def evm_only(_custody: Custody, _call: Call) -> Reply:
    raise unsupported_blockchain()


def balance_view(custody: Custody, holding: Holding) -> dict[str, object]:
    return {
        "amount": format_amount(holding.units, holding.token.decimals),
        "token": holding.token.view(),
        "updateDate": iso(custody.clock()),
    }


def _wallet(custody: Custody, call: Call) -> Wallet:
    return custody.wallets.get(path_id(call.params[0]), custody.user_id(call))


def _matching(custody: Custody, call: Call) -> Iterable[Wallet]:
    query = call.query
    wanted = {
        "address": query.text("address"),
        "blockchain": query.text("blockchain"),
        "ref_id": query.text("refId"),
    }
    set_id = query.uuid("walletSetId")
    query.done()
    for wallet in custody.wallets.of_user(custody.user_id(call)):
        same = all(value is None or getattr(wallet, name) == value for name, value in wanted.items())
        if same and (set_id is None or wallet.wallet_set.id == set_id):
            yield wallet


def _holdings(custody: Custody, call: Call) -> list[Holding]:
    wallet = _wallet(custody, call)
    call.query.boolean("includeAll")
    name, address, standard = (call.query.text(field) for field in ("name", "tokenAddress", "standard"))
    call.query.done()
    return [
        holding
        for holding in custody.tokens.holdings(wallet)
        if (name is None or holding.token.name == name)
        and (address is None or _address(holding) == address)
        and (standard is None or holding.token.standard == standard)
    ]


def _address(holding: Holding) -> str:
    return "" if holding.token.mint is None else str(holding.token.mint)
