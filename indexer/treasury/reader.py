"""The transactions that a history lists, read as they are to be booked: which of them, and by how many endpoints."""

from collections import Counter
from collections.abc import Iterator, Sequence

from domain.ledger import Asset
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import receipts_closed
from indexer.movements import BeforeAndAfter, lamports_held, usdc_held
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.rpc.values import ListedSignature
from indexer.together import together
from indexer.treasury.statement import Statement
from indexer.treasury.tracks import Track

CHUNK = 32
"""Transactions fetched side by side and stored in one database transaction."""
SMALL_UNITS, SMALL_LAMPORTS = 10_000, 100_000
"""A cent, or two: what a stranger spends on being read."""


def chunks(listed: Sequence[ListedSignature]) -> Iterator[Sequence[ListedSignature]]:
    for start in range(0, len(listed), CHUNK):
        yield listed[start : start + CHUNK]


class TransactionReader:
    """One for the follower: of each history it knows what stood in the account after the last chunk `in_order`."""

    def __init__(self, rpc: RpcPool, read_back: ReadBack) -> None:
        self._rpc, self._read_back = rpc, read_back
        self._statements = {
            Asset.USDC: Statement(read_back, self._usdc_held, SMALL_UNITS),
            Asset.SOL: Statement(read_back, self._sol_held, SMALL_LAMPORTS),
        }

    async def in_order(
        self, track: Track, since: str | None, chunk: Sequence[ListedSignature]
    ) -> list[TransactionFacts]:
        """The next of a history, behind `since`: its statement says how many of them two endpoints show."""
        wanted = await self._wanted(track, chunk)
        return await self._statements[track.asset].read(since, wanted, chunk[-1].signature)

    async def one_by_one(self, track: Track, chunk: Sequence[ListedSignature]) -> list[TransactionFacts]:
        """Any of a history, each as two endpoints show it."""
        return await together([self._read_back.read_back(one) for one in await self._wanted(track, chunk)])

    def _usdc_held(self, facts: TransactionFacts) -> BeforeAndAfter | None:
        return usdc_held(facts, self._read_back.usdc_account, self._read_back.usdc_mint)

    def _sol_held(self, facts: TransactionFacts) -> BeforeAndAfter | None:
        """More follows from a receipt's end than from lamports."""
        ours = self._read_back
        closed = receipts_closed(facts, ours.wallet, ours.usdc_mint, ours.usdc_account)
        return None if closed else lamports_held(facts, ours.wallet)

    async def _wanted(self, track: Track, chunk: Sequence[ListedSignature]) -> list[str]:
        """A failed transaction moved no token; it costs its payer the fee."""
        failed = await self._failed(chunk) if track.asset is Asset.USDC else set()
        return [one.signature for one in chunk if one.signature not in failed]

    async def _failed(self, chunk: Sequence[ListedSignature]) -> set[str]:
        """Which of them have failed: not by the word of the list alone, which is one endpoint's. What no two endpoints
        call failed is read like any other."""
        named = [one.signature for one in chunk if one.failed]
        if not named or self._rpc.witnesses == 1:
            return set(named)
        told = await self._rpc.testify(lambda node: node.get_signature_statuses(named, search_history=True))
        votes = Counter(
            signature
            for one in told
            for signature, status in zip(named, one.answer.statuses, strict=True)
            if status is not None and status.commitment == "finalized" and status.err is not None
        )
        return {signature for signature, many in votes.items() if many >= self._rpc.witnesses}
