"""The console put together: its door, its pages, and a form for each change of the API."""

from collections.abc import Sequence
from datetime import timedelta

from agent.web.access import Gatekeeper
from agent.web.console.audit import AuditPages
from agent.web.console.batches import BatchPages
from agent.web.console.books import BookPages
from agent.web.console.forms import ROOT, forms_of
from agent.web.console.overview import OverviewPage
from agent.web.console.people import PeoplePages
from agent.web.console.purchases import PurchasePages
from agent.web.console.refusals import ShownAgain
from agent.web.console.scrutiny import ScrutinyPages
from agent.web.console.sign_in import SignIn
from agent.web.console.work import WorkPages
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.entrance import Entrance
from agent.web.pages.files import Files
from agent.web.pages.rendering import Renderer, go_to
from agent.web.pages.site import Site
from agent.web.settings import WebSettings
from ports.clock import Clock
from ports.ids import Ids
from storage.store import Store

NAVIGATION = (
    ("o", "/console/", "Overview"),
    ("p", "/console/purchases/", "Purchases"),
    ("c", "/console/creators/", "Creators"),
    ("b", "/console/batches/", "Batches"),
    ("w", "/console/work/", "Work"),
    ("t", "/console/treasury/", "Treasury"),
    ("l", "/console/ledger/", "Ledger"),
    ("e", "/console/events/", "Events"),
    ("a", "/console/audit/", "Audit"),
)
"""Key after `g`, address, name."""


class Console:
    """`endpoints` belong on the admin port, beside the API that they are made from; `entrance` lets people in."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        api: Sequence[Endpoint],
        settings: WebSettings,
        gatekeeper: Gatekeeper,
    ) -> None:
        site = Site(
            folder="console",
            cookie="console",
            path="/console",
            home="/console/",
            sign_in="/console/signin",
            session=timedelta(hours=settings.console_hours),
            same_site="Strict",
            secure=settings.admin_url.startswith("https://"),
        )
        files = Files()
        facts = {"nav": NAVIGATION, "live": settings.livemode, "hours": settings.console_hours, "fresh_key": ids.uuid}
        renderer = Renderer(site, clock, files, facts)
        self.entrance = Entrance(site, store, clock, ids, renderer, gatekeeper)
        asked = Api(api, ROOT)
        pages = [
            Endpoint("GET", "/", Access.PUBLIC, _home, "To the console", face=Face.PAGE),
            *(
                Endpoint("GET", href.removesuffix("/"), Access.PUBLIC, _with_slash, f"To {href}", face=Face.PAGE)
                for _, href, _ in NAVIGATION
            ),
            *SignIn(store, clock, ids, site, renderer).endpoints(),
            *OverviewPage(asked, renderer).endpoints(),
            *PurchasePages(asked, renderer).endpoints(),
            *PeoplePages(asked, renderer).endpoints(),
            *BatchPages(asked, renderer).endpoints(),
            *WorkPages(asked, renderer).endpoints(),
            *BookPages(asked, renderer).endpoints(),
            *ScrutinyPages(asked, renderer).endpoints(),
            *AuditPages(asked, renderer).endpoints(),
        ]
        self.endpoints = [*files.endpoints(), *pages, *forms_of(api, renderer, ShownAgain(pages))]


async def _with_slash(call: Call) -> WebResponse:
    """An address as people type it."""
    return go_to(f"{call.request.path}/")


async def _home(_: Call) -> WebResponse:
    return go_to("/console/")
