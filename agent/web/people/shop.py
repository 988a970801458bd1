"""The shop: what is for sale, a button that begins a checkout, and the two pages to which Stripe sends buyers back."""

from agent.web.bodies import Paging
from agent.web.contents import price_shortfall
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer
from agent.web.pages.site import Looked
from agent.web.settings import WebSettings
from agent.web.shop_bodies import CheckoutBegun, CheckoutWish, ContentBody, ContentPage, NamedShare, NamedShares

EDITIONS_SECONDS = 20
"""How often the editions left are looked at again."""
SHELF = 24
"""Contents on a page: rows of two, three and four come out even."""


class ShopQuery(Paging, Looked):
    """A page of the shop."""


class Returned(Looked):
    """What Stripe adds to the address it sends a buyer back to."""

    session_id: str | None = None


class ShopPages:
    def __init__(self, api: Api, renderer: Renderer, settings: WebSettings) -> None:
        self._api, self._renderer, self._settings = api, renderer, settings

    def endpoints(self) -> list[Endpoint]:
        public, page = Access.PUBLIC, Face.PAGE
        return [
            Endpoint("GET", "/", public, self.shelf, "What is for sale", query=ShopQuery, face=page),
            Endpoint("GET", "/content/{content_id}", public, self.content, "One content", query=Looked, face=page),
            Endpoint("POST", "/content/{content_id}/buy", Access.USER, self.buy, "Begin paying", face=page),
            Endpoint("GET", "/checkout/success", public, self.success, "After paying", query=Returned, face=page),
            Endpoint("GET", "/checkout/cancel", public, self.cancel, "After going back", query=Looked, face=page),
        ]

    async def shelf(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/content/", ContentPage, before=call.asked(ShopQuery).before, limit=SHELF)
        return self._renderer.page(call, "shelf.html", seen=seen)

    async def content(self, call: Call) -> WebResponse:
        one = await self._api.get(call, "/content/{content_id}/", ContentBody, content_id=call.row_id("content_id"))
        me = None if call.bearer is None else call.bearer.user_id
        said = price_shortfall(one.price_cents, self._settings) if me == one.author_id else None
        warnings = [] if said is None else [said]
        shares = (
            await self._shares(call, one)
            if me in {one.author_id, *(part.user_id for part in one.collaborators)}
            else []
        )
        return self._renderer.page(
            call, "content.html", one=one, me=me, warnings=warnings, shares=shares, every=EDITIONS_SECONDS
        )

    async def _shares(self, call: Call, one: ContentBody) -> list[NamedShare]:
        path = "/content/{content_id}/shares/"
        return (await self._api.get(call, path, NamedShares, content_id=one.id)).items

    async def buy(self, call: Call) -> WebResponse:
        """Away to the pay page by a header of this page: a form may be answered by this very site only."""
        wish = CheckoutWish(content_id=call.row_id("content_id"))
        begun = await self._api.post(call, "/checkout/stripe/", CheckoutBegun, wish)
        return self._renderer.page(call, "paying.html", away=begun.redirect_url, url=begun.redirect_url)

    async def success(self, call: Call) -> WebResponse:
        return self._renderer.page(call, "paid.html")

    async def cancel(self, call: Call) -> WebResponse:
        return self._renderer.page(call, "unpaid.html")
