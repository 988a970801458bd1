"""A port's API as its pages call it: the same handlers, so that page and API never say or do different things."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from agent.web import strict_json
from agent.web.access import unauthorized
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import Misuse, RequestError

A = TypeVar("A", bound=BaseModel)


class Api:
    """Calls endpoints of the registry in the name of whoever looks at the page, under his own role."""

    def __init__(self, endpoints: Sequence[Endpoint], root: str) -> None:
        self._root = root
        self._known = {(one.method, one.path): one for one in endpoints}

    async def get(self, call: Call, path: str, answers: type[A], **asked: Any) -> A:
        """What `GET <root><path>` answers. `asked` are the ids of its path and its query; None is left out.

        Raises RequestError as the API does.
        """
        endpoint = self._known["GET", self._root + path]
        ids = {name: str(asked.pop(name)) for name in endpoint.parameters}
        query = {name: str(value) for name, value in asked.items() if value is not None}
        model = None if endpoint.query is None else strict_json.read_text_as(endpoint.query, query)
        return await self._answer(endpoint, replace(call, ids=ids, body=None, query=model), answers)

    async def find(self, call: Call, path: str, answers: type[A], asked: BaseModel, **ids: Any) -> A:
        """As `get`, with the query of a page that takes what the API takes, and shows what was just done."""
        wish = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in asked.model_dump(mode="json", exclude={"done"}).items()
        }
        return await self.get(call, path, answers, **ids, **wish)

    async def post(self, call: Call, path: str, answers: type[A], body: BaseModel | None = None, **ids: int) -> A:
        """What `POST <root><path>` answers to a body of the kind that it takes. Raises RequestError."""
        endpoint = self._known["POST", self._root + path]
        texts = {name: str(value) for name, value in ids.items()}
        return await self._answer(endpoint, replace(call, ids=texts, body=body, query=None), answers)

    async def _answer(self, endpoint: Endpoint, call: Call, answers: type[A]) -> A:
        if endpoint.access is not Access.PUBLIC:
            if call.bearer is None or not endpoint.knows(call.bearer):
                raise unauthorized()
            if not endpoint.admits(call.bearer):
                raise RequestError(403, "forbidden", f"this needs the role {endpoint.access}")
        answer = await endpoint.handler(call)
        if not isinstance(answer, answers):
            raise Misuse(f"{endpoint.method} {endpoint.path} does not answer a {answers.__name__}")
        return answer
