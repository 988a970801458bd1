"""Bugs in when: cut-offs, Mondays, dates."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pytest import MonkeyPatch

import agent.steps.stripe_event
import domain.calendar
import payouts.plan
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
