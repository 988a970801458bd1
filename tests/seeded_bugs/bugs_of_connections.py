"""Bugs that show where a connection breaks or leads elsewhere: COMMITs without an answer, redirects."""

from itertools import count
from typing import Any

from pytest import MonkeyPatch

import agent.steps.mint
import agent.web.admin.treasury
import agent.web.intake
import gateways.circle_api.client
import payouts.rails.circle_transfer
import storage.sales.contents
from agent.clock_watch import ClockWatch
from domain.errors import Rejected
from domain.keys import uuid4_shaped
from ports.transport import HttpRequest, HttpResponse
from simulator.scenario import FaultKind as F
from storage.errors import StoreUnavailable
from tests.seeded_bugs.planting import bug, of

FOLLOWED_MOST = 3


@bug(F.LOST_COMMITS, purchases=12, rail="circle")
def intends_anew_what_got_no_answer(patch: MonkeyPatch) -> None:
    """A COMMIT without an answer is taken for one that failed."""
    for step in (agent.steps.mint.MintStep, payouts.rails.circle_transfer.CircleTransferStep):
        patch.setattr(step, "_intend", _insisting(of(step, "_intend")))


def _insisting(real: Any) -> Any:
    async def intend(self: Any, *case: Any, **told: Any) -> Any:
        try:
            return await real(self, *case, **told)
        except StoreUnavailable:
            return await real(self, *case, **told)

    return intend


@bug(F.LOST_COMMITS)
def takes_no_key_of_the_one_who_asks(patch: MonkeyPatch) -> None:
    """Asked again by somebody who got no answer, it does again what it has done."""
    tries = count()
    for module, name in ((agent.web.admin.treasury, "announced_uuid"), (storage.sales.contents, "published_uuid")):
        patch.setattr(module, name, lambda *told: uuid4_shaped(*map(str, told), str(next(tries))))


@bug(F.LOST_COMMITS, F.LOST_EVENTS)
def takes_a_lost_commit_for_a_kept_one(patch: MonkeyPatch) -> None:
    """Stripe is told that an event is stored of which nobody knows."""

    def acknowledge(group: list[Any]) -> None:
        for _, stored in group:
            if not stored.done():
                stored.set_result(None)

    patch.setattr(agent.web.intake, "_refuse", acknowledge)


@bug(F.REDIRECTS)
def follows_redirects(patch: MonkeyPatch) -> None:
    """With everything that was meant for the one who sends elsewhere."""
    real = of(ClockWatch, "send")

    async def send(self: Any, request: HttpRequest) -> HttpResponse:
        answer: HttpResponse = await real(self, request)
        for _ in range(FOLLOWED_MOST):
            place = answer.headers.get("location", "")
            if answer.status // 100 != 3 or not place.startswith("http"):
                break
            moved = HttpRequest(request.method, place, request.headers, request.body, request.deadline_seconds)
            answer = await real(self, moved)
        return answer

    patch.setattr(ClockWatch, "send", send)


@bug(F.REDIRECTS, purchases=20, rail="circle")
def takes_a_redirect_for_a_refusal(patch: MonkeyPatch) -> None:
    """Whoever sends elsewhere has done nothing, surely."""
    real = of(gateways.circle_api.client.CircleClient, "_read")

    def read(self: Any, call: Any, response: HttpResponse) -> Any:
        if response.status // 100 == 3:
            raise Rejected("moved", f"{call.name}: HTTP {response.status}")
        return real(self, call, response)

    patch.setattr(gateways.circle_api.client.CircleClient, "_read", read)
