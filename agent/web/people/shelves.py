"""What belongs to somebody: a buyer's library, and a creator's sales."""

from agent.web.account_bodies import Profile
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer
from agent.web.pages.site import Looked
from agent.web.purchase_bodies import DashboardBody, LibraryPage, SalesPage

ROWS = 50


class ShelfQuery(Paging, Looked):
    """A page of somebody's own."""


class ShelfPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        user, page = Access.USER, Face.PAGE
        return [
            Endpoint("GET", "/library", user, self.library, "What I bought", query=ShelfQuery, face=page),
            Endpoint("GET", "/sales", user, self.sales, "What I sold", query=ShelfQuery, face=page),
        ]

    async def library(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/library/", LibraryPage, before=call.asked(ShelfQuery).before, limit=ROWS)
        return self._renderer.page(call, "library.html", seen=seen)

    async def sales(self, call: Call) -> WebResponse:
        me, before = call.user_id, call.asked(ShelfQuery).before
        money = await self._api.get(call, "/creators/{creator_id}/dashboard/", DashboardBody, creator_id=me)
        person = await self._api.get(call, "/profile/", Profile)
        path = "/creators/{creator_id}/sales/"
        seen = await self._api.get(call, path, SalesPage, creator_id=me, before=before, limit=ROWS)
        return self._renderer.page(call, "sales.html", money=money, me=person, seen=seen)
