"""Whether the process lives and can serve, without a word about versions or balances; and the OpenAPI document."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

from agent.web.bodies import Answer
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.openapi import document
from domain.errors import RequestError
from storage.store import Store

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""


class Health(Answer):
    status: Literal["ok"] = "ok"


class Readiness(Answer):
    """`degraded`: it serves, and nothing is concluded or sent that hangs on what `why` names."""

    status: Literal["ok", "degraded"]
    why: list[str]


class Vitals:
    """The endpoints that watchers ask. `trouble` names, without addresses, what of the outside can't be used now."""

    def __init__(self, store: Store, trouble: Callable[[], Sequence[str]]) -> None:
        self._store, self._trouble = store, trouble

    def endpoints(self) -> list[Endpoint]:
        public = Access.PUBLIC
        return [
            Endpoint("GET", "/healthz", public, self.alive, "The process runs", Health),
            Endpoint("GET", "/readyz", public, self.ready, "It can serve", Readiness),
        ]

    async def alive(self, _: Call) -> Health:
        return Health()

    async def ready(self, _: Call) -> Readiness:
        """Ready means listening with the database open: webhooks are taken while the chain or the start gate waits."""
        if not await self._store.healthy():
            raise RequestError(503, "not_ready", "the database can't be used now")
        why = list(self._trouble())
        return Readiness(status="degraded" if why else "ok", why=why)


def metrics_endpoint(render: Callable[[], Awaitable[bytes]], access: Access) -> Endpoint:
    """What Prometheus scrapes."""

    async def metrics(_: Call) -> WebResponse:
        return WebResponse(200, await render(), METRICS_TYPE)

    return Endpoint("GET", "/metrics", access, metrics, "Prometheus metrics", content_type="text/plain")


def with_document(endpoints: list[Endpoint], title: str, version: str) -> list[Endpoint]:
    """The registry with `/openapi.json`, which describes all of it that speaks to programs."""

    async def openapi(_: Call) -> WebResponse:
        return WebResponse(200, body, "application/json")

    described = [*endpoints, Endpoint("GET", "/openapi.json", Access.PUBLIC, openapi, "This document")]
    told = tuple(replace(one, handler=_described_only) for one in described if one.face is Face.API)
    body = _written(told, title, version)
    return described


async def _described_only(_: Call) -> None:
    """Stands for every handler where endpoints are only described."""


@cache
def _written(endpoints: tuple[Endpoint, ...], title: str, version: str) -> bytes:
    """Once in a process for each port: what is described does not depend on who handles it."""
    return json.dumps(document(endpoints, title, version)).encode()
