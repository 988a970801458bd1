"""Wallet sets, wallets and balances (reference/circle.md, section 3)."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from domain.errors import OutcomeUnknown, PaymentSystemError
from gateways.answers import Json, ShapeError, rows, text
from gateways.circle_api.client import Call, path_part, read_call
from gateways.circle_api.facts import TokenBalance, WalletFacts, WalletSetFacts
from gateways.circle_api.rates import CallClass
from gateways.circle_api.reading import PAGE_ROWS, CircleCalls, inner, moment

WALLETS = "/v1/w3s/wallets"
WALLET_SETS = "/v1/w3s/walletSets"


class WalletCalls(CircleCalls):
    async def create_wallet_set(self, key: UUID, name: str) -> WalletSetFacts:
        """Raises OutcomeUnknown if the answer is lost: call again with the same key and name."""
        call = Call(
            "create wallet set",
            "POST",
            "/v1/w3s/developer/walletSets",
            CallClass.WRITE,
            body={"idempotencyKey": str(key), "name": name},
            has_effect=True,
            takes_secret=True,
        )
        return await self._data(call, inner("walletSet", WalletSetFacts.read))

    async def fetch_wallet_set(self, wallet_set_id: str) -> WalletSetFacts:
        call = read_call("fetch wallet set", f"{WALLET_SETS}/{path_part(wallet_set_id)}")
        return await self._data(call, inner("walletSet", WalletSetFacts.read))

    async def create_wallet(
        self, key: UUID, wallet_set_id: str, blockchain: str, ref_id: str, name: str
    ) -> WalletFacts:
        """One developer-controlled wallet, as fetched after its creation: compare `ref_id`, `blockchain` and
        `wallet_set_id`, since a replayed key may name an older wallet."""
        call = Call(
            "create wallet",
            "POST",
            "/v1/w3s/developer/wallets",
            CallClass.WALLET,
            body={
                "idempotencyKey": str(key),
                "walletSetId": wallet_set_id,
                "blockchains": [blockchain],
                "accountType": "EOA",
                "count": 1,
                "metadata": [{"name": name, "refId": ref_id}],
            },
            has_effect=True,
            takes_secret=True,
        )
        wallet_id = await self._data(call, _only_wallet_id)
        try:
            return await self.fetch_wallet(wallet_id)
        except PaymentSystemError as error:
            raise OutcomeUnknown(f"Circle: wallet {wallet_id} is made but can't be read: {error}") from error

    async def fetch_wallet(self, wallet_id: str) -> WalletFacts:
        """Of either custody type."""
        call = read_call("fetch wallet", f"{WALLETS}/{path_part(wallet_id)}")
        return await self._data(call, inner("wallet", WalletFacts.read))

    async def list_wallets(self, *, ref_id: str) -> list[WalletFacts]:
        """All wallets that carry our reference, oldest first."""
        query = {"refId": ref_id, "order": "ASC"}
        call = read_call("list wallets", WALLETS, query)
        return [
            self._shaped(call, WalletFacts.read, row)
            async for found, _ in self._pages(call.name, WALLETS, "wallets", query)
            for row in found
        ]

    async def references_since(self, wallet_set_id: str, since: datetime) -> AsyncIterator[list[str]]:
        """Pages of the references that wallets of the set carry, made at or after `since` (whole seconds), oldest
        first."""
        query = {"walletSetId": wallet_set_id, "from": moment(since), "order": "ASC"}
        call = read_call("list wallets of the set", WALLETS, query)
        async for found, _ in self._pages(call.name, WALLETS, "wallets", query):
            yield [one.ref_id for row in found if (one := self._shaped(call, WalletFacts.read, row)).ref_id is not None]

    async def balances(self, wallet_id: str, token_address: str | None = None) -> list[TokenBalance]:
        """What Circle sees in the wallet's associated token accounts (at `confirmed`); a token never held is absent.

        At most 50: give `token_address` to be sure of one.
        """
        path = f"{WALLETS}/{path_part(wallet_id)}/balances"
        query = {"includeAll": "true"} | ({} if token_address is None else {"tokenAddress": token_address})
        # One page: strangers can send any number of tokens, and ours are asked for by address.
        call = read_call("fetch balances", path, {**query, "pageSize": str(PAGE_ROWS)})
        return await self._data(call, _balances)


def _only_wallet_id(data: Json) -> str:
    found = rows(data, "wallets")
    if len(found) != 1:
        raise ShapeError(f"asked for one wallet, got {len(found)}")
    return text(found[0], "id")


def _balances(data: Json) -> list[TokenBalance]:
    return [TokenBalance.read(row) for row in rows(data, "tokenBalances")]
