"""What belongs to somebody: a buyer's library, a creator's sales and what to do with the money."""

from typing import Annotated

from pydantic import Field

from agent.web import strict_json
from agent.web.bodies import Asked, Paging
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer
from agent.web.pages.site import Looked
from agent.web.purchase_bodies import DashboardBody, LibraryPage, SalesPage
from agent.web.shop_bodies import NewContentBody, PublishedContent
from domain.errors import RequestError
from domain.money import parse_decimal

ROWS = 50


class OfferForm(Asked):
    """As a person fills it in: the price in dollars. Everything else is as the API takes it."""

    title: Annotated[str, Field(max_length=200)]
    description: Annotated[str, Field(max_length=10_000)] = ""
    price: Annotated[str, Field(max_length=20)]
    editions: Annotated[str, Field(max_length=12)] = ""
    ipfs_hash: Annotated[str, Field(max_length=120)] = ""
    teaser_link: Annotated[str, Field(max_length=500)] = ""


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
            Endpoint("GET", "/sales/new", user, self.offer, "Put something up for sale", query=Looked, face=page),
            Endpoint("POST", "/sales/new", user, self.publish, "Publish", takes=OfferForm, face=page),
        ]

    async def library(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/library/", LibraryPage, before=call.asked(ShelfQuery).before, limit=ROWS)
        return self._renderer.page(call, "library.html", seen=seen)

    async def sales(self, call: Call) -> WebResponse:
        me, before = call.user_id, call.asked(ShelfQuery).before
        money = await self._api.get(call, "/creators/{creator_id}/dashboard/", DashboardBody, creator_id=me)
        path = "/creators/{creator_id}/sales/"
        seen = await self._api.get(call, path, SalesPage, creator_id=me, before=before, limit=ROWS)
        return self._renderer.page(call, "sales.html", money=money, seen=seen)

    async def offer(self, call: Call) -> WebResponse:
        return self._renderer.page(call, "offer.html", wish=None, problem=None, made=None)

    async def publish(self, call: Call) -> WebResponse:
        """What was wrong stands above the form, which keeps what was filled in."""
        wish = call.taken(OfferForm)
        try:
            made = await self._api.post(call, "/content/", PublishedContent, _content(wish))
        except RequestError as error:
            if error.status != 422:
                raise
            return self._renderer.page(call, "offer.html", status=422, wish=wish, problem=error, made=None)
        return self._renderer.page(call, "offer.html", wish=None, problem=None, made=made)


def _content(wish: OfferForm) -> NewContentBody:
    """Raises RequestError 422 naming the field."""
    fields = {
        "title": wish.title,
        "description": wish.description.replace("\r\n", "\n"),
        "price_cents": _number(wish.price, 2, "price"),
        "editions": _number(wish.editions, 0, "editions") if wish.editions else None,
        "ipfs_hash": wish.ipfs_hash or None,
        "teaser_link": wish.teaser_link or None,
    }
    return strict_json.read_as(NewContentBody, fields)


def _number(text: str, decimals: int, field: str) -> int:
    try:
        return parse_decimal(text.strip(), decimals)
    except ValueError:
        raise RequestError(422, "invalid_request", f"{field}: write it in digits, like 12.50", field) from None
