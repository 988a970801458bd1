"""The operator's API as its pages call it: the same handlers, so that page and API never say different things."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from agent.web import strict_json
from agent.web.endpoint import Call, Endpoint
from domain.errors import Misuse, RequestError

A = TypeVar("A", bound=BaseModel)
ROOT = "/admin/api"


class Api:
    """Answers GET endpoints of the registry, under the caller's own role."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._known = {one.path: one for one in endpoints if one.method == "GET"}

    async def get(self, call: Call, path: str, answers: type[A], **asked: Any) -> A:
        """What `GET /admin/api<path>` answers. `asked` are the ids of its path and its query; None is left out.

        Raises RequestError as the API does.
        """
        endpoint = self._known[ROOT + path]
        ids = {name: str(asked.pop(name)) for name in endpoint.parameters}
        query = {name: str(value) for name, value in asked.items() if value is not None}
        if call.bearer is None or not endpoint.admits(call.bearer):
            raise RequestError(403, "forbidden", f"this needs the role {endpoint.access}")
        model = None if endpoint.query is None else strict_json.read_text_as(endpoint.query, query)
        answer = await endpoint.handler(replace(call, ids=ids, body=None, query=model))
        if not isinstance(answer, answers):
            raise Misuse(f"GET {endpoint.path} does not answer a {answers.__name__}")
        return answer
