"""An endpoint as a value: who may call it, what it takes, what it answers. Nothing else is ever served."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel

from agent.web.messages import WebRequest, WebResponse
from agent.web.rates import Rate
from domain.errors import Misuse, RequestError
from storage.people.tokens import Bearer

BODY_MAX_BYTES = 256 * 1024
"""Larger than any body a client of ours sends."""
WEBHOOK_MAX_BYTES = 1024 * 1024
"""Stripe's and Circle's events are tens of KB; product.md section 4 promises to take 1 MiB."""
PATH_ID = "[1-9][0-9]{0,17}"
"""Row ids in paths: at most 18 digits, which always fit the database's integers."""

M = TypeVar("M", bound=BaseModel)


class Access(StrEnum):
    """Who may call. The operator's roles include the ones before them."""

    PUBLIC = "public"
    USER = "user"
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


_ROLES = (Access.VIEWER, Access.OPERATOR, Access.APPROVER)


class Face(StrEnum):
    """To whom an endpoint speaks."""

    API = "api"
    """Programs: bearer token, JSON, described in the OpenAPI document. Cookies mean nothing here."""
    PAGE = "page"
    """People with a browser: session cookie, forms, HTML; tokens mean nothing here."""
    FILE = "file"
    """Style sheets and scripts, the same for everybody."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A form that was not done: its target, what was typed into it, and why. The page that it stands on shows it
    again."""

    target: str
    typed: Mapping[str, str]
    error: RequestError


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody in front of a page. `csrf` belongs into each of its forms; `cookie` is the Set-Cookie that makes it
    valid, empty where the browser has it already."""

    csrf: str
    cookie: str = ""
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated, parsed call. `bearer` is None on public endpoints only; `visit` is there on pages only."""

    request: WebRequest
    bearer: Bearer | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    body: BaseModel | None = None
    query: BaseModel | None = None
    visit: Visit | None = None

    @property
    def user_id(self) -> int:
        """The signed-in user."""
        if self.bearer is None or self.bearer.user_id is None:
            raise Misuse(f"{self.request.path} asks for a user but is not an endpoint for users")
        return self.bearer.user_id

    @property
    def operator(self) -> str:
        """The operator's name, for the audit log."""
        if self.bearer is None:
            raise Misuse(f"{self.request.path} asks for an operator but is not an endpoint for operators")
        return self.bearer.name or f"token {self.bearer.token_id}"

    def row_id(self, name: str) -> int:
        """An id from the path."""
        return int(self.ids[name])

    def taken(self, model: type[M]) -> M:
        """The body, as the model that the endpoint declares."""
        if not isinstance(self.body, model):
            raise Misuse(f"{self.request.path} does not take a {model.__name__}")
        return self.body

    def asked(self, model: type[M]) -> M:
        """The query, as the model that the endpoint declares."""
        if not isinstance(self.query, model):
            raise Misuse(f"{self.request.path} does not ask for a {model.__name__}")
        return self.query


Handler = Callable[[Call], Awaitable[BaseModel | WebResponse | None]]
"""A model is answered with the endpoint's `status`; None with an empty body; a response as it is."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` is a template: `{x_id}` takes a row id, any other `{name}` a word of lower-case letters and underscores.

    `errors` are the statuses beside those that every endpoint of its kind may give (see `statuses`). `raw` endpoints
    get the body as it came: it is signed. `rate` is for what costs money, a hash or a row at each call: how often one
    account may have it, or one address where nobody is signed in.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    answers: type[BaseModel] | None = None
    status: int = 200
    takes: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    raw: bool = False
    body_max_bytes: int = BODY_MAX_BYTES
    content_type: str = "application/json"
    face: Face = Face.API
    rate: Rate | None = None

    @property
    def parameters(self) -> list[str]:
        """Names in the path template."""
        return re.findall(r"{([a-z_]+)}", self.path)

    def pattern(self) -> re.Pattern[str]:
        """What a path must match."""
        parts = re.split(r"{([a-z_]+)}", self.path)
        text = [re.escape(part) if place % 2 == 0 else _group(part) for place, part in enumerate(parts)]
        return re.compile("".join(text), re.ASCII)

    def allows(self, role: str) -> bool:
        """Whether an operator's role may call this."""
        return role in _ROLES and self.access in _ROLES and _ROLES.index(Access(role)) >= _ROLES.index(self.access)

    def admits(self, bearer: Bearer) -> bool:
        """Whether a valid token may call this; a user's token is none on the operator's endpoints, nor the reverse."""
        return self.allows(bearer.role) if self.access in _ROLES else bearer.role == self.access

    def knows(self, bearer: Bearer) -> bool:
        """Whether the token is of the right kind at all: if not, the answer is 401 as for an unknown one."""
        return (bearer.role == Access.USER) == (self.access is Access.USER)

    def statuses(self) -> list[int]:
        """Every error status that this endpoint can answer."""
        found = {400, 408, 413, 415, 421, 500, 503, *self.errors}
        if self.access is not Access.PUBLIC:
            found |= {401, 429}
        if self.rate is not None:
            found.add(429)
        if self.access in (Access.OPERATOR, Access.APPROVER) or (self.method == "POST" and not self.raw):
            found.add(403)
        if self.takes is not None or self.query is not None:
            found.add(422)
        if self.parameters:
            found.add(404)
        return sorted(found)


def _group(name: str) -> str:
    return f"(?P<{name}>{PATH_ID})" if name.endswith("_id") else f"(?P<{name}>[a-z_-]{{1,32}})"
