"""What a step needs to put a transaction of ours on the chain."""

from collections.abc import Sequence

from indexer.rpc.pool import RpcPool


class Sender:
    """Rent, balance and blockhash for building; sending, as often as needed. Errors as in `domain.errors`."""

    def __init__(self, rpc: RpcPool) -> None:
        self._rpc = rpc
        self._blockhash_slot = 0

    async def minimum_rent(self, size: int) -> int:
        """Lamports that keep `size` data bytes alive."""
        return await self._rpc.minimum_rent(size)

    async def lamports(self, address: str) -> int:
        """What lies at an address in the newest confirmed block, which the transaction will meet."""
        return (await self._rpc.get_balance(address, "confirmed")).amount

    async def latest_blockhash(self) -> tuple[str, int]:
        """A blockhash and its last valid block height; right before signing."""
        latest = await self._rpc.latest_blockhash()
        self._blockhash_slot = max(self._blockhash_slot, latest.slot)
        return latest.blockhash, latest.last_valid_block_height

    async def priority_fees(self, accounts: Sequence[str]) -> list[int]:
        """Micro-lamports per compute unit in recent slots, for transactions that write these accounts."""
        return await self._rpc.priority_fees(accounts)

    async def send(self, wire: bytes, *, skip_preflight: bool) -> None:
        """See `rpc.sending.send` for what it raises. A preflight is run only where the slot of the newest blockhash has
        been reached: an older node would call it unknown."""
        slot = 0 if skip_preflight else self._blockhash_slot
        await self._rpc.send(wire, skip_preflight=skip_preflight, min_context_slot=slot)
