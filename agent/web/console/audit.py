"""Who did what, and who may."""

from agent.web.admin.people_bodies import AuditPage, AuditQuery, AuditRow, InvitePage, TokenPage
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import SLOW_SECONDS, Renderer
from agent.web.pages.site import Looked

LINKS = {
    "purchase": "/console/purchases/",
    "mint": "/console/purchases/",
    "distribution": "/console/purchases/",
    "batch": "/console/batches/",
    "user": "/console/creators/",
    "wallet": "/console/creators/",
}
"""Where a kind of subject is looked at."""
TOKENS_SHOWN = 100


class AuditAsked(AuditQuery, Looked):
    """As the API takes it."""


class AuditPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page, root = Access.VIEWER, Face.PAGE, "/console/audit/"
        return [
            Endpoint("GET", root, viewer, self.audit, "What was done", query=AuditAsked, face=page),
            Endpoint("GET", f"{root}access", viewer, self.access, "Who may", query=Looked, face=page),
        ]

    async def audit(self, call: Call) -> WebResponse:
        asked = call.asked(AuditAsked)
        seen = await self._api.find(call, "/audit", AuditPage, asked)
        return self._renderer.page(call, "audit.html", every=SLOW_SECONDS, seen=seen, asked=asked, link_of=link_of)

    async def access(self, call: Call) -> WebResponse:
        tokens = await self._api.get(call, "/tokens", TokenPage, limit=TOKENS_SHOWN)
        invites = await self._api.get(call, "/invites", InvitePage, limit=TOKENS_SHOWN)
        return self._renderer.page(call, "access.html", every=SLOW_SECONDS, tokens=tokens, invites=invites)


def link_of(row: AuditRow) -> str | None:
    """The page of what was changed."""
    root = LINKS.get(row.kind)
    return f"{root}{row.subject}" if root is not None and row.subject.isdigit() else None
