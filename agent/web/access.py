"""Whose call it is: bearer tokens, with one and the same refusal for every kind of wrong one."""

import re
from collections.abc import Mapping

from agent.web.endpoint import Access, Endpoint
from agent.web.lockout import Lockout
from agent.web.messages import WebRequest
from agent.web.rates import Rate, RateLimit
from domain.errors import RequestError
from ports.clock import Clock
from storage.people import tokens
from storage.people.tokens import Bearer
from storage.store import Store

GUESSES_FREE = 20
"""Wrong tokens of one caller that cost nothing: a forgotten script, a token that ran out."""
_BEARER = re.compile(r"[Bb]earer +([\x21-\x7e]{1,256})", re.ASCII)


class Gatekeeper:
    """Finds out who calls, and whether he may, and how often."""

    def __init__(self, store: Store, clock: Clock, rate: Rate) -> None:
        self._store = store
        self._clock = clock
        self._rates = RateLimit(clock, rate)
        self._guesses = Lockout(clock, GUESSES_FREE)

    async def admit(self, endpoint: Endpoint, request: WebRequest) -> Bearer | None:
        """Who calls; None on public endpoints. Raises RequestError 401 `unauthorized`, 403 `forbidden` or 429.

        Guessing operators' tokens is answered 429 after a while, for longer each time; a valid token always passes, so
        that nobody is shut out by somebody else's guesses.
        """
        if endpoint.access is Access.PUBLIC:
            return None
        bearer = await self._find(request.headers)
        if bearer is None or not endpoint.knows(bearer):
            if endpoint.access is not Access.USER:
                self._guesses.begin("", request.remote)
            raise unauthorized()
        if not endpoint.admits(bearer):
            raise RequestError(403, "forbidden", "this token may not do that")
        self.count(bearer)
        return bearer

    def count(self, bearer: Bearer) -> None:
        """One call more with this token, by the API or by a page. Raises RequestError 429."""
        self._rates.take(str(bearer.token_id))

    async def _find(self, headers: Mapping[str, str]) -> Bearer | None:
        match = _BEARER.fullmatch(headers.get("authorization", ""))
        if match is None:
            return None
        token, now = match.group(1), self._clock.now()
        return await self._store.read(lambda conn: tokens.find(conn, token, now))


def unauthorized() -> RequestError:
    """The uniform 401."""
    return RequestError(401, "unauthorized", "sign in and send the bearer token")
