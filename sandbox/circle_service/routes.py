"""Which function answers which endpoint."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.circle_service import entity_api, sign_api, transfer_api, user_api, wallet_api
from sandbox.circle_service.calls import Call, Reply
from sandbox.circle_service.custody import Custody

Handler = Callable[[Custody, Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler


def _route(method: str, template: str, handler: Handler) -> Route:
    return Route(method, template, re.compile(template.replace("*", "([^/]+)")), handler)


_W3S = "/v1/w3s"
_V2 = "/v2/notifications"
ROUTES = [
    _route("GET", f"{_W3S}/config/entity/publicKey", entity_api.get_public_key),
    _route("GET", f"{_W3S}/config/entity", entity_api.get_entity),
    _route("POST", f"{_W3S}/config/entity/entitySecret", entity_api.register_secret),
    _route("GET", f"{_W3S}/config/entity/monitoredTokens", entity_api.monitored_tokens),
    _route("POST", "/v1/faucet/drips", entity_api.drip),
    _route("POST", f"{_W3S}/developer/walletSets", wallet_api.create_wallet_set),
    _route("PUT", f"{_W3S}/developer/walletSets/*", wallet_api.update_wallet_set),
    _route("GET", f"{_W3S}/walletSets", wallet_api.list_wallet_sets),
    _route("GET", f"{_W3S}/walletSets/*", wallet_api.get_wallet_set),
    _route("POST", f"{_W3S}/developer/wallets", wallet_api.create_wallets),
    _route("POST", f"{_W3S}/developer/wallets/derive", wallet_api.evm_only),
    _route("PUT", f"{_W3S}/developer/wallets/*/blockchains/*", wallet_api.evm_only),
    _route("GET", f"{_W3S}/developer/wallets/balances", wallet_api.list_wallets_with_balances),
    _route("GET", f"{_W3S}/wallets", wallet_api.list_wallets),
    _route("GET", f"{_W3S}/wallets/*", wallet_api.get_wallet),
    _route("PUT", f"{_W3S}/wallets/*", wallet_api.update_wallet),
    _route("GET", f"{_W3S}/wallets/*/balances", wallet_api.list_balances),
    _route("GET", f"{_W3S}/wallets/*/nfts", wallet_api.list_nfts),
    _route("GET", f"{_W3S}/tokens/*", wallet_api.get_token),
    _route("POST", f"{_W3S}/transactions/validateAddress", wallet_api.validate_address),
    _route("POST", f"{_W3S}/developer/transactions/transfer", transfer_api.create_transfer),
    _route("POST", f"{_W3S}/developer/transactions/contractExecution", wallet_api.evm_only),
    _route("POST", f"{_W3S}/developer/transactions/walletUpgrade", wallet_api.evm_only),
    _route("POST", f"{_W3S}/developer/transactions/*/cancel", transfer_api.refuse_on_solana),
    _route("POST", f"{_W3S}/developer/transactions/*/accelerate", transfer_api.refuse_on_solana),
    _route("GET", f"{_W3S}/developer/transactions/feeParameters", transfer_api.fee_parameters),
    _route("POST", f"{_W3S}/transactions/transfer/estimateFee", transfer_api.estimate_transfer),
    _route("POST", f"{_W3S}/transactions/contractExecution/estimateFee", wallet_api.evm_only),
    _route("GET", f"{_W3S}/transactions/lowestNonceTransaction", transfer_api.lowest_nonce),
    _route("GET", f"{_W3S}/transactions", transfer_api.list_transactions),
    _route("GET", f"{_W3S}/transactions/*", transfer_api.get_transaction),
    _route("POST", f"{_W3S}/developer/sign/transaction", sign_api.sign_transaction),
    _route("POST", f"{_W3S}/developer/sign/message", sign_api.sign_message),
    _route("POST", f"{_W3S}/developer/sign/typedData", sign_api.sign_other),
    _route("POST", f"{_W3S}/developer/sign/delegateAction", sign_api.sign_other),
    _route("POST", f"{_W3S}/users", user_api.create_user),
    _route("GET", f"{_W3S}/users", user_api.list_users),
    _route("POST", f"{_W3S}/users/token", user_api.create_token),
    _route("GET", f"{_W3S}/users/*", user_api.get_user_by_id),
    _route("GET", f"{_W3S}/user", user_api.get_user),
    _route("POST", f"{_W3S}/user/initialize", user_api.initialize),
    _route("POST", f"{_W3S}/user/pin", user_api.set_pin),
    _route("PUT", f"{_W3S}/user/pin", user_api.change_pin),
    _route("POST", f"{_W3S}/user/pin/restore", user_api.restore_pin),
    _route("POST", f"{_W3S}/user/wallets", user_api.create_wallets),
    _route("POST", f"{_W3S}/user/transactions/transfer", user_api.transfer),
    _route("POST", f"{_W3S}/user/transactions/contractExecution", wallet_api.evm_only),
    _route("POST", f"{_W3S}/user/transactions/walletUpgrade", wallet_api.evm_only),
    _route("POST", f"{_W3S}/user/transactions/*/cancel", user_api.refuse_on_solana),
    _route("POST", f"{_W3S}/user/transactions/*/accelerate", user_api.refuse_on_solana),
    _route("POST", f"{_W3S}/user/sign/transaction", user_api.sign_transaction),
    _route("POST", f"{_W3S}/user/sign/message", user_api.sign_message),
    _route("POST", f"{_W3S}/user/sign/typedData", sign_api.sign_other),
    _route("GET", f"{_W3S}/user/challenges", user_api.list_challenges),
    _route("GET", f"{_W3S}/user/challenges/*", user_api.get_challenge),
    _route("POST", f"{_V2}/subscriptions", entity_api.create_subscription),
    _route("GET", f"{_V2}/subscriptions", entity_api.list_subscriptions),
    _route("GET", f"{_V2}/subscriptions/*", entity_api.get_subscription),
    _route("PATCH", f"{_V2}/subscriptions/*", entity_api.update_subscription),
    _route("DELETE", f"{_V2}/subscriptions/*", entity_api.delete_subscription),
    _route("GET", f"{_V2}/publicKey/*", entity_api.get_notification_key),
]


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groups()
    return None
