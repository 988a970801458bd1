"""Whether the platform wallet has the SOL that a mint costs.

Without it no transaction lands, however often it is signed: each sale would use up its attempts within minutes, and
wait for a person long after the SOL has come.
"""

from typing import Protocol

import structlog

from chain import programs
from chain.nft import NftPlan, NftStandard

log = structlog.get_logger(__name__)


class FundsChain(Protocol):
    async def minimum_rent(self, size: int) -> int: ...

    async def lamports(self, address: str) -> int: ...


class MintFunds:
    """Asked only once an attempt has died: while there is SOL, no mint pays for the question."""

    def __init__(self, chain: FundsChain, standard: NftStandard, priority_lamports: int) -> None:
        self._chain, self._standard, self._priority = chain, standard, priority_lamports

    async def lacking(self, plan: NftPlan) -> str | None:
        """What is missing, for the operator; None where there is enough for this mint. Raises Retryable."""
        sizes = (*self._standard.rent_sizes(plan), 0)  # the rent of 0 bytes keeps the wallet itself alive
        rents = [await self._chain.minimum_rent(size) for size in sizes]
        need = sum(rents) + programs.LAMPORTS_PER_SIGNATURE + self._priority
        have = await self._chain.lamports(plan.platform_wallet)
        if have >= need:
            return None
        why = f"a mint needs {need} lamports, the platform wallet has {have}: send SOL"
        log.error("the platform wallet lacks SOL", why=why)
        return why
