"""Bugs in paying sales at once: in the transaction of their mint, or in real time after it."""

from dataclasses import replace
from typing import Any

from pytest import MonkeyPatch

import payouts.realtime
import storage.mints.mint_payouts
import storage.mints.mint_settlement
import storage.payouts.realtime
import storage.treasury.funding
from tests.seeded_bugs.planting import bug, nothing, of

ENOUGH = 10
"""Purchases, of which a mint pays some."""
AT_ONCE = {"payout_mode": "realtime", "atomic_settlement": "true", "user_wallets": "user", "approvers": "1"}


@bug(purchases=ENOUGH, **AT_ONCE)
def forgets_what_a_mint_has_paid(patch: MonkeyPatch) -> None:
    """The sale's payouts are born with the NFT and go their way, once more."""
    patch.setattr(storage.mints.mint_settlement, "book", nothing)


@bug(purchases=ENOUGH, **AT_ONCE)
def pays_a_cent_more_with_the_mint(patch: MonkeyPatch) -> None:
    real = of(storage.payouts.realtime, "_named")

    def named(*given: Any) -> Any:
        return [replace(part, amount=part.amount + 10_000) for part in real(*given)]

    patch.setattr(storage.payouts.realtime, "_named", named)


@bug(purchases=ENOUGH, **AT_ONCE)
def plans_in_real_time_what_nothing_covers(patch: MonkeyPatch) -> None:
    """Whatever is owed counts as covered, so that more is sent than the wallet holds for it."""

    real = of(payouts.realtime.RealtimePlanner, "_plan")

    def plan(self: Any, conn: Any, *more: Any) -> Any:
        with MonkeyPatch.context() as inner:
            inner.setattr(storage.treasury.funding, "free", lambda *_: 10**15)
            return real(self, conn, *more)

    patch.setattr(payouts.realtime.RealtimePlanner, "_plan", plan)


@bug(purchases=ENOUGH, **AT_ONCE)
def leaves_out_one_whom_the_mint_pays(patch: MonkeyPatch) -> None:
    real = of(storage.mints.mint_payouts, "of_attempt")
    patch.setattr(storage.mints.mint_payouts, "of_attempt", lambda conn, attempt_id: real(conn, attempt_id)[1:])
