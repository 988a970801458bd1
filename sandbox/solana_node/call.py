"""What a method gets to see of one call."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.solana_node.endpoints import Endpoint
from sandbox.solana_node.errors import context_not_reached
from sandbox.solana_node.history import Landed
from sandbox.solana_node.params import Config, Params
from sandbox.solana_node.slots import Commitment

if TYPE_CHECKING:
    from sandbox.solana_node.node import SolanaNode

CORE_VERSION = "4.2.1"
"""A version of agave that runs v1 transactions; shown by getVersion and in each context."""


@dataclass(frozen=True, slots=True)
class Call:
    node: "SolanaNode"
    path: str
    endpoint: Endpoint
    params: Params

    def bank(self, config: Config, default: Commitment = Commitment.FINALIZED) -> int:
        """The slot that the caller's commitment means here. Raises -32016 when it lies before `minContextSlot`."""
        slot = self.node.bank(config.commitment(default), self.path)
        wanted = config.integer("minContextSlot")
        if wanted is not None and slot < wanted:
            raise context_not_reached(slot)
        return slot

    def tip(self) -> int:
        return self.node.tip(self.path)

    def find(self, signature: str, slot: int) -> Landed | None:
        """The transaction, if this endpoint knows it and it landed by `slot`."""
        landed = self.node.history.get(signature)
        if landed is None or landed.slot > slot or signature in self.endpoint.hides:
            return None
        if landed.slot < self.endpoint.ledger_from:
            return None
        if not self.endpoint.keeps_history and not self.node.in_status_cache(landed, self.tip()):
            return None
        return landed

    def first_block(self) -> int:
        """The first slot of which this endpoint knows anything; 0 where it is all."""
        if self.endpoint.keeps_history:
            return self.endpoint.ledger_from
        return max(self.endpoint.ledger_from, self.node.status_cache_from(self.tip()))


def with_context(slot: int, value: Any) -> dict[str, Any]:
    return {"context": {"apiVersion": CORE_VERSION, "slot": slot}, "value": value}
