"""Every change of the operator's API as the target of a form: same handler, same role, same body, same audit.

What moves money asks for a typed word: the one that stands in the page beside the field.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel

from agent.web import strict_json
from agent.web.admin.batch_bodies import Approval, BatchPlanned
from agent.web.admin.people_bodies import Invite, MadeToken
from agent.web.admin.treasury_bodies import Adoption, NewConversion
from agent.web.admin.work_bodies import Closed
from agent.web.bodies import Asked, Usdc
from agent.web.console.refusals import ShownAgain
from agent.web.endpoint import Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.entrance import filled, read_form
from agent.web.pages.rendering import Renderer, go_to
from agent.web.pages.site import local_path
from domain.errors import RequestError
from domain.money import parse_decimal

ROOT = "/admin/api"
FORMS = "/console/do"
HOME = "/console/"
DIGEST_CHARS = 8
"""As many characters of the digest are typed: enough to have looked at it, and to tell two plans apart."""


def _digest_word(call: Call) -> str:
    return call.taken(Approval).digest[:DIGEST_CHARS]


def _word(word: str) -> Callable[[Call], str]:
    return lambda _: word


RETRY_WORD = "retry"
"""A job that is run again as it is may send something; an event that is worked on again does not by itself."""
TYPED: Mapping[str, Callable[[Call], str]] = {
    "/batches/{batch_id}/approve": _digest_word,
    "/batches/{batch_id}/resume": _word("resume"),
    "/batches": _word("plan"),
    "/outflows/{movement_id}/accept": _word("accept"),
    "/outflows/{movement_id}/adopt": _word("adopt"),
    "/deposits/{deposit_id}/accept": _word("accept"),
    "/deposits/{deposit_id}/unmatch": _word("unmatch"),
    "/conversions/orders/{order_id}/approve": _digest_word,
    "/sends/resume": _word("resume"),
    "/users/{user_id}/debt/settle": _word("settle"),
}
"""What has to be typed, by the API's path. `retry` of a distribution asks too: see `typed_word`."""


def typed_word(endpoint: Endpoint, call: Call) -> str | None:
    """The word that confirms this change; None where a click is enough, because it moves no money or only stops it."""
    path = endpoint.path.removeprefix(ROOT)
    if path.startswith("/retry/{kind}") and call.ids.get("kind") == "distribution":
        return "pay"
    if path == "/work/{source}/{row_id}/retry" and call.ids.get("source") == "jobs":
        return RETRY_WORD
    word = TYPED.get(path)
    return None if word is None else word(call)


class DollarsSent(Asked):
    """An announcement as a person types it: in dollars."""

    usd: Usdc
    expected_usdc: Usdc | None = None
    note: str = ""
    idempotency_key: str | None = None
    """Of the form as it was shown: sent twice, it is one announcement."""


def _announced(form: DollarsSent) -> NewConversion:
    try:
        cents = parse_decimal(form.usd, 2)
    except ValueError:
        raise RequestError(422, "invalid_request", "usd: write dollars in digits, like 112.50", "usd") from None
    wish = {"usd_cents": cents, **form.model_dump(include={"expected_usdc", "note", "idempotency_key"})}
    return strict_json.read_as(NewConversion, wish)


class PaidPayouts(Asked):
    """The payouts that an outflow has paid, as a person types them: their numbers."""

    payouts: str
    reason: str


def _adopted(form: PaidPayouts) -> Adoption:
    numbers = re.findall(r"[^\s,#]+", form.payouts)
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise RequestError(422, "invalid_request", "payouts: numbers of payouts, separated by commas", "payouts")
    return strict_json.read_as(Adoption, {"payout_ids": [int(one) for one in numbers], "reason": form.reason})


def _of_person(body: BaseModel | None) -> BaseModel | None:
    """The API's body of what a person has typed."""
    match body:
        case DollarsSent():
            return _announced(body)
        case PaidPayouts():
            return _adopted(body)
    return body


FORM_OF: Mapping[type[BaseModel], type[BaseModel]] = {NewConversion: DollarsSent, Adoption: PaidPayouts}
"""Bodies that a person would not type as the API takes them."""


def forms_of(endpoints: Sequence[Endpoint], renderer: Renderer, refused: ShownAgain) -> list[Endpoint]:
    """A form's target for each POST endpoint of the API. What it takes is read by its handler, so that a form that is
    filled in wrongly is shown again like any other that is refused."""
    return [
        replace(
            one,
            path=one.path.replace(ROOT, FORMS),
            handler=_handler(one, renderer, refused),
            takes=None,
            answers=None,
            face=Face.PAGE,
            content_type="text/html",
        )
        for one in endpoints
        if one.method == "POST" and one.path.startswith(ROOT)
    ]


def _handler(endpoint: Endpoint, renderer: Renderer, refused: ShownAgain) -> Callable[[Call], Awaitable[WebResponse]]:
    async def handle(call: Call) -> WebResponse:
        fields = read_form(call.request)
        back = local_path(fields.get("back"), HOME)
        try:
            answer = await _answer(endpoint, call, fields)
        except RequestError as error:
            return await refused.page(call, back, fields, error)
        after = local_path(fields.get("after"), back)
        if isinstance(answer, Invite | MadeToken):
            return renderer.page(call, "made.html", made=answer.model_dump(), back=after)
        return go_to(_with_word(_where(answer, after), _said(endpoint, answer)))

    return handle


async def _answer(endpoint: Endpoint, call: Call, fields: Mapping[str, str]) -> object:
    """What the API answers to a form. Raises RequestError, also for a form that is not confirmed."""
    takes = None if endpoint.takes is None else FORM_OF.get(endpoint.takes, endpoint.takes)
    filled_in = replace(call, body=filled(takes, fields))
    wanted = typed_word(endpoint, filled_in)
    if wanted is not None and fields.get("confirm", "").strip().lower() != wanted:
        raise RequestError(422, "not_confirmed", f"type “{wanted}” to confirm; nothing was changed", "confirm")
    return await endpoint.handler(replace(filled_in, body=_of_person(filled_in.body)))


def _where(answer: object, back: str) -> str:
    """A batch just planned is what one wants to look at."""
    if isinstance(answer, BatchPlanned) and answer.batch is not None:
        return f"/console/batches/{answer.batch.id}"
    return back


def _said(endpoint: Endpoint, answer: object) -> str:
    if isinstance(answer, BatchPlanned):
        return "plan" if answer.batch is not None else "nothing"
    if isinstance(answer, Closed) and answer.not_booked is not None:
        return "unbooked"
    last = endpoint.path.rstrip("/").rpartition("/")[2]
    return "retry" if "/retry/" in endpoint.path else last if last.isalpha() else "saved"


def _with_word(path: str, word: str) -> str:
    parts = urlsplit(path)
    query = [pair for pair in parse_qsl(parts.query) if pair[0] != "done"]
    return f"{parts.path}?{urlencode([*query, ('done', word)])}"
