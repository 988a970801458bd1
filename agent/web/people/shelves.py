"""What belongs to somebody: a buyer's library, a creator's sales and what to do with the money."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from agent.web import strict_json
from agent.web.bodies import Asked, Paging
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer, go_to
from agent.web.pages.site import Looked
from agent.web.people.refusals import in_words
from agent.web.purchase_bodies import DashboardBody, LibraryPage, SalesPage
from agent.web.shop_bodies import NewContentBody, PublishedContent
from domain.errors import RequestError
from domain.money import parse_decimal

ROWS = 50
SAID: Mapping[str, str] = {
    "price_cents": "the price is written in digits, like 12.50, and from 0.50 to 999999.99 dollars",
    "editions": "the number of editions is written in digits, like 25; leave it empty for unlimited",
    "ipfs_hash": "the IPFS hash has letters and digits only: leave out ipfs:// and what follows a /",
    "ipfs_hash_invalid": "that is no IPFS hash (CID): one that begins with Qm has 46 letters and digits, "
    "one that begins with bafy or bafk has 59; copy it whole",
    "media_missing": "give the IPFS hash of its metadata, or a Cloudinary link to its image",
    "teaser_link_invalid": "the link to the image is an https address at Cloudinary",
}
"""By the field of a value that does not fit, and by the code of a refusal."""


class OfferForm(Asked):
    """As a person fills it in: the price in dollars. Everything else is as the API takes it."""

    title: Annotated[str, Field(max_length=200)]
    description: Annotated[str, Field(max_length=10_000)] = ""
    price: Annotated[str, Field(max_length=20)]
    editions: Annotated[str, Field(max_length=12)] = ""
    ipfs_hash: Annotated[str, Field(max_length=120)] = ""
    teaser_link: Annotated[str, Field(max_length=500)] = ""
    idempotency_key: Annotated[str, Field(max_length=36)] = ""
    """Of the form as it was shown: sent twice, it is one offer."""


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
        return self._renderer.page(call, "offer.html", wish=None, problem=None)

    async def publish(self, call: Call) -> WebResponse:
        """What was wrong stands above the form, which keeps what was filled in."""
        wish = call.taken(OfferForm)
        try:
            made = await self._api.post(call, "/content/", PublishedContent, _content(wish))
        except RequestError as error:
            if error.status not in (422, 429):
                raise
            return self._renderer.page(
                call, "offer.html", status=error.status, wish=wish, problem=in_words(error, SAID)
            )
        return go_to(f"/content/{made.id}?done=published")  # a page that is loaded again must not publish again


def _content(wish: OfferForm) -> NewContentBody:
    """Raises RequestError 422 naming the field."""
    fields = {
        "title": wish.title,
        "description": wish.description.replace("\r\n", "\n"),
        "price_cents": _number(wish.price, 2, "price_cents"),
        "editions": _number(wish.editions, 0, "editions") if wish.editions else None,
        "ipfs_hash": wish.ipfs_hash or None,
        "teaser_link": wish.teaser_link or None,
        "idempotency_key": wish.idempotency_key or None,
    }
    return strict_json.read_as(NewContentBody, fields)


def _number(text: str, decimals: int, field: str) -> int:
    try:
        return parse_decimal(text.strip(), decimals)
    except ValueError:
        raise RequestError(422, "invalid_request", "not a number", field) from None
