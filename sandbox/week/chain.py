"""What the chain says, asked over plain JSON-RPC at finalized."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from sandbox.week.wire import WeekFailed, Wire

TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
FINALIZED = {"commitment": "finalized", "encoding": "jsonParsed"}


@dataclass(frozen=True, slots=True)
class Nft:
    """A Token-2022 mint as it stands on chain, and who holds its token."""

    mint: str
    holder: str
    supply: str
    decimals: int
    mint_authority: str | None
    name: str | None
    uri: str | None


class Chain:
    """Reads through one RPC address."""

    def __init__(self, wire: Wire, rpc_url: str, usdc_mint: str) -> None:
        self._wire = wire
        self._rpc_url = rpc_url
        self._usdc_mint = usdc_mint
        self._ids = count(1)

    async def usdc_of(self, owner: str) -> int:
        """USDC base units in all of the owner's accounts."""
        accounts = await self._token_accounts(owner, {"mint": self._usdc_mint})
        return sum(int(account["tokenAmount"]["amount"]) for account in accounts)

    async def nfts_of(self, owner: str) -> list[Nft]:
        """Every whole, single Token-2022 token that the owner holds."""
        accounts = await self._token_accounts(owner, {"programId": TOKEN_2022})
        held = [account for account in accounts if account["tokenAmount"]["amount"] == "1"]
        return [await self._nft(account["mint"], owner) for account in held]

    async def _nft(self, mint: str, holder: str) -> Nft:
        account = (await self._ask("getAccountInfo", [mint, FINALIZED]))["value"]
        info = account["data"]["parsed"]["info"]
        states = {found["extension"]: found.get("state", {}) for found in info.get("extensions", [])}
        metadata = states.get("tokenMetadata", {})
        return Nft(
            mint=mint,
            holder=holder,
            supply=info["supply"],
            decimals=info["decimals"],
            mint_authority=info["mintAuthority"],
            name=metadata.get("name"),
            uri=metadata.get("uri"),
        )

    async def _token_accounts(self, owner: str, which: dict[str, str]) -> list[dict[str, Any]]:
        found = (await self._ask("getTokenAccountsByOwner", [owner, which, FINALIZED]))["value"]
        return [entry["account"]["data"]["parsed"]["info"] for entry in found]

    async def _ask(self, method: str, params: list[Any]) -> Any:
        call = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        told = await self._wire.must("POST", self._rpc_url, body=call)
        if "error" in told:
            raise WeekFailed(f"{method} {params[0]}: {told['error']}")
        return told["result"]
