"""From a request to an answer: found in the registry, let in, checked, handled; every error in the one shape."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from pydantic import BaseModel

from agent.web import strict_json
from agent.web.access import Gatekeeper
from agent.web.endpoint import BODY_MAX_BYTES, Call, Endpoint, Face
from agent.web.messages import NOTHING_HERE, WebRequest, WebResponse, error_response, method_not_allowed
from agent.web.metering import WebMetrics
from agent.web.origins import require_own_site
from agent.web.recurring import Recurring
from domain.errors import Misuse, RequestError
from storage.errors import StoreUnavailable

log = logging.getLogger(__name__)

HostCheck = Callable[[str], bool]
READS = frozenset({"GET", "HEAD"})
TRY_AGAIN = "try again"
LOOK_FIRST = "it may have been done all the same: look before you ask again"
"""Of a COMMIT whose answer was lost nobody knows whether it took effect. Most acts can't be done twice (a version, a
state, a name or the sender's own key speaks against it)."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


class PageRules(Protocol):
    """How one port's pages let people in, and how they say no."""

    async def call(self, endpoint: Endpoint, request: WebRequest, ids: Mapping[str, str]) -> Call:
        """The authenticated, parsed call of a page. Raises RequestError."""
        ...

    def refusal(self, request: WebRequest, error: RequestError) -> WebResponse | None:
        """The error as a page, for a browser that asked for one; else None."""
        ...


class HostAllowList:
    """Which Host headers are answered. A page of another origin that rebinds its name to loopback still sends its own
    name here. Loopback names pass with any port; other hosts exactly as listed (`host` or `host:port`)."""

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)

    def __call__(self, host: str) -> bool:
        host = host.lower()
        name, _, port = host.rpartition(":")
        loopback = host in LOOPBACK_NAMES or (name in LOOPBACK_NAMES and port.isascii() and port.isdigit())
        return loopback or host in self._hosts


class Router:
    """Serves one port's registry. `dispatch` never raises."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        gatekeeper: Gatekeeper,
        metrics: WebMetrics,
        hosts: HostCheck | None = None,
        pages: PageRules | None = None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._gatekeeper = gatekeeper
        self._metrics = metrics
        self._hosts = hosts
        self._pages = pages
        self._unavailable = Recurring(lambda times, why: log.warning("%d requests were answered 503: %s", times, why))
        self._plain: dict[str, dict[str, Endpoint]] = {}
        self._patterned = []
        for endpoint in endpoints:
            if endpoint.parameters:
                self._patterned.append((endpoint.pattern(), endpoint))
            elif endpoint.method in self._plain.setdefault(endpoint.path, {}):
                raise Misuse(f"{endpoint.method} {endpoint.path} is in the registry twice")
            else:
                self._plain[endpoint.path][endpoint.method] = endpoint

    def has_path(self, path: str) -> bool:
        """Whether an endpoint has exactly this path, without parameters."""
        return path in self._plain

    def find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """The endpoint and the ids in the path. Raises RequestError 404 or 405."""
        methods = self._plain.get(path)
        if methods is not None:
            if method in methods:
                return methods[method], {}
            raise method_not_allowed(methods)
        allowed = []
        for pattern, endpoint in self._patterned:
            match = pattern.fullmatch(path)
            if match is not None and endpoint.method == method:
                return endpoint, match.groupdict()
            if match is not None:
                allowed.append(endpoint.method)
        if allowed:
            raise method_not_allowed(allowed)
        raise RequestError(404, "not_found", self._nearby(path))

    def _nearby(self, path: str) -> str:
        """The slash at the end is easily forgotten, or one too many."""
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        known = other in self._plain or any(pattern.fullmatch(other) for pattern, _ in self._patterned)
        return f"{NOTHING_HERE}; there is something at {other}" if known else NOTHING_HERE

    def body_max_bytes(self, method: str, path: str) -> int:
        """How much of a body is worth reading: what the endpoint takes."""
        try:
            return self.find(method, path)[0].body_max_bytes
        except RequestError:
            return BODY_MAX_BYTES

    async def dispatch(self, request: WebRequest) -> WebResponse:
        """Answer one request."""
        response = await self._answer_or_refuse(request)
        self._metrics.answered(request.method, response.status)
        return response

    async def _answer_or_refuse(self, request: WebRequest) -> WebResponse:
        try:
            return await self._answer(request)
        except RequestError as error:
            return self._refusal(request, error)
        except StoreUnavailable as error:
            self._unavailable.happened(str(error))
            what_now = TRY_AGAIN if request.method in READS else LOOK_FIRST
            unavailable = RequestError(503, "unavailable", f"the database cannot be used now; {what_now}")
            return self._refusal(request, unavailable)
        except Exception:
            log.exception("%s %s failed unexpectedly", request.method, request.path)
            failed = RequestError(500, "internal_error", "something went wrong here; it has been logged")
            return self._refusal(request, failed)

    def _refusal(self, request: WebRequest, error: RequestError) -> WebResponse:
        page = None if self._pages is None else self._pages.refusal(request, error)
        return error_response(error) if page is None else page

    async def _answer(self, request: WebRequest) -> WebResponse:
        if self._hosts is not None and not self._hosts(request.headers.get("host", "")):
            raise RequestError(421, "host_not_allowed", "this host name is not served here")
        endpoint, ids = self.find(request.method, request.path)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(415, "encoding_unsupported", "send the body without Content-Encoding")
        if len(request.body) > endpoint.body_max_bytes:
            raise too_large(endpoint.body_max_bytes)
        answer = await endpoint.handler(await self._call(endpoint, request, ids))
        if isinstance(answer, WebResponse):
            return answer
        if isinstance(answer, BaseModel):
            return WebResponse(endpoint.status, answer.model_dump_json(by_alias=True).encode())
        return WebResponse(endpoint.status)

    async def _call(self, endpoint: Endpoint, request: WebRequest, ids: Mapping[str, str]) -> Call:
        if endpoint.face is Face.PAGE:
            if self._pages is None:
                raise Misuse(f"{endpoint.path} is a page on a port without pages")
            return await self._pages.call(endpoint, request, ids)
        if not endpoint.raw:
            require_own_site(request)
        bearer = await self._gatekeeper.admit(endpoint, request)
        return Call(request, bearer, ids, _body(endpoint, request), _query(endpoint, request))


def too_large(limit: int) -> RequestError:
    """413."""
    return RequestError(413, "body_too_large", f"the body has more than {limit} bytes")


def _body(endpoint: Endpoint, request: WebRequest) -> BaseModel | None:
    if endpoint.takes is None:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(415, "content_type_unsupported", "send the body as application/json")
    return strict_json.read_as(endpoint.takes, strict_json.parse(request.body))


def _query(endpoint: Endpoint, request: WebRequest) -> BaseModel | None:
    if endpoint.query is None:
        return None
    return strict_json.read_text_as(endpoint.query, request.query)
