"""Letting people in: the session cookie, the form and its token, and refusals as pages."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qsl, quote

from pydantic import BaseModel

from agent.web import strict_json
from agent.web.access import Gatekeeper, unauthorized
from agent.web.endpoint import Access, Call, Endpoint, Visit
from agent.web.messages import RefusedWithHeaders, WebRequest, WebResponse
from agent.web.origins import require_own_site
from agent.web.pages.rendering import Renderer
from agent.web.pages.site import Site, local_path
from domain.errors import RequestError
from ports.clock import Clock
from ports.ids import Ids
from storage.people import sessions
from storage.people.tokens import Bearer
from storage.store import Store

FIELDS_MAX = 200
"""Fields of a form; the largest of ours has a dozen."""
FORM_TYPE = "application/x-www-form-urlencoded"
RESERVED = frozenset({"csrf", "back", "after", "confirm"})
"""Fields that belong to the form and not to what it sends: `back` is the page that it stands on, `after` another one to
look at once it is done."""
COOKIE_MAX_CHARS = 256


class Entrance:
    """The rules of one site's pages."""

    def __init__(
        self, site: Site, store: Store, clock: Clock, ids: Ids, renderer: Renderer, gatekeeper: Gatekeeper
    ) -> None:
        self._site = site
        self._store = store
        self._clock = clock
        self._ids = ids
        self._renderer = renderer
        self._gatekeeper = gatekeeper

    async def call(self, endpoint: Endpoint, request: WebRequest, ids: Mapping[str, str]) -> Call:
        """Who asks, with the form or the query as the endpoint's model.

        Raises RequestError 401 without a session, 403 for too low a role or a form that is not ours, 429 for too many.
        """
        bearer, visit = await self._visitor(request)
        if endpoint.access is not Access.PUBLIC:
            if bearer is None or not endpoint.knows(bearer):
                raise unauthorized()
            if not endpoint.admits(bearer):
                raise RequestError(403, "forbidden", f"this needs the role {endpoint.access}")
        if bearer is not None:
            self._gatekeeper.count(bearer)
        body = None
        if request.method == "POST":
            fields = read_form(request)
            require_own_form(request, fields, visit)
            body = filled(endpoint.takes, fields)
        return Call(request, bearer, ids, body, filled(endpoint.query, _asked(endpoint, request)), visit)

    async def _visitor(self, request: WebRequest) -> tuple[Bearer | None, Visit]:
        """An operator's session is none for people, nor the reverse: each endpoint knows its kind."""
        session = session_of(request, self._site)
        if session:
            now = self._clock.now()
            bearer = await self._store.read(lambda conn: sessions.find(conn, session, now))
            if bearer is not None:
                return bearer, Visit(form_token(session))
        guest = _cookies(request).get(self._site.guest_cookie, "")
        if guest:
            return None, Visit(form_token(guest))
        guest = self._ids.token()
        return None, Visit(form_token(guest), self._site.set_guest_cookie(guest))

    def refusal(self, request: WebRequest, error: RequestError) -> WebResponse | None:
        """The error as a page, for whoever asked for one outside the API; guests are sent to sign in."""
        path = request.path
        if path.startswith(("/api/", "/admin/api/")) or not _wants_page(request):
            return None
        if error.status == 401:
            return self._to_sign_in(request)
        headers = dict(error.headers) if isinstance(error, RefusedWithHeaders) else {}
        back = local_path(_back_of(request), self._site.home)
        return self._renderer.error(error, back, headers)

    def _to_sign_in(self, request: WebRequest) -> WebResponse:
        wanted = request.path if request.method == "GET" else _back_of(request)
        where = f"{self._site.sign_in}?next={quote(local_path(wanted, self._site.home))}"
        if "hx-request" in request.headers:
            return WebResponse(401, headers={"HX-Redirect": where})
        return WebResponse(303, headers={"Location": where})


def session_of(request: WebRequest, site: Site) -> str:
    """The session that the browser sent; empty without one."""
    return _cookies(request).get(site.cookie, "")


def form_token(cookie: str) -> str:
    """The token of a visitor's forms: tells nothing of the cookie, and nobody without the cookie can make it."""
    return hmac.new(cookie.encode(), b"form", sha256).hexdigest()


def read_form(request: WebRequest) -> dict[str, str]:
    """The fields of a form; empty ones are left out. Raises RequestError 400 or 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        raise RequestError(415, "content_type_unsupported", "this takes a form")
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError:
        raise RequestError(400, "invalid_form", "the form is malformed") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RequestError(400, "invalid_form", "the form has the same field twice")
    return fields


def require_own_form(request: WebRequest, fields: Mapping[str, str], visit: Visit) -> None:
    """Raises RequestError 403 for a form that another site sent, or whose token is not this visitor's."""
    require_own_site(request)
    if not hmac.compare_digest(fields.get("csrf", "").encode(), visit.csrf.encode()):
        raise RequestError(403, "form_expired", "this form is from an earlier session: load the page again")


def filled(model: type[BaseModel] | None, fields: Mapping[str, str]) -> BaseModel | None:
    """The fields of a form or a query as a model; what belongs to the form is left out. Raises RequestError 422."""
    if model is None:
        return None
    known = {name: text for name, text in fields.items() if text != "" and (name not in RESERVED or _has(model, name))}
    return strict_json.read_text_as(model, known)


def _asked(endpoint: Endpoint, request: WebRequest) -> Mapping[str, str]:
    """The query of a page. Links to people's pages are shared, and whatever shares one adds parameters of its own; an
    operator is told of a filter that there is not."""
    if endpoint.access not in (Access.PUBLIC, Access.USER):
        return request.query
    return {name: text for name, text in request.query.items() if _has(endpoint.query, name)}


def _has(model: type[BaseModel] | None, name: str) -> bool:
    return model is not None and name in model.model_fields


def _cookies(request: WebRequest) -> dict[str, str]:
    """By name; of two with one name the first, whose path is the longer or who is the older. Nothing is decoded: ours
    are plain, and what other sites of the same domain have left there must not hide them."""
    found: dict[str, str] = {}
    for pair in request.headers.get("cookie", "").split(";"):
        name, _, value = pair.partition("=")
        if value.isascii() and len(value) <= COOKIE_MAX_CHARS:
            found.setdefault(name.strip(), value.strip())
    return found


def _wants_page(request: WebRequest) -> bool:
    return "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers


def _back_of(request: WebRequest) -> str | None:
    if request.method != "POST":
        return None
    try:
        return read_form(request).get("back")
    except RequestError:
        return None
