"""Whether the process lives and can serve, without a word about versions or balances; and the OpenAPI document."""

import json
from typing import Literal

from agent.web.bodies import Answer
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.openapi import document
from domain.errors import RequestError
from storage.store import Store


class Health(Answer):
    status: Literal["ok"] = "ok"


class Vitals:
    """The endpoints that watchers ask."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def endpoints(self) -> list[Endpoint]:
        public = Access.PUBLIC
        return [
            Endpoint("GET", "/healthz", public, self.alive, "The process runs", Health),
            Endpoint("GET", "/readyz", public, self.ready, "It can serve", Health),
        ]

    async def alive(self, _: Call) -> Health:
        return Health()

    async def ready(self, _: Call) -> Health:
        """Ready means listening with the database open; the start gate of payments is another matter."""
        if not await self._store.healthy():
            raise RequestError(503, "not_ready", "the database can't be used now")
        return Health()


def with_document(endpoints: list[Endpoint], title: str, version: str) -> list[Endpoint]:
    """The registry with `/openapi.json`, which describes all of it that speaks to programs."""
    body = b""

    async def openapi(_: Call) -> WebResponse:
        return WebResponse(200, body, "application/json")

    described = [*endpoints, Endpoint("GET", "/openapi.json", Access.PUBLIC, openapi, "This document")]
    body = json.dumps(document([one for one in described if one.face is Face.API], title, version)).encode()
    return described
