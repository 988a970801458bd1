"""Somebody with a browser, without the browser: cookies kept, forms filled from the page that shows them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlsplit

import aiohttp
from yarl import URL


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    path: str
    text: str
    headers: Mapping[str, str]

    def form(self, action: str) -> dict[str, str]:
        """The fields of the form with this target, as the page filled them."""
        found = _Forms(self.text).forms
        assert action in found, (action, sorted(found), self.status)
        return found[action]

    def has_form(self, action: str) -> bool:
        return action in _Forms(self.text).forms

    @property
    def form_targets(self) -> list[str]:
        return sorted(_Forms(self.text).forms)

    @property
    def words(self) -> str:
        """The page's text as it is read, without its tags."""
        return _Words(self.text).text

    @property
    def attributes(self) -> set[str]:
        """The names of all attributes of all tags."""
        return _Words(self.text).attributes


class _Forms(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self._open: dict[str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = self.forms.setdefault(known.get("action", ""), {})
        elif tag in ("input", "textarea", "select") and self._open is not None and "name" in known:
            if known.get("type") != "checkbox" or "checked" in known:
                self._open[known["name"]] = known.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


class _Words(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


class Visitor:
    """Visits one port. Redirects are followed only by `follow`."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self._session = session
        self.origin = origin

    async def get(self, path: str, **headers: str) -> Page:
        return await self._send("GET", path, None, headers)

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Page:
        return await self._send("POST", path, fields, headers)

    async def follow(self, page: Page) -> Page:
        assert page.status == 303, (page.status, page.text[:500])
        return await self.get(page.headers["Location"])

    async def send(self, path: str, action: str, **filled: str) -> Page:
        """Fill in the form with this target on that page, and send it."""
        page = await self.get(path)
        return await self.post(action, {**page.form(action), **filled})

    def cookie(self, name: str) -> str | None:
        return next((cookie.value for cookie in self._session.cookie_jar if cookie.key == name), None)

    def forget(self) -> None:
        self._session.cookie_jar.clear()

    async def _send(self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]) -> Page:
        known = {"Accept": "text/html,application/xhtml+xml", **{k.replace("_", "-"): v for k, v in headers.items()}}
        async with self._session.request(
            method, f"{self.origin}{path}", data=fields, headers=known, allow_redirects=False
        ) as answer:
            return Page(answer.status, urlsplit(path).path, await answer.text(), answer.headers)


@asynccontextmanager
async def visiting(port: int) -> AsyncIterator[Visitor]:
    """Like a browser, it takes loopback for as safe as TLS: the shop of the tests is https to the outside."""
    origin = f"http://127.0.0.1:{port}"
    jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=URL(origin))
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Visitor(session, origin)


async def signed_in(visitor: Visitor, role: str) -> Visitor:
    """Into the console, with the token of a role."""
    answer = await visitor.send("/console/signin", "/console/signin", token=f"admin-{role}")
    assert answer.status == 303, answer.text
    return visitor
