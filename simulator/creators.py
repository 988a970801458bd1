"""Creators look at their dashboards, over the API as anybody would, and at last an operator at the same figures; the
checker judges what they are shown."""

from collections.abc import Mapping
from typing import Any

from simulator.checker import Figures, Shown
from simulator.checker.dashboards import unlike_the_books
from simulator.outside import ADMIN_TOKEN
from simulator.people import Cast, Person

EXPIRED = 401
SAME_FIGURES = {"owed": "pending_distribution", "held": "held", "paid": "paid_out", "debt": "debt"}
"""An operator's name of each → its creator's."""


class Creators:
    """All of one world."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._seen: dict[int, Figures] = {}
        """What each was shown last."""

    async def glance(self) -> list[str]:
        """Each for whom there is news looks at his figures. If the books of his money change while he is answered, it
        says nothing."""
        stage = self._cast.stage
        found: list[str] = []
        for person in self._cast.creators:
            before = stage.checker.figures(person.id)
            if self._seen.get(person.id) == before:
                continue
            answer = await stage.call("GET", _dashboard(person), token=person.token)
            if answer is not None and answer.status == 200 and stage.checker.figures(person.id) == before:
                self._seen[person.id] = before
                found += unlike_the_books(person.id, answer.body, before)
        return found

    async def look_closely(self) -> list[str]:
        """At rest, each at all that he is shown."""
        self._seen.clear()
        cast = self._cast
        found = await self.glance()
        for person in cast.creators:
            profile = await _shown(cast, person, "/api/profile/")
            dashboard, sales = await _shown(cast, person, _dashboard(person)), await _sales(cast, person)
            found += cast.stage.checker.shown(Shown(profile, dashboard, sales), cast.explained)
            found += await self._to_the_operator(person, dashboard)
        return found

    async def _to_the_operator(self, person: Person, dashboard: Mapping[str, Any]) -> list[str]:
        """The same, by the names that they have there."""
        path = f"/admin/api/users/{person.id}"
        answer = await self._cast.stage.call("GET", path, token=ADMIN_TOKEN, admin=True)
        if answer is None or answer.status != 200:
            return []
        shown = answer.body["creator"]
        return [
            f"I17: an operator is shown {theirs} of {shown[theirs]} of creator {person.id}, who sees {dashboard[his]}"
            for theirs, his in SAME_FIGURES.items()
            if shown[theirs] != dashboard[his]
        ]


def _dashboard(person: Person) -> str:
    return f"/api/creators/{person.id}/dashboard/"


async def _sales(cast: Cast, person: Person) -> list[Mapping[str, Any]]:
    lines: list[Mapping[str, Any]] = []
    before = ""
    while True:
        page = await _shown(cast, person, f"/api/creators/{person.id}/sales/{before}")
        lines += page["items"]
        if page["next"] is None:
            return lines
        before = f"?before={page['next']}"


async def _shown(cast: Cast, person: Person, path: str) -> Mapping[str, Any]:
    """Raises RuntimeError where he is refused what is his."""
    answer = await cast.ask("GET", path, token=person.token)
    if answer is not None and answer.status == EXPIRED:
        person.token = (await cast.enter(person.name)).token
        answer = await cast.ask("GET", path, token=person.token)
    if answer is None or answer.status != 200:
        raise RuntimeError(f"{person.name} is not shown {path}: {answer}")
    return dict(answer.body)
