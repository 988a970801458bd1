"""RPC methods that read accounts."""

from collections.abc import Callable
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from sandbox.solana_node.account_encoding import decimals_of, encode_account
from sandbox.solana_node.call import Call, with_context
from sandbox.solana_node.errors import invalid_params
from sandbox.solana_node.params import parse_key
from sandbox.solana_node.token_layouts import (
    PROGRAM_NAMES,
    is_mint,
    is_token_account,
    mint_decimals,
    mint_supply,
    token_amount,
    token_mint,
    ui_amount,
)

MAX_MULTIPLE_ACCOUNTS = 100
LARGEST_ACCOUNTS = 20


def get_balance(call: Call) -> Any:
    address = call.params.key(0)
    slot = call.bank(call.params.config(1))
    account = call.node.accounts.at(address, slot)
    return with_context(slot, 0 if account is None else account.lamports)


def get_account_info(call: Call) -> Any:
    address, config = call.params.key(0), call.params.config(1)
    slot = call.bank(config)
    account = call.node.accounts.at(address, slot)
    return with_context(slot, None if account is None else encode_account(call.node, account, config, slot))


def get_multiple_accounts(call: Call) -> Any:
    addresses, config = call.params.keys(0, MAX_MULTIPLE_ACCOUNTS), call.params.config(1)
    slot = call.bank(config)
    accounts = [call.node.accounts.at(address, slot) for address in addresses]
    encoded = [
        None if account is None else encode_account(call.node, account, config, slot, default="base64")
        for account in accounts
    ]
    return with_context(slot, encoded)


def get_token_account_balance(call: Call) -> Any:
    address = call.params.key(0)
    slot = call.bank(call.params.config(1))
    account = _existing(call, address, slot)
    decimals = decimals_of(call.node, token_mint(account), slot) if is_token_account(account) else None
    if decimals is None:
        raise invalid_params("Invalid param: not a Token account")
    return with_context(slot, ui_amount(token_amount(account), decimals))


def get_token_supply(call: Call) -> Any:
    mint = call.params.key(0)
    slot = call.bank(call.params.config(1))
    account = _existing(call, mint, slot)
    if not is_mint(account):
        raise invalid_params("Invalid param: not a Token mint")
    return with_context(slot, ui_amount(mint_supply(account), mint_decimals(account)))


def get_token_largest_accounts(call: Call) -> Any:
    """The accounts that hold most of a mint, at most 20; empty ones are among them, as at a real node."""
    mint = call.params.key(0)
    slot = call.bank(call.params.config(1))
    account = _existing(call, mint, slot)
    if not is_mint(account):
        raise invalid_params("Invalid param: not a Token mint")
    holdings = [
        (token_amount(held), address)
        for address in call.node.accounts.tokens_of_mint(mint)
        if (held := call.node.accounts.at(address, slot)) is not None and token_mint(held) == mint
    ]
    largest = sorted(holdings, key=lambda one: (-one[0], str(one[1])))[:LARGEST_ACCOUNTS]
    decimals = mint_decimals(account)
    return with_context(slot, [{"address": str(address)} | ui_amount(amount, decimals) for amount, address in largest])


def get_token_accounts_by_owner(call: Call) -> Any:
    owner, which, config = call.params.key(0), call.params.need(1), call.params.config(2)
    slot = call.bank(config)
    mint, program = _token_filter(call, which, slot)
    found = call.node.token_accounts_at(owner, slot, mint)
    return with_context(
        slot,
        [
            {"pubkey": str(address), "account": encode_account(call.node, account, config, slot)}
            for address, account in found
            if program is None or account.owner == program
        ],
    )


def _existing(call: Call, address: Pubkey, slot: int) -> Account:
    account = call.node.accounts.at(address, slot)
    if account is None:
        raise invalid_params("Invalid param: could not find account")
    return account


def _token_filter(call: Call, which: Any, slot: int) -> tuple[Pubkey | None, Pubkey | None]:
    """(mint, None) or (None, token program)."""
    if isinstance(which, dict) and isinstance(which.get("mint"), str):
        mint = parse_key(which["mint"])
        if not is_mint(call.node.accounts.at(mint, slot)):
            raise invalid_params("Invalid param: could not find mint")
        return mint, None
    if isinstance(which, dict) and isinstance(which.get("programId"), str):
        program = parse_key(which["programId"])
        if program not in PROGRAM_NAMES:
            raise invalid_params("Invalid param: unrecognized Token program id")
        return None, program
    raise invalid_params("Invalid params: expected `mint` or `programId`.")


METHODS: dict[str, Callable[[Call], Any]] = {
    "getBalance": get_balance,
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getTokenLargestAccounts": get_token_largest_accounts,
    "getTokenAccountsByOwner": get_token_accounts_by_owner,
}
