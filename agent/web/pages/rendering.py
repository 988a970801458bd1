"""Templates into pages: everything is escaped, nothing runs inline, and a live part can be asked for alone."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from agent.web.endpoint import Call
from agent.web.messages import RefusedWithHeaders, WebResponse
from agent.web.pages import texts
from agent.web.pages.files import Files
from agent.web.pages.site import Site
from domain.errors import RequestError
from ports.clock import Clock

FOLDER = Path(__file__).parent.parent / "templates"
HTML = "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ROLES = ("viewer", "operator", "approver")
SLOW_SECONDS = 15
"""How often lists are looked at again, which take the database longer than a single thing."""
LIVE = "live"
"""The block of a template that is asked for again and again, and the id of the element that takes it."""


class _Compiled(BytecodeCache):
    """Templates compiled once in a process: both sites share some, and simulated processes start by the thousand."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


class Renderer:
    """Makes the pages of one site."""

    def __init__(self, site: Site, clock: Clock, files: Files, facts: Mapping[str, Any]) -> None:
        """`facts` are known to every template of the site."""
        self._site = site
        self._clock = clock
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=_COMPILED,
        )
        self._templates.filters |= texts.FILTERS
        self._templates.globals |= {"file": files.urls.__getitem__, "site": site, **facts}
        self._templates.globals["ui"] = self._templates.get_template("macros.html").module

    def page(
        self, call: Call, template: str, *, frames: str = "", away: str = "", status: int = 200, **values: Any
    ) -> WebResponse:
        """A whole page; only its live part where the page itself asks for that.

        `frames` is an origin that it may embed, `away` an address to which the browser goes on by itself. A `problem`
        that it shows, or a form that was refused, brings its headers, and the latter its status.
        """
        known = {**self._known(call), **values}
        found = self._templates.get_template(f"{self._site.folder}/{template}")
        if call.request.headers.get("hx-target") == LIVE and LIVE in found.blocks:
            html = "".join(found.blocks[LIVE](found.new_context(known)))
        else:
            html = found.render(known)
        headers = _headers(frames)
        if away:
            headers["Refresh"] = f"0; url={away}"
        refused = None if call.visit is None else call.visit.refused
        problem = values.get("problem") if refused is None else refused.error
        if isinstance(problem, RefusedWithHeaders):
            headers |= problem.headers
        if call.visit is not None and call.visit.cookie:
            headers["Set-Cookie"] = call.visit.cookie
        return WebResponse(status if refused is None else refused.error.status, html.encode(), HTML, headers)

    def error(self, error: RequestError, back: str, headers: Mapping[str, str]) -> WebResponse:
        """An error that ended a request."""
        template = self._templates.get_template("error.html")
        html = template.render(error=error, back=back, now=self._clock.now())
        return WebResponse(error.status, html.encode(), HTML, {**_headers(""), **headers})

    def _known(self, call: Call) -> dict[str, Any]:
        now: datetime = self._clock.now()
        role = "" if call.bearer is None else call.bearer.role
        return {
            "call": call,
            "bearer": call.bearer,
            "may": lambda wanted: _may(role, wanted),
            "csrf": call.visit.csrf if call.visit is not None else "",
            "visit": call.visit,
            "refused": call.visit.refused if call.visit is not None else None,
            "path": call.request.path,
            "here": texts.here(call.request),
            "done": texts.done(call.request.query.get("done")),
            "now": now,
        }


def _may(role: str, wanted: str) -> bool:
    """Whether somebody is shown what needs a role; the endpoint behind it decides for itself."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(wanted)


def _headers(frames: str) -> dict[str, str]:
    """A page says where it was come from only to its own site: browsers name the origin of a form only then."""
    policy = f"{POLICY}; frame-src {frames}" if frames else POLICY
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }


def go_to(path: str, cookie: str = "") -> WebResponse:
    """After a form: look at that page."""
    return WebResponse(303, headers={"Location": path, **({"Set-Cookie": cookie} if cookie else {})})
