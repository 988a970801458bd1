"""Bugs in converting dollars at Circle Mint."""

from dataclasses import replace
from itertools import count
from typing import Any

from pytest import MonkeyPatch

import payouts.conversion
import payouts.conversion_listing
import storage.treasury.conversion_orders
import storage.treasury.conversions
from domain.errors import AccessRefused, OutcomeUnknown
from domain.keys import uuid4_shaped
from domain.outcomes import nothing as no_commit
from gateways.circle_mint import MintGateway, MintTransfer
from simulator.scenario import FaultKind as F
from tests.seeded_bugs.planting import bug, nothing, of

CIRCLE_MINT = "circle_mint"


@bug(F.LOST_ANSWERS, conversion=CIRCLE_MINT)
def takes_a_fresh_key_for_each_try_of_an_order(patch: MonkeyPatch) -> None:
    real, tries = of(MintGateway, "order_transfer"), count()

    async def order(self: Any, key: Any, *body: Any) -> Any:
        return await real(self, uuid4_shaped(str(key), str(next(tries))), *body)

    patch.setattr(MintGateway, "order_transfer", order)


@bug(F.LATE_LANDING, conversion=CIRCLE_MINT)
def calls_a_conversion_done_when_it_is_sent(patch: MonkeyPatch) -> None:
    patch.setattr(MintTransfer, "is_complete", property(lambda self: not self.has_failed))
    patch.setattr(storage.treasury.conversion_orders, "has_arrived", lambda conn, order_id: True)


@bug(conversion=CIRCLE_MINT)
def books_no_dollars_of_a_conversion(patch: MonkeyPatch) -> None:
    patch.setattr(storage.treasury.conversions, "post", nothing)


@bug(conversion=CIRCLE_MINT)
def orders_before_the_dollars_are_there(patch: MonkeyPatch) -> None:
    async def available(self: Any) -> int:
        return 10**15

    patch.setattr(MintGateway, "available", available)


@bug(F.LOST_ANSWERS, conversion=CIRCLE_MINT)
def calls_an_order_failed_when_its_answer_is_lost(patch: MonkeyPatch) -> None:
    real = of(payouts.conversion.ConversionStep, "_sending")

    async def sending(self: Any, order: Any, claim: Any) -> Any:
        try:
            return await real(self, order, claim)
        except OutcomeUnknown as error:
            return self._dead(order, {"why": str(error)}, no_commit)

    patch.setattr(payouts.conversion.ConversionStep, "_sending", sending)


@bug(F.OLD_BACKUP, conversion=CIRCLE_MINT)
def adopts_nothing_that_circle_mint_lists(patch: MonkeyPatch) -> None:
    async def place(self: Any, one: Any) -> None:
        return

    patch.setattr(payouts.conversion_listing.ConversionListingStep, "_place", place)


@bug(F.MINT_KEYS, conversion=CIRCLE_MINT)
def calls_an_order_failed_when_its_key_is_refused(patch: MonkeyPatch) -> None:
    """Whoever may not even look at a transfer has none, surely."""
    real = of(payouts.conversion.ConversionStep, "_sending")

    async def sending(self: Any, order: Any, claim: Any) -> Any:
        try:
            return await real(self, order, claim)
        except AccessRefused as error:
            return self._dead(order, {"why": str(error)}, no_commit)

    patch.setattr(payouts.conversion.ConversionStep, "_sending", sending)


@bug(F.BY_HAND, conversion=CIRCLE_MINT)
def takes_what_was_sent_elsewhere_for_its_own(patch: MonkeyPatch) -> None:
    """Every transfer that Circle Mint lists comes to the platform wallet, surely."""
    real = of(payouts.conversion_listing.ConversionListingStep, "_place")

    async def place(self: Any, one: Any) -> None:
        await real(self, replace(one, address=self._address))

    patch.setattr(payouts.conversion_listing.ConversionListingStep, "_place", place)
