"""The public API: key check, idempotency, routing, expansion, and Stripe's headers on every answer."""

import re

import orjson

from sandbox.faults import Faults
from sandbox.service import Request, Response
from sandbox.stripe_service import params
from sandbox.stripe_service.access import Keys
from sandbox.stripe_service.books import API_VERSION, Json
from sandbox.stripe_service.checkout_api import CheckoutApi
from sandbox.stripe_service.endpoints_api import EndpointsApi
from sandbox.stripe_service.errors import ApiError, default_body
from sandbox.stripe_service.forms import Form, canonical, parse_form
from sandbox.stripe_service.idempotency import IdempotencyKeys
from sandbox.stripe_service.listing import Expander
from sandbox.stripe_service.objects_api import ObjectsApi
from sandbox.stripe_service.routes import Router
from sandbox.stripe_service.world import World

JSON_HEADERS = {"content-type": "application/json"}
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")


class Api:
    """`inner_faults` strike behind the idempotency layer: an injected 500 is remembered by its key, as at Stripe."""

    def __init__(self, world: World, keys: Keys, inner_faults: Faults) -> None:
        self._world = world
        self._keys = keys
        self._inner_faults = inner_faults
        self._idempotency = IdempotencyKeys(world.books.clock)
        self._expander = Expander(world.books)
        self._router = Router(
            [
                *CheckoutApi(world).routes(),
                *ObjectsApi(world).routes(),
                *EndpointsApi(world).routes(),
            ]
        )

    def handle(self, request: Request, request_id: str) -> Response:
        """Answer one request under /v1; its events carry the request's id and idempotency key."""
        events = self._world.events
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        events.request_id, events.idempotency_key = request_id, key
        try:
            response = self._answer(request, request_id, key)
        except ApiError as error:
            response = Response(error.status, error.body(), JSON_HEADERS)
        finally:
            events.request_id = events.idempotency_key = None
        extra = {"stripe-version": request.headers.get("stripe-version", API_VERSION)}
        if key is not None:
            extra["idempotency-key"] = key
        return Response(response.status, response.body, {**response.headers, **extra})

    def _answer(self, request: Request, request_id: str, key: str | None) -> Response:
        route, handler = self._router.find(request.method, request.path.rstrip("/"))
        authorization = request.headers.get("authorization", "")
        account_id = self._world.books.account.id
        self._keys.check(authorization, route.resource, is_write=route.is_write, account_id=account_id)
        _check_version(request.headers.get("stripe-version", API_VERSION))
        form = _form_of(request)
        name = f"{request.method} {request.path}"
        fingerprint = f"{name} {canonical(form)}"

        def execute() -> Response:
            paths = params.expand_paths(form.pop("expand", {}), "expand")
            struck = self._inner_faults.apply(name, lambda: json_answer(self._expander.expand(handler(form), paths)))
            return with_envelope(struck)

        if key is None:
            return execute()
        return self._idempotency.run(key, fingerprint, request_id, execute)


def json_answer(content: Json) -> Response:
    return Response(200, orjson.dumps(content, option=orjson.OPT_INDENT_2), JSON_HEADERS)


def with_envelope(response: Response) -> Response:
    """An injected status without a body of its own gets Stripe's."""
    if response.body != b"{}" or response.cut or response.status < 400:
        return response
    headers = dict(response.headers)
    if response.status == 429:
        headers["stripe-rate-limited-reason"] = "global-rate"
    return Response(response.status, default_body(response.status), headers, response.delay_ms)


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise ApiError(400, f"Invalid Stripe API version: {version[:40]}", saved=False)


def _form_of(request: Request) -> Form:
    if request.method in ("GET", "DELETE"):
        return parse_form(request.query)
    content_type = request.headers.get("content-type", "application/x-www-form-urlencoded")
    if request.body and not content_type.startswith("application/x-www-form-urlencoded"):
        message = "Invalid request (check that your POST content type is application/x-www-form-urlencoded)."
        raise ApiError(400, message, saved=False)
    try:
        return parse_form(request.body.decode())
    except UnicodeDecodeError as error:
        raise ApiError(400, "Invalid request: the body is not UTF-8.", saved=False) from error
