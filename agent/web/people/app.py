"""The pages of buyers and creators put together."""

from collections.abc import Sequence

from agent.web.access import Gatekeeper
from agent.web.endpoint import Endpoint
from agent.web.pages.api import Api
from agent.web.pages.entrance import Entrance
from agent.web.pages.files import Files
from agent.web.pages.rendering import Renderer
from agent.web.pages.site import Site
from agent.web.people.cash import CashPages
from agent.web.people.door import Door
from agent.web.people.offer import OfferPages
from agent.web.people.shelves import ShelfPages
from agent.web.people.shop import ShopPages
from agent.web.people.wallet import WalletPages
from agent.web.settings import WebSettings
from ports.clock import Clock
from ports.ids import Ids
from storage.store import Store


class People:
    """`endpoints` belong on the public port, beside the API that they are made from; `entrance` lets people in."""

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
            folder="people",
            cookie="shop",
            path="/",
            home="/",
            sign_in="/signin",
            session=settings.token_lifetime,
            same_site="Lax",
            secure=settings.public_base_url.startswith("https://"),
        )
        files = Files()
        facts = {"live": settings.livemode, "password_least": settings.password_least_chars, "fresh_key": ids.uuid}
        renderer = Renderer(site, clock, files, facts)
        self.entrance = Entrance(site, store, clock, ids, renderer, gatekeeper)
        asked = Api(api, "/api")
        self.endpoints = [
            *files.endpoints(),
            *Door(asked, store, clock, ids, site, renderer).endpoints(),
            *ShopPages(asked, renderer, settings).endpoints(),
            *ShelfPages(asked, renderer).endpoints(),
            *OfferPages(asked, renderer).endpoints(),
            *WalletPages(asked, renderer, settings).endpoints(),
            *CashPages(asked, renderer, settings).endpoints(),
        ]
