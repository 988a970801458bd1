"""Sell something: a form, what would be put up for sale and who would earn what of it, and only then the offer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator

from agent.web import strict_json
from agent.web.account_bodies import Profile
from agent.web.bodies import Asked
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer, go_to
from agent.web.pages.site import Looked
from agent.web.pages.texts import per_cent
from agent.web.people.refusals import in_words
from agent.web.shop_bodies import (
    COLLABORATORS_MAX,
    CodeQuery,
    Collaborator,
    ContentChecked,
    NewContentBody,
    PersonNamed,
    PublishedContent,
)
from domain.errors import RequestError
from domain.money import SHARE_WHOLE_BPS, parse_decimal

LINES_LEAST = 2
LINES_MORE = 3
"""Empty lines for collaborators: beside a new form, and beside what was filled in."""
REFUSALS = (409, 422, 429)
SAID: Mapping[str, str] = {
    "title": "give it a title, in one line",
    "description": "the description has characters in it that can't be shown; write it anew",
    "teaser_link": "the link to the image is one line",
    "price_cents": "the price is written in digits, like 12.50, and from 0.50 to 999999.99 dollars",
    "editions": "the number of editions is written in digits, like 25; leave it empty for unlimited",
    "ipfs_hash": "the IPFS hash has letters and digits only: leave out ipfs:// and what follows a /",
    "ipfs_hash_invalid": "that is no IPFS hash (CID): one that begins with Qm has 46 letters and digits, "
    "one that begins with bafy or bafk has 59; copy it whole",
    "media_missing": "give the IPFS hash of its metadata, or a Cloudinary link to its image",
    "teaser_link_invalid": "the link to the image is an https address at Cloudinary",
    "idempotency_key_used": "this form has put something up for sale already: look at the shop, and begin a new one",
}
"""By the field of a value that does not fit, and by the code of a refusal."""


class LineForm(Asked):
    """One collaborator as a person names him."""

    code: Annotated[str, Field(max_length=60)] = ""
    share: Annotated[str, Field(max_length=20)] = ""


class OfferForm(Asked):
    """As a person fills it in: the price in dollars, the collaborators' shares in per cent."""

    title: Annotated[str, Field(max_length=200)] = ""
    description: Annotated[str, Field(max_length=10_000)] = ""
    price: Annotated[str, Field(max_length=20)] = ""
    editions: Annotated[str, Field(max_length=12)] = ""
    ipfs_hash: Annotated[str, Field(max_length=120)] = ""
    teaser_link: Annotated[str, Field(max_length=500)] = ""
    lines: Annotated[dict[str, LineForm], Field(max_length=COLLABORATORS_MAX)] = Field(default_factory=dict)
    """By the number of the line on the form; those that were left empty are not there."""
    idempotency_key: Annotated[str, Field(max_length=36)] = ""
    """Of the form as it was first shown: sent twice, it is one offer."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """`code_1` and `share_1` are a form's way to say `lines`."""
        kept: dict[str, Any] = {}
        lines: dict[str, dict[str, Any]] = {}
        for name, text in fields.items():
            part, _, number = name.rpartition("_")
            if part in LineForm.model_fields and number.isascii() and number.isdigit() and len(number) <= 3:
                lines.setdefault(number, {})[part] = text
            else:
                kept[name] = text
        return {**kept, "lines": lines} if lines else kept


@dataclass(frozen=True, slots=True)
class Line:
    """A collaborator's line of the form: its number, and what stands in it."""

    number: int
    code: str = ""
    share: str = ""


@dataclass(frozen=True, slots=True)
class Earner:
    """Who earns what of a sale. `code` is empty for the seller himself."""

    name: str
    code: str
    per_cent: str
    amount: str


class OfferPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        user, page, root = Access.USER, Face.PAGE, "/sales/new"
        return [
            Endpoint("GET", root, user, self.offer, "Put something up for sale", query=Looked, face=page),
            Endpoint("POST", root, user, self.check, "Look at it first", takes=OfferForm, face=page),
            Endpoint("POST", f"{root}/change", user, self.change, "Go on filling in", takes=OfferForm, face=page),
            Endpoint("POST", f"{root}/publish", user, self.publish, "Publish", takes=OfferForm, face=page),
        ]

    async def offer(self, call: Call) -> WebResponse:
        return self._form(call, None)

    async def change(self, call: Call) -> WebResponse:
        return self._form(call, call.taken(OfferForm))

    async def check(self, call: Call) -> WebResponse:
        """What would be published, shown back."""
        wish = call.taken(OfferForm)
        try:
            named = await self._named(call, wish)
            content = _content(wish, _shares(call.user_id, named))
            seen = await self._api.post(call, "/content/check/", ContentChecked, content)
        except RequestError as error:
            return self._refused(call, wish, error)
        lines = _lines(wish)
        return self._renderer.page(
            call, "offer_check.html", wish=wish, lines=lines, seen=seen, earners=_earners(call.user_id, named, seen)
        )

    async def publish(self, call: Call) -> WebResponse:
        wish = call.taken(OfferForm)
        try:
            named = await self._named(call, wish)
            made = await self._api.post(
                call, "/content/", PublishedContent, _content(wish, _shares(call.user_id, named))
            )
        except RequestError as error:
            return self._refused(call, wish, error)
        return go_to(f"/content/{made.id}?done=published")  # a page that is loaded again must not publish again

    def _form(self, call: Call, wish: OfferForm | None, problem: RequestError | None = None) -> WebResponse:
        lines = [] if wish is None else _lines(wish)
        more = LINES_LEAST if not lines else LINES_MORE
        numbers = range(len(lines) + 1, min(len(lines) + more, COLLABORATORS_MAX) + 1)
        return self._renderer.page(
            call,
            "offer.html",
            status=200 if problem is None else problem.status,
            wish=wish,
            problem=problem,
            lines=[*lines, *(Line(number) for number in numbers)],
        )

    def _refused(self, call: Call, wish: OfferForm, error: RequestError) -> WebResponse:
        """What was wrong stands above the form, which keeps what was filled in."""
        if error.status not in REFUSALS:
            raise error
        return self._form(call, wish, in_words(error, SAID))

    async def _named(self, call: Call, wish: OfferForm) -> list[tuple[Line, PersonNamed, int]]:
        """Whose each line is, and his share in basis points. Raises RequestError 422 naming the line."""
        found: list[tuple[Line, PersonNamed, int]] = []
        for line in _lines(wish):
            found.append((line, await self._person(call, line), _basis_points(line)))
        me = await self._api.get(call, "/profile/", Profile) if found else None
        for place, (line, person, _) in enumerate(found):
            if me is not None and person.user_id == me.user_id:
                raise _wrong(line, "code", "that is your own code; what the others leave is yours without it")
            if person.user_id in (other.user_id for _, other, _ in found[:place]):
                raise _wrong(line, "code", f"{person.name} is named twice: give him one line with all of his share")
        return found

    async def _person(self, call: Call, line: Line) -> PersonNamed:
        if not line.code:
            raise _wrong(line, "code", "whose share is it? Ask him for his collaborator code")
        try:
            return await self._api.find(call, "/collaborators/", PersonNamed, CodeQuery(code=line.code))
        except RequestError as error:
            if error.code != "code_unknown":
                raise
            said = f"nobody has the code {line.code}: copy it whole from whoever gave it to you, like 17-K7QF92"
            raise _wrong(line, "code", said) from None


def _lines(wish: OfferForm) -> list[Line]:
    """What was filled in, numbered anew from 1."""
    filled = sorted(wish.lines.items(), key=lambda one: int(one[0]))
    return [Line(place, line.code.strip(), line.share.strip()) for place, (_, line) in enumerate(filled, 1)]


def _basis_points(line: Line) -> int:
    try:
        bps = parse_decimal(line.share.removesuffix("%").strip(), 2)
    except ValueError:
        bps = 0
    if not 0 < bps <= SHARE_WHOLE_BPS:
        raise _wrong(line, "share", "the share is written in per cent, like 30 or 12.50, from 0.01 to 100")
    return bps


def _shares(me: int, named: Sequence[tuple[Line, PersonNamed, int]]) -> list[Collaborator]:
    """As the API takes them, with the rest for the seller. Raises RequestError 422 for more than everything."""
    rest = SHARE_WHOLE_BPS - sum(bps for _, _, bps in named)
    if rest < 0:
        line, together = named[-1][0], per_cent(SHARE_WHOLE_BPS - rest)
        raise _wrong(line, "share", f"the shares are {together} % together, and there are 100")
    others = [Collaborator(user_id=person.user_id, share_bps=bps) for _, person, bps in named]
    return [*others, Collaborator(user_id=me, share_bps=rest)] if others and rest else others


def _earners(me: int, named: Sequence[tuple[Line, PersonNamed, int]], seen: ContentChecked) -> list[Earner]:
    """The seller first, also where nothing is left for him."""
    due = {one.user_id: one.amount for one in seen.shares}
    bps = {one.user_id: one.share_bps for one in seen.shares}
    own = Earner("You", "", per_cent(bps.get(me, 0)), due.get(me, "0.00"))
    return [
        own,
        *(Earner(person.name, line.code, per_cent(share), due[person.user_id]) for line, person, share in named),
    ]


def _wrong(line: Line, field: str, said: str) -> RequestError:
    return RequestError(422, "collaborator_wrong", f"Collaborator {line.number}: {said}", f"{field}_{line.number}")


def _content(wish: OfferForm, shares: Sequence[Collaborator]) -> NewContentBody:
    """Raises RequestError 422 naming the field."""
    fields = {
        "title": wish.title,
        "description": wish.description.replace("\r\n", "\n"),
        "price_cents": _number(wish.price, 2, "price_cents"),
        "editions": _number(wish.editions, 0, "editions") if wish.editions else None,
        "ipfs_hash": wish.ipfs_hash or None,
        "teaser_link": wish.teaser_link or None,
        "collaborators": [one.model_dump() for one in shares],
        "idempotency_key": wish.idempotency_key or None,
    }
    return strict_json.read_as(NewContentBody, fields)


def _number(text: str, decimals: int, field: str) -> int:
    try:
        return parse_decimal(text.strip(), decimals)
    except ValueError:
        raise RequestError(422, "invalid_request", "not a number", field) from None
