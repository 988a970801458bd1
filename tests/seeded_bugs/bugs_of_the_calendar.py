"""Bugs in when: cut-offs, Mondays, dates."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pytest import MonkeyPatch

import agent.steps.stripe_event
import domain.calendar
import payouts.plan
import storage.payouts.planning
import storage.payouts.taking
from simulator.scenario import FaultKind as F
from tests.seeded_bugs.planting import bug, of


@bug()
def leaves_mondays_to_the_operator(patch: MonkeyPatch) -> None:
    """What he plans by hand pays everybody in the end."""

    async def plan(self: Any) -> None:
        return None

    patch.setattr(payouts.plan.Planner, "plan_weekly", plan)


@bug(purchases=9)
def cuts_off_an_hour_late(patch: MonkeyPatch) -> None:
    patch.setattr(domain.calendar, "BATCH_HOUR_UTC", 10)


@bug()
def dates_a_sale_before_its_payment(patch: MonkeyPatch) -> None:
    real = of(agent.steps.stripe_event, "Payment")

    def payment(*told: Any, **named: Any) -> Any:
        made = real(*told, **named)
        return replace(made, paid_at=made.paid_at - timedelta(hours=30))

    patch.setattr(agent.steps.stripe_event, "Payment", payment)


@bug(F.LATE_BUYERS, purchases=9)
def counts_the_second_of_the_cut_off_to_the_week_before(patch: MonkeyPatch) -> None:
    """Nobody has paid at nine sharp, surely."""
    real = of(storage.payouts.planning, "payable")

    def payable(terms: Any) -> Any:
        return real(replace(terms, cutoff=terms.cutoff + timedelta(seconds=1)))

    patch.setattr(storage.payouts.planning, "payable", payable)
    patch.setattr(storage.payouts.taking, "payable", payable)
