"""What a transaction of ours bids for its place in a block, beside the base fee.

Nodes tell the least that landed lately. That is often nothing, also while blocks are full: what shows that more is
needed is an attempt that expired.
"""

from collections.abc import Sequence

from chain.nft_build import MICRO_LAMPORTS, ComputeBudget
from domain.dead_attempts import PROMPT


def bid(units: int, most_lamports: int, recent: Sequence[int], dead_attempts: int) -> ComputeBudget | None:
    """A budget of `units`, at the median of `recent` (micro-lamports a unit); with each attempt that died, at a quarter
    more of `most_lamports` at least, which is never passed. None where that is 0: no compute budget at all."""
    if not most_lamports:
        return None
    most = most_lamports * MICRO_LAMPORTS // units
    median = sorted(recent)[len(recent) // 2] if recent else 0
    least = most * min(dead_attempts, PROMPT) // PROMPT
    return ComputeBudget(units, min(most, max(median, least)))
