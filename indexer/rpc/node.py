"""Typed questions to one endpoint. Each answer is checked for shape and age before it counts."""

import base64
from collections.abc import Callable, Sequence
from typing import TypeVar

from domain.errors import Misuse
from indexer.effects.errors import MalformedAnswer
from indexer.effects.shape import fields, text
from indexer.rpc import answers
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.errors import Behind, EndpointError
from indexer.rpc.slot_memory import SlotMemory
from indexer.rpc.values import (
    Accounts,
    Amount,
    Commitment,
    Holder,
    Holdings,
    LatestBlockhash,
    ListedSignature,
    SignatureStatuses,
    Simulation,
)

T = TypeVar("T")
STATUSES_MAX = 256
ACCOUNTS_MAX = 100
SIGNATURES_PAGE_MAX = 1000
"""Largest batches a node takes (reference/solana.md, section 1)."""
NEWEST_VERSION = 1
"""Without `maxSupportedTransactionVersion: 1` most of what is on chain today is answered with -32015."""


class Node:
    """One endpoint, held to answers not older than slot `floor`. All methods raise EndpointError."""

    def __init__(self, endpoint: Endpoint, memory: SlotMemory, floor: int) -> None:
        self._endpoint, self._memory, self._floor = endpoint, memory, floor

    @property
    def label(self) -> str:
        return self._endpoint.label

    def exclude(self, why: str) -> None:
        """Ask this endpoint nothing any more but what `survey` puts to all; empty: it may be asked again."""
        self._endpoint.excluded = why

    async def get_genesis_hash(self) -> str:
        return await self._ask("getGenesisHash", [], lambda got: answers.hash_text(got, "result"))

    async def get_version(self) -> str:
        return await self._ask(
            "getVersion", [], lambda got: text(fields(got, "result").get("solana-core"), "solana-core")
        )

    async def get_slot(self, commitment: Commitment = "finalized") -> int:
        slot = await self._ask("getSlot", [self._config(commitment)], lambda got: answers.count(got, "result"))
        self._check_age(slot, "getSlot", commitment)
        return slot

    async def get_block_height(self, commitment: Commitment = "finalized", min_context_slot: int = 0) -> int:
        """Of the endpoint's bank at that commitment, which is at `min_context_slot` or later."""
        config = self._config(commitment, min_context_slot)
        return await self._ask("getBlockHeight", [config], lambda got: answers.count(got, "result"))

    async def latest_blockhash(self, commitment: Commitment) -> LatestBlockhash:
        slot, value = await self._ask_bank("getLatestBlockhash", [], commitment)
        return self._parsed("getLatestBlockhash", lambda: answers.latest_blockhash(slot, value))

    async def get_balance(self, address: str, commitment: Commitment = "finalized") -> Amount:
        slot, value = await self._ask_bank("getBalance", [address], commitment)
        return Amount(self._parsed("getBalance", lambda: answers.money(value, "value")), slot)

    async def get_accounts(self, addresses: Sequence[str], commitment: Commitment = "finalized") -> Accounts:
        """Raises Misuse above `ACCOUNTS_MAX` addresses."""
        if len(addresses) > ACCOUNTS_MAX:
            raise Misuse(f"{len(addresses)} accounts asked at once, {ACCOUNTS_MAX} is the most")
        slot, value = await self._ask_bank("getMultipleAccounts", [list(addresses)], commitment, encoding="base64")
        return self._parsed("getMultipleAccounts", lambda: answers.accounts(slot, value, len(addresses)))

    async def get_token_amount(self, account: str, commitment: Commitment = "finalized") -> Amount:
        """Base units in a token account, 0 where there is none. Read from its bytes: `getTokenAccountBalance` takes no
        `minContextSlot`."""
        found = await self.get_accounts([account], commitment)
        return Amount(self._parsed("getMultipleAccounts", lambda: answers.token_amount(found)), found.slot)

    async def get_holdings(self, owner: str, token_account: str) -> Holdings:
        """What stands at finalized in an account and in a token account, 0 where there is none, at one slot."""
        found = await self.get_accounts([token_account, owner])
        tokens = self._parsed("getMultipleAccounts", lambda: answers.token_amount(found))
        return Holdings(0 if found.accounts[1] is None else found.accounts[1].lamports, tokens, found.slot)

    async def largest_holders(self, mint: str, commitment: Commitment = "finalized") -> list[Holder]:
        method = "getTokenLargestAccounts"
        # It takes no `minContextSlot`; its slot is checked.
        slot, value = await self._ask(method, [mint, {"commitment": commitment}], answers.with_context)
        self._check_age(slot, method)
        return self._parsed(method, lambda: answers.holders(value))

    async def fee_of(self, message: bytes, commitment: Commitment = "confirmed") -> int | None:
        encoded = base64.b64encode(message).decode()
        _, value = await self._ask_bank("getFeeForMessage", [encoded], commitment)
        return self._parsed("getFeeForMessage", lambda: None if value is None else answers.money(value, "value"))

    async def minimum_rent(self, size: int) -> int:
        return await self._ask("getMinimumBalanceForRentExemption", [size], lambda got: answers.count(got, "result"))

    async def get_signature_statuses(
        self, signatures: Sequence[str], *, search_history: bool = False
    ) -> SignatureStatuses:
        """Raises Misuse above `STATUSES_MAX` signatures. The method takes no `minContextSlot`; its slot is checked."""
        if len(signatures) > STATUSES_MAX:
            raise Misuse(f"{len(signatures)} signatures asked at once, {STATUSES_MAX} is the most")
        method = "getSignatureStatuses"
        params: list[object] = [list(signatures), {"searchTransactionHistory": search_history}]
        slot, value = await self._ask(method, params, answers.with_context)
        self._check_age(slot, method)
        return self._parsed(method, lambda: answers.signature_statuses(slot, value, signatures))

    async def get_transaction(self, signature: str, commitment: Commitment = "finalized") -> object:
        """The raw `result` for `indexer.effects.decode_transaction`; None where this endpoint does not know it."""
        config: dict[str, object] = {
            "commitment": commitment,
            "encoding": "base64",
            "maxSupportedTransactionVersion": NEWEST_VERSION,
        }
        return await self._ask("getTransaction", [signature, config], lambda got: got)

    async def get_signatures_for_address(
        self,
        address: str,
        *,
        before: str | None = None,
        until: str | None = None,
        limit: int = SIGNATURES_PAGE_MAX,
        commitment: Commitment = "finalized",
        min_context_slot: int = 0,
    ) -> list[ListedSignature]:
        """Newest first. A node that does not know `before` answers nothing, one that does not know `until` everything:
        an end of the list is not the end of the history until the caller has proof of it. Nor does one that prunes its
        ledger: its list ends where that begins (`first_available_block`)."""
        config = self._config(commitment, min_context_slot) | {"limit": limit}
        config |= {key: value for key, value in (("before", before), ("until", until)) if value is not None}
        return await self._ask("getSignaturesForAddress", [address, config], answers.listed_signatures)

    async def first_available_block(self) -> int:
        """The slot from which on this endpoint keeps its history; 0 where it keeps all."""
        return await self._ask("getFirstAvailableBlock", [], lambda got: answers.count(got, "result"))

    async def block_time(self, slot: int) -> int:
        """Of a block that it keeps, in seconds since 1970."""
        return await self._ask("getBlockTime", [slot], lambda got: answers.count(got, "result"))

    async def simulate(
        self, wire: bytes, commitment: Commitment = "confirmed", *, replace_blockhash: bool = False
    ) -> Simulation:
        """`replace_blockhash`: signatures and blockhash don't count."""
        encoded = base64.b64encode(wire).decode()
        config: dict[str, object] = {"encoding": "base64"}
        if replace_blockhash:
            config |= {"sigVerify": False, "replaceRecentBlockhash": True}
        slot, value = await self._ask_bank("simulateTransaction", [encoded], commitment, **config)
        return self._parsed("simulateTransaction", lambda: answers.simulation(slot, value))

    async def priority_fees(self, accounts: Sequence[str]) -> list[int]:
        """Micro-lamports per compute unit that landed in recent slots while locking these accounts."""
        return await self._ask("getRecentPrioritizationFees", [list(accounts)], answers.priority_fees)

    async def send(self, wire: bytes, *, skip_preflight: bool, min_context_slot: int) -> str:
        """Hand over a signed transaction; answers the signature the node names."""
        config: dict[str, object] = {
            "encoding": "base64",
            "skipPreflight": skip_preflight,
            "preflightCommitment": "confirmed",
            "maxRetries": 0,
        }
        if min_context_slot:
            config["minContextSlot"] = min_context_slot
        params: list[object] = [base64.b64encode(wire).decode(), config]
        return await self._ask("sendTransaction", params, lambda got: answers.signature_text(got, "result"))

    async def _ask(self, method: str, params: list[object], parse: Callable[[object], T]) -> T:
        result = await self._endpoint.call(method, params)
        return self._parsed(method, lambda: parse(result))

    async def _ask_bank(
        self, method: str, params: list[object], commitment: Commitment, **config: object
    ) -> tuple[int, object]:
        """An answer with its slot, made by a bank that is not older than the floor."""
        slot, value = await self._ask(method, [*params, self._config(commitment) | config], answers.with_context)
        self._check_age(slot, method, commitment)
        return slot, value

    def _config(self, commitment: Commitment, min_context_slot: int = 0) -> dict[str, object]:
        floor = max(self._floor, min_context_slot)
        return {"commitment": commitment, "minContextSlot": floor} if floor else {"commitment": commitment}

    def _check_age(self, slot: int, method: str, commitment: Commitment | None = None) -> None:
        if slot < self._floor:
            raise Behind(f"{self.label}: {method} was answered from slot {slot}, before {self._floor}")
        if commitment == "finalized" and not self._memory.see(self._endpoint, slot):
            raise EndpointError(f"{self.label}: {method} was answered from slot {slot}, where no other endpoint is")

    def _parsed(self, method: str, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except MalformedAnswer as error:
            self._endpoint.blame()
            raise EndpointError(f"{self.label}: {method}: {error}") from error
