"""Bugs in what people settle by hand, and in what they take back."""

from typing import Any

from pytest import MonkeyPatch

import storage.payouts.settlements
import storage.treasury.conversions
from tests.seeded_bugs.planting import bug, nothing, of


@bug(purchases=9)
def books_nothing_of_what_is_settled_by_hand(patch: MonkeyPatch) -> None:
    patch.setattr(storage.payouts.settlements, "post", nothing)


@bug()
def leaves_the_dollars_of_a_withdrawn_conversion_booked(patch: MonkeyPatch) -> None:
    real = of(storage.treasury.conversions, "post")

    def post(conn: Any, entry: Any, now: Any) -> None:
        if entry.kind != "conversion_withdrawn":
            real(conn, entry, now)

    patch.setattr(storage.treasury.conversions, "post", post)
