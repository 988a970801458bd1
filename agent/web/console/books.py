"""The ledger's accounts."""

from agent.web.admin_bodies import LedgerPage, LedgerQuery
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer


class BookPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page = Access.VIEWER, Face.PAGE
        return [Endpoint("GET", "/console/ledger/", viewer, self.ledger, "Ledger", query=LedgerQuery, face=page)]

    async def ledger(self, call: Call) -> WebResponse:
        asked = call.asked(LedgerQuery)
        seen = await self._api.get(call, "/ledger", LedgerPage, after=asked.after, limit=asked.limit)
        return self._renderer.page(call, "ledger.html", seen=seen)
