"""Buyers whose complaint Stripe ends before it is a dispute: most of them by giving the money back at once."""

import random

from sandbox.stripe_service.errors import ApiError
from simulator.people import Cast

COMPLAIN_SECONDS = (5, 600, 4_000, 90_000)
"""After something begins to happen: before anything is minted or paid, in the middle of it, and when all is done."""
SHARE_GIVEN_BACK = 0.75
"""The others are blocked, and nothing moves."""
PARTS = (1.0, 1.0, 0.5)


class Complaints:
    """`make` one; they have dice of their own."""

    def __init__(self, cast: Cast, dice: random.Random) -> None:
        self._cast, self._dice = cast, dice
        self.given_back = 0

    def at(self, busy: float, latest: float) -> float:
        """When one of the people of a busy time complains."""
        return min(busy + self._dice.choice(COMPLAIN_SECONDS), latest)

    async def make(self) -> None:
        """Of a payment that nobody disputes."""
        stage, dice = self._cast.stage, self._dice
        paid = [one for one in stage.records.payments() if one["status"] == "succeeded" and not one["disputes"]]
        if not paid:
            return
        payment, resolved = dice.choice(paid), dice.random() < SHARE_GIVEN_BACK
        cents = max(1, round(payment["gross_cents"] * dice.choice(PARTS)))
        try:
            stage.stripe.controls.prevent_dispute(payment["payment_intent"], cents, resolved=resolved)
        except ApiError as error:
            stage.trace.tell("nobody prevents the dispute of", payment["payment_intent"], error.message)
            return
        self.given_back += resolved
        how = f"gives back {cents} cents" if resolved else "blocks it"
        stage.trace.tell("a dispute of", payment["payment_intent"], "is prevented: Stripe", how)
