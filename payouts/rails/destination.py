"""Whether an order may leave at all, by the two USDC accounts: Circle pays into whatever stands at the address.

An account that its owner gave away would be paid to somebody else, and one that is frozen, his or ours, fails at Circle
try after try. One of his that is not there yet is made by Circle.
"""

from typing import Protocol

import structlog

from domain.destinations import WHY_NOT, AccountStanding
from domain.errors import Retryable
from domain.outcomes import Outcome, Refused
from payouts.rails.stops import PAUSED, Stop
from storage.payouts.transfers import TransferCase

log = structlog.get_logger(__name__)

BAD_ACCOUNT = "destination_account"
"""Code of a payout that waits for its recipient to have a good account: a person retries it."""


class Accounts(Protocol):
    async def of(self, *owners: str) -> list[AccountStanding]:
        """The owners' USDC accounts. Raises Retryable."""
        ...


class Destination:
    def __init__(self, accounts: Accounts, platform: str) -> None:
        """`platform`: the address of the wallet that pays."""
        self._accounts, self._platform = accounts, platform
        self._ours = AccountStanding.READY

    async def unfit(self, case: TransferCase) -> Outcome | None:
        """What keeps a transfer of which nothing has left from being ordered; None where nothing does."""
        if case.attempt is not None and not case.never_left:
            return None
        try:
            ours, theirs = await self._accounts.of(self._platform, case.transfer.destination_address)
        except Retryable as error:
            return Stop(f"the USDC accounts can't be read: {error}", PAUSED).outcome
        before, self._ours = self._ours, ours
        if ours is not AccountStanding.READY:
            if ours is not before:
                log.error("payouts wait for the platform wallet", account=str(ours))
            return Stop(f"the platform wallet's USDC account is {ours}", PAUSED).outcome
        why = WHY_NOT.get(theirs)
        return None if why is None else Refused(BAD_ACCOUNT, why)
