"""What became of an order that is on its way, before the start gate opens."""

from domain.outcomes import Commit, Outcome, nothing
from payouts.rails.circle_transfer import CircleTransferStep
from storage.work import Claim


class TransferLookStep:
    """Kind `transfer_look`, subject: transfer id. Before the start gate opens: an outflow that nothing explains may be
    an order under a signature that Circle names only now, or be less by a debt whose own transfer has landed since."""

    def __init__(self, transfer: CircleTransferStep) -> None:
        self._transfer = transfer

    async def run(self, claim: Claim) -> Outcome:
        return await self._transfer.look(claim)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
