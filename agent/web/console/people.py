"""Creators and their money, everybody else, and what is for sale."""

from agent.web.admin.contents import ContentPage, ContentQuery
from agent.web.admin.people_bodies import AdminUser, CreatorPage, UserPage, UserQuery
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import SLOW_SECONDS, Renderer
from agent.web.pages.site import Looked
from domain.states import WalletState


class CreatorsAsked(Paging, Looked):
    """As the API takes it."""


class PeopleAsked(UserQuery, Looked):
    """As the API takes it."""


class ContentAsked(ContentQuery, Looked):
    """As the API takes it."""


class PeoplePages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page, root = Access.VIEWER, Face.PAGE, "/console/creators/"
        return [
            Endpoint("GET", root, viewer, self.creators, "Creators", query=CreatorsAsked, face=page),
            Endpoint("GET", f"{root}{{user_id}}", viewer, self.person, "Somebody", query=Looked, face=page),
            Endpoint("GET", "/console/people/", viewer, self.people, "All people", query=PeopleAsked, face=page),
            Endpoint("GET", "/console/contents/", viewer, self.contents, "Contents", query=ContentAsked, face=page),
        ]

    async def creators(self, call: Call) -> WebResponse:
        seen = await self._api.find(call, "/creators", CreatorPage, call.asked(CreatorsAsked))
        return self._renderer.page(call, "creators.html", every=SLOW_SECONDS, seen=seen)

    async def person(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/users/{user_id}", AdminUser, user_id=call.row_id("user_id"))
        return self._renderer.page(call, "person.html", seen=seen)

    async def people(self, call: Call) -> WebResponse:
        asked = call.asked(PeopleAsked)
        seen = await self._api.find(call, "/users", UserPage, asked)
        states = [state.value for state in WalletState]
        return self._renderer.page(
            call, "people.html", every=SLOW_SECONDS, seen=seen, asked=asked, wallet_states=states
        )

    async def contents(self, call: Call) -> WebResponse:
        asked = call.asked(ContentAsked)
        seen = await self._api.find(call, "/contents", ContentPage, asked)
        return self._renderer.page(call, "contents.html", every=SLOW_SECONDS, seen=seen, asked=asked)
