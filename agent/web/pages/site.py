"""One port's pages as values: where they lie, what their cookie is called, and which paths may be gone back to."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from agent.web.bodies import Asked

_LOCAL = re.compile(r"/(?![/\\])[\x21-\x7e]{0,500}", re.ASCII)


class Looked(Asked):
    """The query of a page that shows what was just done."""

    done: Annotated[str, Field(max_length=32)] | None = None


class NextQuery(Looked):
    """Where to go after signing in."""

    next: Annotated[str, Field(max_length=500)] | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """`folder` holds the templates, `home` is the first page, `sign_in` where guests are sent, `session` how long a
    cookie lasts. Cookies know no ports, so that each site's has its own name and path.

    Coming back from Stripe's pay page is a visit from another site, for which the shop's cookie is Lax; every change
    asks for the form's token all the same.
    """

    folder: str
    cookie: str
    path: str
    home: str
    sign_in: str
    session: timedelta
    same_site: Literal["Strict", "Lax"]
    secure: bool

    def set_cookie(self, session: str) -> str:
        """The header that stores a session."""
        return self._cookie(self.cookie, session, self.same_site, f"; Max-Age={int(self.session.total_seconds())}")

    def end_cookie(self) -> str:
        """The header that makes the browser forget it."""
        return self._cookie(self.cookie, "", self.same_site, "; Max-Age=0")

    def set_guest_cookie(self, value: str) -> str:
        """The header that gives a guest something for his forms to be tied to; it ends with the browser."""
        return self._cookie(self.guest_cookie, value, "Strict", "")

    @property
    def guest_cookie(self) -> str:
        return f"{self.cookie}_guest"

    def _cookie(self, name: str, value: str, same_site: str, age: str) -> str:
        secure = "; Secure" if self.secure else ""
        return f"{name}={value}; Path={self.path}; HttpOnly; SameSite={same_site}{secure}{age}"


def local_path(text: str | None, otherwise: str) -> str:
    """A path of this very site to go (back) to; anything else becomes `otherwise`."""
    return text if text is not None and _LOCAL.fullmatch(text) else otherwise
