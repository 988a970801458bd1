"""The books, the treasury, and what came in by webhook."""

from agent.web.admin.event_bodies import EventDetail, EventPage, EventQuery
from agent.web.admin.treasury_bodies import (
    ConversionPage,
    Costs,
    DepositPage,
    DepositQuery,
    Outflows,
    Outlook,
    SendsSwitch,
    Treasury,
)
from agent.web.books_bodies import EntryPage, EntryQuery, LedgerPage, LedgerQuery
from agent.web.conversion_bodies import MintDeposits, OrderPage, WireInstructions
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import SLOW_SECONDS, Renderer, go_to
from agent.web.pages.site import Looked
from domain.errors import RequestError


class LedgerAsked(LedgerQuery, Looked):
    """As the API takes it."""


class EntriesAsked(EntryQuery, Looked):
    """As the API takes it."""


class EventsAsked(EventQuery, Looked):
    """As the API takes it."""


class BookPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page, root = Access.VIEWER, Face.PAGE, "/console"
        return [
            Endpoint("GET", f"{root}/treasury/wire", Access.OPERATOR, self.wire, "Wire", query=Looked, face=page),
            Endpoint("GET", f"{root}/treasury/", viewer, self.treasury, "Treasury", query=Looked, face=page),
            Endpoint("GET", f"{root}/ledger/", viewer, self.ledger, "Balances", query=LedgerAsked, face=page),
            Endpoint("GET", f"{root}/ledger/entries", viewer, self.entries, "Entries", query=EntriesAsked, face=page),
            Endpoint("GET", f"{root}/events/", viewer, self.to_events, "Events", face=page),
            Endpoint("GET", f"{root}/events/{{source}}", viewer, self.events, "Events", query=EventsAsked, face=page),
            Endpoint(
                "GET",
                f"{root}/events/{{source}}/{{event_id}}",
                viewer,
                self.event,
                "An event",
                query=Looked,
                face=page,
            ),
        ]

    async def treasury(self, call: Call) -> WebResponse:
        ask = self._api.get
        return self._renderer.page(
            call,
            "treasury.html",
            money=await ask(call, "/treasury", Treasury),
            plan=await ask(call, "/treasury/outlook", Outlook),
            costs=await ask(call, "/treasury/costs", Costs),
            outflows=await ask(call, "/outflows", Outflows),
            conversions=await ask(call, "/conversions", ConversionPage),
            orders=await ask(call, "/conversions/orders", OrderPage),
            wired=await ask(call, "/conversions/deposits", MintDeposits),
            sends=await ask(call, "/sends", SendsSwitch),
            arrived=await self._api.find(call, "/deposits", DepositPage, DepositQuery(unexplained=True)),
        )

    async def wire(self, call: Call) -> WebResponse:
        if not (await self._api.get(call, "/conversions/orders", OrderPage)).circle_mint:
            raise RequestError(404, "not_found", "AGENT_CONVERSION is manual: nothing is wired through Circle Mint")
        told = await self._api.get(call, "/conversions/wire", WireInstructions)
        return self._renderer.page(call, "wire.html", every=SLOW_SECONDS, told=told)

    async def ledger(self, call: Call) -> WebResponse:
        seen = await self._api.find(call, "/ledger", LedgerPage, call.asked(LedgerAsked))
        return self._renderer.page(call, "ledger.html", every=SLOW_SECONDS, seen=seen)

    async def entries(self, call: Call) -> WebResponse:
        asked = call.asked(EntriesAsked)
        seen = await self._api.find(call, "/ledger/entries", EntryPage, asked)
        return self._renderer.page(call, "entries.html", every=SLOW_SECONDS, seen=seen, asked=asked)

    async def to_events(self, _: Call) -> WebResponse:
        return go_to("/console/events/stripe")

    async def events(self, call: Call) -> WebResponse:
        source, asked = call.ids["source"], call.asked(EventsAsked)
        seen = await self._api.find(call, "/events/{source}", EventPage, asked, source=source)
        return self._renderer.page(call, "events.html", every=SLOW_SECONDS, seen=seen, asked=asked, source=source)

    async def event(self, call: Call) -> WebResponse:
        source, event_id = call.ids["source"], call.row_id("event_id")
        seen = await self._api.get(call, "/events/{source}/{event_id}", EventDetail, source=source, event_id=event_id)
        return self._renderer.page(call, "event.html", seen=seen)
