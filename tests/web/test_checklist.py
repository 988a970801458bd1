"""Items of the security checklist that belong to the web and to no other file of this folder, one test each."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from storage import tables
from tests.web.sales import fee_known, minted, paid
from tests.web.shop import INVITE, PASSWORD, ROLES, Shop, event

ROOT = Path(__file__).parents[2]
SECRET_NAMES = re.compile(r"secret|token|csrf|password|signature|session$|_hash$|mac$")


def compared_secrets(code: str) -> list[str]:
    """What compares something named like a secret with == or !=; a constant and a table's column are no secrets."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = [node.left, *node.comparators]
        names = [ast.unparse(side) for side in sides]
        known = any(isinstance(side, ast.Constant) for side in sides) or any(".c." in name for name in names)
        if not known and any(SECRET_NAMES.search(name) for name in names):
            found.append(ast.unparse(node))
    return found


def test_secrets_are_compared_in_constant_time_only() -> None:
    rooms = [*(ROOT / "agent/web").rglob("*.py"), *(ROOT / "gateways").rglob("*signature*.py")]
    rooms += [ROOT / "storage/people/tokens.py", ROOT / "storage/people/sessions.py"]
    assert {str(path): found for path in rooms if (found := compared_secrets(path.read_text(encoding="utf-8")))} == {}
    assert compared_secrets("if given.csrf != visit.csrf: ...") == ["given.csrf != visit.csrf"]
    assert compared_secrets("tokens.c.token_hash == wanted") == []


async def test_what_belongs_to_others_does_not_exist_for_a_signed_in_user(shop: Shop) -> None:
    """Every route for users that takes an id, asked by somebody whom none of those ids concerns."""
    author_id, author = await shop.member("author@example.com")
    _, buyer = await shop.member("buyer@example.com")
    _, stranger = await shop.member("stranger@example.com")
    purchase_id = await paid(shop, await shop.content(author), buyer)
    ids = {"purchase_id": purchase_id, "creator_id": author_id}
    walked = 0
    for endpoint in shop.app.public.endpoints:
        if endpoint.access != "user" or endpoint.face != "api" or not endpoint.parameters:
            continue
        walked += 1
        path = re.sub(r"{([a-z_]+)}", lambda found: str(ids.get(found.group(1), 1)), endpoint.path)
        answer = await shop.send(endpoint.method, path, token=stranger)
        missing = await shop.send(endpoint.method, path.replace(str(purchase_id), "999"), token=stranger)
        assert answer.status == missing.status == 404, endpoint.path
    assert walked >= 2


async def test_quotes_in_a_search_are_only_text(shop: Shop) -> None:
    await shop.member()
    for text in (
        "' OR 1=1 --",
        '"; DROP TABLE users; --',
        "%",
        "_",
        "\\",
        "x' UNION SELECT password_hash FROM users --",
    ):
        for path in ("users", "purchases"):
            answer = await shop.send(
                "GET", f"/admin/api/{path}?text={text.replace('%', '%25')}", token="admin-viewer", admin=True
            )
            assert (answer.status, answer.body["items"]) == (200, []), text
    assert await shop.rows(tables.users) == 1


async def test_no_answer_of_the_operator_s_port_holds_a_secret_or_its_hash(shop: Shop) -> None:
    """Everything that can be looked at, after somebody has signed up, bought, and been given a token."""
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member("buyer@example.com")
    purchase_id = await paid(shop, await shop.content(author), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    await shop.deliver(event())
    made = await shop.send("POST", "/admin/api/tokens", {"name": "Ada"}, "admin-approver", admin=True)
    canaries = {INVITE, PASSWORD, made.body["secret"], author, buyer, *(f"admin-{role}" for role in ROLES)}
    for table, column in (
        (tables.users, "password_hash"),
        (tables.tokens, "token_hash"),
        (tables.invites, "code_hash"),
    ):
        canaries |= {row[column] for row in await shop.all(table)}
    looked = 0
    for endpoint in shop.app.admin.endpoints:
        if endpoint.method != "GET" or endpoint.face != "api":
            continue
        path = re.sub(r"{([a-z_]+)}", lambda found: {"source": "stripe"}.get(found.group(1), "1"), endpoint.path)
        answer = await shop.send("GET", path, token="admin-approver", admin=True)
        looked += answer.status == 200
        found = [canary for canary in canaries if canary in str(answer.body)]
        assert found == [], endpoint.path
    assert looked >= 20


async def test_a_check_that_breaks_lets_nothing_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the check itself fails")

    monkeypatch.setattr("tests.web.shop.verify", broken)
    answer = await shop.deliver(event())
    assert (answer.status, answer.code) == (500, "internal_error")
    assert await shop.rows(tables.stripe_events) == 0


async def test_health_tells_no_version_and_no_balance(shop: Shop) -> None:
    for path in ("/healthz", "/readyz"):
        for admin in (False, True):
            answer = await shop.send("GET", path, admin=admin)
            assert (answer.status, answer.body["status"]) == (200, "ok")
            assert not re.search(r"\d", f"{answer.body} {answer.headers['Server']}")
