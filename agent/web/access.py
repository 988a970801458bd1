"""Whose call it is: bearer tokens, with one and the same refusal for every kind of wrong one."""

import re
from collections.abc import Mapping

from agent.web.endpoint import Access, Endpoint
from domain.errors import RequestError
from ports.clock import Clock
from storage import tokens
from storage.store import Store
from storage.tokens import Bearer

_BEARER = re.compile(r"[Bb]earer +([\x21-\x7e]{1,256})", re.ASCII)


class Gatekeeper:
    """Finds out who calls, and whether he may."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def admit(self, endpoint: Endpoint, headers: Mapping[str, str]) -> Bearer | None:
        """Who calls; None on public endpoints. Raises RequestError 401 `unauthorized` or 403 `forbidden`."""
        if endpoint.access is Access.PUBLIC:
            return None
        match = _BEARER.fullmatch(headers.get("authorization", ""))
        if match is None:
            raise unauthorized()
        token, now = match.group(1), self._clock.now()
        bearer = await self._store.read(lambda conn: tokens.find(conn, token, now))
        if bearer is None or not endpoint.knows(bearer):
            raise unauthorized()
        if not endpoint.admits(bearer):
            raise RequestError(403, "forbidden", f"this needs the role {endpoint.access}")
        return bearer


def unauthorized() -> RequestError:
    """The uniform 401."""
    return RequestError(401, "unauthorized", "sign in and send the bearer token")
