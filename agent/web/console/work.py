"""Work that needs a person, with the error beside the button."""

from dataclasses import dataclass
from typing import Literal

from agent.web.admin.work_bodies import WorkDetail, WorkItem, WorkPage, WorkQuery
from agent.web.console.forms import FORMS, RETRY_WORD
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.rendering import Renderer
from agent.web.pages.site import Looked
from domain.states import WorkState
from storage.work import BY_HAND

RETRIES = ("wallet", "mint")
"""Kinds of which all that is parked can be asked for at once."""
LINKS = {
    **dict.fromkeys(("fee", "mint", "refund", "refunds", "distribution"), "/console/purchases/"),
    "wallet": "/console/creators/",
    "batch": "/console/batches/",
}


class WorkAsked(WorkQuery, Looked):
    """As the API takes it, but parked work unless asked otherwise: that is what the page is for."""

    state: Literal["parked", "due", "open"] = "parked"


@dataclass(frozen=True, slots=True)
class RetryWay:
    """Where a retry is asked for, and the word to type for it."""

    target: str
    word: str


class WorkPages:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        viewer, page, root = Access.VIEWER, Face.PAGE, "/console/work/"
        one = f"{root}{{source}}/{{row_id}}"
        return [
            Endpoint("GET", root, viewer, self.work, "Work", query=WorkAsked, face=page),
            Endpoint("GET", one, viewer, self.row, "One piece of work", query=Looked, face=page),
        ]

    async def work(self, call: Call) -> WebResponse:
        asked = call.asked(WorkAsked)
        seen = await self._api.find(call, "/work", WorkPage, asked)
        parked = {item.kind for item in seen.items if item.state == WorkState.PARKED}
        return self._renderer.page(
            call,
            "work.html",
            seen=seen,
            asked=asked,
            many=[kind for kind in RETRIES if kind in parked],
            link_of=link_of,
            retry_of=retry_of,
            is_by_hand=is_by_hand,
        )

    async def row(self, call: Call) -> WebResponse:
        source, row_id = call.ids["source"], call.row_id("row_id")
        seen = await self._api.get(call, "/work/{source}/{row_id}", WorkDetail, source=source, row_id=row_id)
        return self._renderer.page(
            call, "work_item.html", seen=seen, link_of=link_of, retry_of=retry_of, is_by_hand=is_by_hand
        )


def link_of(item: WorkItem) -> str | None:
    """The page of what the work is about."""
    root = LINKS.get(item.kind)
    return f"{root}{item.subject}" if root is not None and item.subject.isdigit() else None


def is_by_hand(item: WorkItem) -> bool:
    """No step can run it: a person settles it, and then closes it."""
    return item.source == "jobs" and item.kind in BY_HAND


def retry_of(item: WorkItem) -> RetryWay:
    """A failed wallet or mint goes back by its own rules, which also move its state; all else runs again as it is."""
    if item.source == "jobs" and item.kind in ("wallet", "mint") and item.subject.isdigit():
        return RetryWay(f"{FORMS}/retry/{item.kind}/{item.subject}", "")
    return RetryWay(f"{FORMS}/work/{item.source}/{item.id}/retry", RETRY_WORD if item.source == "jobs" else "")
