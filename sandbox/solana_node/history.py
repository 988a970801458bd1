"""What has landed, in order: the transactions of the whole run, found by signature and by address."""

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction


@dataclass(frozen=True, slots=True)
class TokenChange:
    """How a transaction changed one token account: `delta` in base units."""

    mint: str
    account: str
    owner: str
    delta: int


@dataclass(frozen=True, slots=True, eq=False)
class Landed:
    """One transaction in a block. `err` is None or the error's JSON form."""

    number: int
    signature: str
    slot: int
    block_time: int
    err: Any
    memo: str | None
    raw: bytes
    packed_meta: bytes

    def meta(self) -> dict[str, Any]:
        """The `meta` object of getTransaction."""
        meta: dict[str, Any] = orjson.loads(zlib.decompress(self.packed_meta))
        return meta

    def token_changes(self) -> list[TokenChange]:
        """The token accounts whose amount changed."""
        meta = self.meta()
        loaded = meta["loadedAddresses"]
        static = VersionedTransaction.from_bytes(self.raw).message.account_keys
        keys = [*map(str, static), *loaded["writable"], *loaded["readonly"]]
        before = {entry["accountIndex"]: entry for entry in meta["preTokenBalances"]}
        after = {entry["accountIndex"]: entry for entry in meta["postTokenBalances"]}
        changes = []
        for index in sorted(before.keys() | after.keys()):
            entry = after.get(index) or before[index]
            delta = _amount(after.get(index)) - _amount(before.get(index))
            if delta:
                changes.append(TokenChange(entry["mint"], keys[index], entry["owner"], delta))
        return changes


def _amount(entry: dict[str, Any] | None) -> int:
    return 0 if entry is None else int(entry["uiTokenAmount"]["amount"])


def pack_meta(meta: dict[str, Any]) -> bytes:
    """Logs repeat themselves: level 1 makes a third of them in some 20 µs."""
    return zlib.compress(orjson.dumps(meta), 1)


class History:
    def __init__(self) -> None:
        self.landed: list[Landed] = []
        self._by_signature: dict[str, Landed] = {}
        self._by_address: dict[Pubkey, array[int]] = {}

    def add(self, landed: Landed, addresses: Sequence[Pubkey]) -> None:
        self.landed.append(landed)
        self._by_signature[landed.signature] = landed
        for address in addresses:
            numbers = self._by_address.get(address)
            if numbers is None:
                numbers = self._by_address[address] = array("Q")
            numbers.append(landed.number)

    def get(self, signature: str) -> Landed | None:
        return self._by_signature.get(signature)

    def drop_after(self, slot: int) -> list[Landed]:
        """Forget the transactions of all slots after `slot`; answers them, oldest first."""
        kept = self.count_up_to(slot)
        dropped = self.landed[kept:]
        if not dropped:
            return []
        del self.landed[kept:]
        for landed in dropped:
            del self._by_signature[landed.signature]
        for numbers in self._by_address.values():
            while numbers and numbers[-1] >= kept:
                numbers.pop()
        return dropped

    def count_up_to(self, slot: int) -> int:
        """How many transactions have landed up to this slot; they are the first ones of `landed`."""
        return bisect_right(self.landed, slot, key=lambda landed: landed.slot)

    def of_address(
        self, address: Pubkey, slot: int, *, before: str | None = None, until: str | None = None, limit: int = 1000
    ) -> list[Landed]:
        """Newest first, not newer than `slot`; `before` and `until` are signatures, themselves left out.

        An unknown `before` answers nothing and an unknown `until` is no bound, as in agave's blockstore.
        """
        start, stop = self.count_up_to(slot), 0
        if before is not None:
            known = self._by_signature.get(before)
            start = min(start, known.number) if known else 0
        if until is not None:
            known = self._by_signature.get(until)
            stop = known.number + 1 if known else 0
        found: list[Landed] = []
        numbers = self._by_address.get(address, array("Q"))
        for index in range(bisect_right(numbers, start - 1) - 1, -1, -1):
            if numbers[index] < stop or len(found) >= limit:
                break
            found.append(self.landed[numbers[index]])
        return found
