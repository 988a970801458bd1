"""The proof that a transfer which Circle calls failed never left: two endpoints, the wallet's whole recent history."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.evidence import TransferIntent
from indexer.effects.decode import decode_transaction
from indexer.effects.errors import MalformedAnswer
from indexer.history import entries
from indexer.movements import usdc_movement
from indexer.rpc.errors import Disagreement, EndpointError
from indexer.rpc.node import Node
from indexer.rpc.pool import RpcPool
from indexer.rpc.values import ListedSignature
from storage.treasury.movement_rows import Movement

QUIET_BLOCKS = 300
"""Finalized blocks that must pass after Circle gave up: twice a blockhash's life, so nothing it signed can land."""
TRANSACTIONS_MAX = 50_000
"""Since the attempt began; beyond that a person decides."""
KEPT_MOST = 2 * TRANSACTIONS_MAX
"""Movements kept in memory: some 40 MB at the very most."""
CLOCK_MARGIN = timedelta(minutes=10)
"""Block times are the validators' estimate; they wander by less than this."""


@dataclass(frozen=True, slots=True)
class Absence:
    """What was seen: enough for an auditor to check it again."""

    finalized_height_first: int
    finalized_height_last: int
    endpoints: int
    transactions_read: int


class AbsenceProver:
    """Asked again and again while a transfer's end is open; keeps the height of the first time it was asked. Equal
    transfers that were given up in one second share it."""

    def __init__(self, rpc: RpcPool, usdc_account: str, usdc_mint: str) -> None:
        self._rpc, self._account, self._mint = rpc, usdc_account, usdc_mint
        self._first_heights: dict[tuple[TransferIntent, datetime], int] = {}
        self._moved: dict[tuple[str, str], Movement | None] = {}
        """What an endpoint has shown of a signature: it is final, and every proof of a bad hour reads the same."""

    async def no_outflow(
        self, intent: TransferIntent, begun_at: datetime, ended_at: datetime, explained: Collection[str]
    ) -> Absence | None:
        """The proof, or None while it can't be given. Raises Retryable.

        `begun_at`: when the attempt was made, `ended_at`: when Circle gave it up, which must lie in the past.
        `explained`: signatures of equal outflows that belong to other transfers.
        """
        first = self._first_heights.get((intent, ended_at))
        if first is None:
            self._first_heights[intent, ended_at] = await self._rpc.highest_block_height()
            return None
        height = await self._rpc.witnessed_block_height()
        if height <= first + QUIET_BLOCKS:
            return None
        read = 0

        async def left(node: Node) -> bool:
            nonlocal read
            entries = await self._since(node, begun_at - CLOCK_MARGIN)
            read = len(entries)
            for entry in entries:
                if entry.signature not in explained and not entry.failed and await self._matches(node, entry, intent):
                    return True
            return False

        try:
            if await self._rpc.agree(left):
                return None
        except Disagreement:
            self._moved.clear()  # one of them has shown what is not so: both are asked anew
            raise
        self._first_heights.pop((intent, ended_at), None)
        return Absence(first, height, self._rpc.witnesses, read)

    async def _since(self, node: Node, since: datetime) -> list[ListedSignature]:
        found: list[ListedSignature] = []
        async for entry in entries(node, self._account, 0):
            if entry.block_time is not None and entry.block_time < since.timestamp():
                return found
            found.append(entry)
            if len(found) > TRANSACTIONS_MAX:
                raise EndpointError(f"{node.label} lists more than {TRANSACTIONS_MAX} transactions since {since}")
        await _require_history(node, since)
        return found

    async def _matches(self, node: Node, entry: ListedSignature, intent: TransferIntent) -> bool:
        known = node.label, entry.signature
        moved = self._moved[known] if known in self._moved else await self._read(node, entry.signature)
        self._moved[known] = moved
        if len(self._moved) > KEPT_MOST:
            del self._moved[next(iter(self._moved))]
        if moved is None or moved.amount >= 0:
            return False
        return moved.amount == -intent.amount and moved.counterparty in (intent.destination_owner, None)

    async def _read(self, node: Node, signature: str) -> Movement | None:
        result = await node.get_transaction(signature)
        if result is None:
            raise EndpointError(f"{node.label} lists {signature} and does not show it")
        try:
            return usdc_movement(decode_transaction(result, signature), self._account, self._mint)
        except MalformedAnswer as error:
            raise EndpointError(f"{node.label}: getTransaction: {error}") from error


async def _require_history(node: Node, since: datetime) -> None:
    """A list without anything from before may end where the endpoint has pruned its ledger, and then says nothing of
    what left between the two. Raises EndpointError."""
    first = await node.first_available_block()
    if first and await node.block_time(first) > since.timestamp():
        raise EndpointError(f"{node.label} keeps no history back to {since:%Y-%m-%d %H:%M} UTC")
