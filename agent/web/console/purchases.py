"""Purchases: found by any id, shown with everything that ever happened to them."""

from agent.web.admin_purchase_bodies import AdminPurchase
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer
from domain.states import UsdcStatus, WorkState


class PurchasePages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page = Access.VIEWER, Face.PAGE
        return [
            Endpoint("GET", "/console/purchases/{purchase_id}", viewer, self.purchase, "A purchase's life", face=page),
        ]

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
