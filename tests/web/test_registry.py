"""The registry decides what is served and to whom; the OpenAPI document says the same."""

import re
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from agent.web.endpoint import Access, Endpoint, Face
from agent.web.messages import WebRequest
from agent.web.router import Router
from tests.web.shop import ROLES, Shop

ORDER = [Access.VIEWER, Access.OPERATOR, Access.APPROVER]


def spoken(router: Router) -> list[Endpoint]:
    """What the port says to programs; pages have tests of their own."""
    return [endpoint for endpoint in router.endpoints if endpoint.face is Face.API]


def concrete(endpoint: Endpoint) -> str:
    """A path of it; the token that a call would revoke does not exist."""
    values = {"token_id": "999", "source": "stripe", "kind": "mint"}
    return re.sub(r"{([a-z_]+)}", lambda found: values.get(found.group(1), "1"), endpoint.path)


async def test_every_endpoint_that_is_not_public_answers_401_without_a_token_of_its_kind(shop: Shop) -> None:
    _, user_token = await shop.member()
    wrong = {False: ["", "nonsense", "admin-approver"], True: ["", "nonsense", user_token]}
    walked = 0
    for admin, router in ((False, shop.app.public), (True, shop.app.admin)):
        for endpoint in spoken(router):
            if endpoint.access is Access.PUBLIC:
                continue
            walked += 1
            for token in wrong[admin]:
                shop.clock.pass_(hours=1)  # what a lock-out would last
                answer = await shop.send(endpoint.method, concrete(endpoint), token=token or None, admin=admin)
                assert (answer.status, answer.code) == (401, "unauthorized"), (endpoint.path, token)
    assert walked > 20


async def test_an_operator_s_role_opens_its_endpoints_and_those_below_and_no_other(shop: Shop) -> None:
    for endpoint in spoken(shop.app.admin):
        if endpoint.access is Access.PUBLIC:
            continue
        for role in ROLES:
            answer = await shop.send(endpoint.method, concrete(endpoint), token=f"admin-{role}", admin=True)
            allowed = ORDER.index(Access(role)) >= ORDER.index(endpoint.access)
            assert (answer.status != 403) == allowed, (endpoint.method, endpoint.path, role, answer.status)
            assert answer.status not in (401, 500)


async def test_nothing_public_is_there_by_accident(shop: Shop) -> None:
    public = {f"{e.method} {e.path}" for e in spoken(shop.app.public) if e.access is Access.PUBLIC}
    assert public == {
        "POST /api/auth/signup/",
        "POST /api/auth/login/",
        "GET /api/content/",
        "GET /api/content/{content_id}/",
        "GET /api/content/{content_id}/metadata/",
        "POST /api/checkout/webhook/",
        "POST /api/circle/webhook/",
        "HEAD /api/circle/webhook/",
        "GET /healthz",
        "GET /readyz",
        "GET /openapi.json",
    }
    admin = {f"{e.method} {e.path}" for e in spoken(shop.app.admin) if e.access is Access.PUBLIC}
    assert admin == {"GET /healthz", "GET /readyz", "GET /openapi.json", "GET /runbooks/{runbook}.md"}


@pytest.mark.parametrize("admin", [False, True])
async def test_the_openapi_document_is_valid_and_describes_every_endpoint_with_its_errors(
    shop: Shop, admin: bool
) -> None:
    document = (await shop.send("GET", "/openapi.json", admin=admin)).body
    assert document["openapi"] == "3.1.0"
    schema = schemathesis.openapi.from_dict(document)
    schema.validate()
    router = shop.app.admin if admin else shop.app.public
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(endpoint.method, endpoint.path) for endpoint in spoken(router)}
    for name, component in document["components"]["schemas"].items():
        jsonschema_rs.validator_for({**component, "components": document["components"]})
        assert name == component.get("title", name)
    for endpoint in spoken(router):
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert {str(status) for status in endpoint.statuses()} < set(operation["responses"])
        assert (operation["security"] == []) == (endpoint.access is Access.PUBLIC)


async def test_answers_fit_the_schemas_that_the_document_gives_for_them(shop: Shop) -> None:
    user_id, token = await shop.member()
    content_id = await shop.content(token)
    document = (await shop.send("GET", "/openapi.json")).body
    paths = {
        "/api/profile/": "/api/profile/",
        "/api/content/": "/api/content/",
        f"/api/content/{content_id}/": "/api/content/{content_id}/",
        f"/api/content/{content_id}/metadata/": "/api/content/{content_id}/metadata/",
        "/api/library/": "/api/library/",
        f"/api/creators/{user_id}/dashboard/": "/api/creators/{creator_id}/dashboard/",
        f"/api/creators/{user_id}/sales/": "/api/creators/{creator_id}/sales/",
        "/healthz": "/healthz",
    }
    for path, template in paths.items():
        answer = await shop.send("GET", path, token=token)
        validator(document, template, "200").validate(answer.body)
    refused = await shop.send("GET", "/api/purchases/1/", token=token)
    validator(document, "/api/purchases/{purchase_id}/", "404").validate(refused.body)


def validator(document: dict[str, Any], path: str, status: str) -> jsonschema_rs.Validator:
    schema = document["paths"][path]["get"]["responses"][status]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": document["components"]})


async def test_a_router_answers_in_process_without_sockets(shop: Shop) -> None:
    answer = await shop.app.public.dispatch(WebRequest("GET", "/healthz"))
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("localhost:8081", 200),
        ("[::1]:8081", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("localhost:evil", 421),
        ("evil.example:8081", 421),
    ],
)
async def test_the_operator_s_port_answers_only_to_its_own_names(shop: Shop, host: str, status: int) -> None:
    answer = await shop.send("GET", "/healthz", headers={"Host": host}, admin=True)
    assert answer.status == status
