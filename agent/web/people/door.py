"""Signing up, in and out, with e-mail and password; the session stands for a token made for it."""

from typing import Annotated

from pydantic import Field

from agent.web.account_bodies import LoggedIn, LogIn, SignedUp, SignUp
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.entrance import session_of
from agent.web.pages.rendering import Renderer, go_to
from agent.web.pages.site import NextQuery, Site, local_path
from domain.errors import RequestError
from ports.clock import Clock
from ports.ids import Ids
from storage.people import sessions, tokens
from storage.store import Store

NextPath = Annotated[str, Field(max_length=500)]


class LogInForm(LogIn):
    next: NextPath | None = None


class SignUpForm(SignUp):
    next: NextPath | None = None


class Door:
    def __init__(self, api: Api, store: Store, clock: Clock, ids: Ids, site: Site, renderer: Renderer) -> None:
        self._api, self._store, self._clock, self._ids = api, store, clock, ids
        self._site, self._renderer = site, renderer

    def endpoints(self) -> list[Endpoint]:
        public, page = Access.PUBLIC, Face.PAGE
        return [
            Endpoint("GET", "/signin", public, self.ask, "Sign in", query=NextQuery, face=page),
            Endpoint("POST", "/signin", public, self.sign_in, "Sign in", takes=LogInForm, face=page),
            Endpoint("GET", "/signup", public, self.invite, "Sign up", query=NextQuery, face=page),
            Endpoint("POST", "/signup", public, self.sign_up, "Sign up", takes=SignUpForm, face=page),
            Endpoint("POST", "/signout", public, self.sign_out, "Sign out", face=page),
        ]

    async def ask(self, call: Call) -> WebResponse:
        return self._renderer.page(call, "signin.html", next=call.asked(NextQuery).next or "", problem=None, email="")

    async def sign_in(self, call: Call) -> WebResponse:
        wish = call.taken(LogInForm)
        try:
            found = await self._api.post(
                call, "/auth/login/", LoggedIn, LogIn(email=wish.email, password=wish.password)
            )
        except RequestError as error:
            if error.status not in (401, 429):
                raise
            return self._renderer.page(
                call, "signin.html", status=error.status, next=wish.next or "", problem=error, email=wish.email
            )
        return await self._enter(found, wish.next)

    async def _enter(self, found: LoggedIn, wanted: str | None) -> WebResponse:
        session, now = self._ids.token(), self._clock.now()
        bearer = await self._store.read(lambda conn: tokens.find(conn, found.token, now))
        if bearer is None:
            raise RequestError(401, "login_failed", "the session has ended already; sign in again")
        token_id = bearer.token_id
        await self._store.write(lambda conn: sessions.begin(conn, session, token_id, found.expires_at, now))
        return go_to(local_path(wanted, self._site.home), self._site.set_cookie(session))

    async def invite(self, call: Call) -> WebResponse:
        return self._renderer.page(call, "signup.html", next=call.asked(NextQuery).next or "", problem=None, wish=None)

    async def sign_up(self, call: Call) -> WebResponse:
        """The account, and then straight in: who could sign up knows the password."""
        wish = call.taken(SignUpForm)
        try:
            await self._api.post(
                call,
                "/auth/signup/",
                SignedUp,
                SignUp(email=wish.email, password=wish.password, invite_code=wish.invite_code, username=wish.username),
            )
        except RequestError as error:
            if error.status not in (403, 409, 422, 429):
                raise
            return self._renderer.page(
                call, "signup.html", status=error.status, next=wish.next or "", problem=error, wish=wish
            )
        found = await self._log_in(call, wish.email, wish.password)
        return await self._enter(found, wish.next or "/wallet")

    async def _log_in(self, call: Call, email: str, password: str) -> LoggedIn:
        return await self._api.post(call, "/auth/login/", LoggedIn, LogIn(email=email, password=password))

    async def sign_out(self, call: Call) -> WebResponse:
        session, now = session_of(call.request, self._site), self._clock.now()
        if session:
            await self._store.write(lambda conn: sessions.end(conn, session, now))
        return go_to("/?done=out", self._site.end_cookie())
