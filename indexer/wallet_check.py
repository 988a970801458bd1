"""Whether addresses are wallets: what a token account or mint made from a plain key is, only its account tells."""

from collections.abc import Sequence
from typing import Protocol

from indexer.effects.accounts import is_plain_wallet
from indexer.rpc.values import Accounts

MOST_AT_ONCE = 100
"""Accounts that one RPC call takes."""


class AccountReader(Protocol):
    async def get_accounts(self, addresses: Sequence[str]) -> Accounts: ...


class WalletCheck:
    """Called with addresses, gives those that are no wallets with the reason. Raises Retryable or OutcomeUnknown while
    the chain can't be read."""

    def __init__(self, rpc: AccountReader) -> None:
        self._rpc = rpc

    async def __call__(self, addresses: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(addresses), MOST_AT_ONCE):
            part = addresses[start : start + MOST_AT_ONCE]
            held = (await self._rpc.get_accounts(part)).accounts
            for address, account in zip(part, held, strict=True):
                if not is_plain_wallet(account):
                    found[address] = f"{address} is a program's account on chain, not a wallet"
        return found
