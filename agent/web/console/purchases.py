"""Purchases: found by any id, shown with everything that ever happened to them."""

from agent.web.admin.purchase_bodies import AdminPurchase, PurchasePage, PurchaseQuery
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import SLOW_SECONDS, Renderer
from agent.web.pages.site import Looked
from domain.states import PurchaseStatus, UsdcStatus, WorkState


class PurchaseAsked(PurchaseQuery, Looked):
    """As the API takes it."""


class PurchasePages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page, root = Access.VIEWER, Face.PAGE, "/console/purchases/"
        return [
            Endpoint("GET", root, viewer, self.purchases, "Purchases", query=PurchaseAsked, face=page),
            Endpoint("GET", f"{root}{{purchase_id}}", viewer, self.purchase, "A purchase", query=Looked, face=page),
        ]

    async def purchases(self, call: Call) -> WebResponse:
        asked = call.asked(PurchaseAsked)
        seen = await self._api.find(call, "/purchases", PurchasePage, asked)
        return self._renderer.page(
            call,
            "purchases.html",
            every=SLOW_SECONDS,
            seen=seen,
            asked=asked,
            statuses=[status.value for status in PurchaseStatus],
            payout_states=[state.value for state in UsdcStatus if state is not UsdcStatus.NONE],
        )

    async def purchase(self, call: Call) -> WebResponse:
        purchase_id = call.row_id("purchase_id")
        seen = await self._api.get(call, "/purchases/{purchase_id}", AdminPurchase, purchase_id=purchase_id)
        return self._renderer.page(
            call,
            "purchase.html",
            seen=seen,
            parked_mint=any(job.kind == "mint" and job.state == WorkState.PARKED for job in seen.jobs),
            failed_payout=any(one.status is UsdcStatus.FAILED for one in seen.purchase.payouts),
        )
