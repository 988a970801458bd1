"""The console's door: a token of the admin port becomes a short session; the token itself is not kept."""

from typing import Annotated

from pydantic import Field

from agent.web.audit import audited
from agent.web.bodies import Asked, Line
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.lockout import Lockout
from agent.web.messages import WebResponse
from agent.web.pages.entrance import session_of
from agent.web.pages.rendering import ROLES, Renderer, go_to
from agent.web.pages.site import NextQuery, Site, local_path
from domain.errors import RequestError
from ports.clock import Clock
from ports.ids import Ids
from storage.people import sessions, tokens
from storage.store import Store

EVERYBODY = "the console"
"""Tokens can't be guessed one by one, so that failures count per caller alone."""


class TokenForm(Asked):
    token: Annotated[Line, Field(max_length=256)]
    next: Annotated[str, Field(max_length=500)] | None = None


class SignIn:
    """Sign-in and sign-out of operators."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, site: Site, renderer: Renderer) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._site, self._renderer = site, renderer
        self._lockout = Lockout(clock)

    def endpoints(self) -> list[Endpoint]:
        path, public = self._site.sign_in, Access.PUBLIC
        page = Face.PAGE
        return [
            Endpoint("GET", path, public, self.form, "The operator's sign-in", query=NextQuery, face=page),
            Endpoint("POST", path, public, self.enter, "Sign in", takes=TokenForm, face=page),
            Endpoint("POST", "/console/signout", public, self.leave, "Sign out", face=page),
        ]

    async def form(self, call: Call) -> WebResponse:
        asked = call.asked(NextQuery)
        return self._renderer.page(call, "signin.html", next=asked.next or "", problem=None)

    async def enter(self, call: Call) -> WebResponse:
        """A wrong token is asked for again, with one and the same answer for every kind of wrong, and after a while
        only later. A valid one always passes, so that nobody is shut out by somebody else's guesses."""
        wish, remote, now = call.taken(TokenForm), call.request.remote, self._clock.now()
        bearer = await self._store.read(lambda conn: tokens.find(conn, wish.token, now))
        if bearer is None or bearer.role not in ROLES:
            self._lockout.begin(EVERYBODY, remote)
            problem = RequestError(401, "unauthorized", "this token is not valid here")
            return self._renderer.page(call, "signin.html", status=401, next=wish.next or "", problem=problem)
        self._lockout.succeeded(EVERYBODY, remote)
        session = self._ids.token()
        expires_at, token_id = now + self._site.session, bearer.token_id
        begin = audited(
            Call(call.request, bearer),
            "sign_in",
            "token",
            token_id,
            now,
            lambda conn: sessions.begin(conn, session, token_id, expires_at, now),
        )
        await self._store.write(begin)
        return go_to(local_path(wish.next, self._site.home), self._site.set_cookie(session))

    async def leave(self, call: Call) -> WebResponse:
        session, now = session_of(call.request, self._site), self._clock.now()
        if session:
            await self._store.write(lambda conn: sessions.end(conn, session, now))
        return go_to(f"{self._site.sign_in}?done=out", self._site.end_cookie())
