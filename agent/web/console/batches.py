"""Batches: the plan as a table one can check, approved with its digest in view."""

from agent.web.admin.batch_bodies import BatchDetail, BatchPage, BatchRow, Preview
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.charts import Part, share_bar
from agent.web.pages.rendering import SLOW_SECONDS, Renderer
from agent.web.pages.site import Looked
from agent.web.pages.texts import tone, words
from domain.states import BatchStatus, UsdcStatus

PLAN_ROWS = 100
OVER = (UsdcStatus.DISTRIBUTED, UsdcStatus.NETTED)
FAST_SECONDS = 2
"""How often a batch that is on its way is looked at."""


class PageOf(Paging, Looked):
    """A page of a list."""


class BatchPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page = Access.VIEWER, Face.PAGE
        return [
            Endpoint("GET", "/console/batches/", viewer, self.batches, "Batches", query=PageOf, face=page),
            Endpoint("GET", "/console/batches/preview", viewer, self.preview, "What would be paid", face=page),
            Endpoint("GET", "/console/batches/{batch_id}", viewer, self.batch, "A batch", query=PageOf, face=page),
        ]

    async def batches(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/batches", BatchPage, before=call.asked(PageOf).before)
        return self._renderer.page(call, "batches.html", every=SLOW_SECONDS, seen=seen)

    async def preview(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/distribution/preview", Preview)
        return self._renderer.page(call, "preview.html", seen=seen)

    async def batch(self, call: Call) -> WebResponse:
        before, batch_id = call.asked(PageOf).before, call.row_id("batch_id")
        seen = await self._api.get(
            call, "/batches/{batch_id}", BatchDetail, batch_id=batch_id, before=before, limit=PLAN_ROWS
        )
        return self._renderer.page(
            call,
            "batch.html",
            seen=seen,
            every=SLOW_SECONDS if seen.batch.status == BatchStatus.SETTLED else FAST_SECONDS,
            paid=sum(seen.batch.payouts.get(state, 0) for state in OVER),
            failed=seen.batch.payouts.get(UsdcStatus.FAILED, 0),
            progress=progress(seen.batch),
        )


def progress(batch: BatchRow) -> list[Part]:
    """Its payouts by state, done ones first."""
    order = [*OVER, *(state for state in UsdcStatus if state not in OVER)]
    rows = [
        (words(state), batch.payouts[state], str(batch.payouts[state]), tone(state))
        for state in order
        if state in batch.payouts
    ]
    return share_bar(rows)
