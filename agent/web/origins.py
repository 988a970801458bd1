"""Which site asked for a change. Browsers say it truthfully, in headers that no page can set; other clients don't."""

from urllib.parse import urlsplit

from agent.web.messages import WebRequest
from domain.errors import RequestError

CHANGES_NOTHING = frozenset({"GET", "HEAD"})


def require_own_site(request: WebRequest) -> None:
    """Raises RequestError 403 `cross_site` for a change that a page of another site asks for.

    `Sec-Fetch-Site` decides where it is sent; older browsers send `Origin`, which must name the host that was asked.
    """
    if request.method in CHANGES_NOTHING:
        return
    site = request.headers.get("sec-fetch-site")
    if site is None:
        own = _is_own(request.headers.get("origin"), request.headers.get("host", ""))
    else:
        own = site in ("same-origin", "none")
    if not own:
        raise RequestError(403, "cross_site", "another site asked for this")


def _is_own(origin: str | None, host: str) -> bool:
    if origin is None:
        return True
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
