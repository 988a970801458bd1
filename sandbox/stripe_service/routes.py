"""How a path of /v1 finds its handler."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.stripe_service.books import Json
from sandbox.stripe_service.errors import ApiError
from sandbox.stripe_service.forms import Form

Handler = Callable[..., Json]
"""Takes the form and then the ids of the path."""


@dataclass(frozen=True, slots=True)
class Route:
    """`path` has `{id}` where an id stands; `resource` is what a restricted key must have a right to."""

    method: str
    path: str
    resource: str
    handler: Handler

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


class Router:
    def __init__(self, routes: list[Route]) -> None:
        self._routes = [(re.compile(route.path.replace("{id}", "([^/]+)")), route) for route in routes]

    def find(self, method: str, path: str) -> tuple[Route, Callable[[Form], Json]]:
        """The route and its handler bound to the ids in the path. Raises `ApiError` 404."""
        for pattern, route in self._routes:
            found = pattern.fullmatch(path) if route.method == method else None
            if found is not None:
                return route, _bound(route.handler, found.groups())
        message = f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs"
        raise ApiError(404, f"{message} or we can help at https://support.stripe.com/.", saved=False)


def _bound(handler: Handler, ids: tuple[str, ...]) -> Callable[[Form], Json]:
    return lambda form: handler(form, *ids)
