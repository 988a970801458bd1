"""The whole HTTP surface under generated requests, valid and not: no 5xx, and no answer that its document denies.

Every operation of both ports' OpenAPI documents is called over real sockets with requests that schemathesis makes from
the schemas. The seed is fixed: a failure here is one for everybody. `make soak` asks longer.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from storage.engines.sqlite import SqliteStore
from tests.web.sales import fee_known, minted, paid
from tests.web.shop import Shop, event, opened

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SEED = 20261123
EVERYDAY, LONG = 2, 100
"""Requests of each kind, valid and not, for each operation."""
SLICES = [(admin, place) for admin, slices in ((False, 3), (True, 10)) for place in range(slices)]
"""The long run's parts: each has every nth operation of a port. Ninety operations and two kinds are a minute for every
ten requests, of which most goes into making them."""


async def furnished(shop: Shop) -> str:
    """Rows of most kinds, so that ids which the generator likes (1, 2, ...) are there. A user's token."""
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member("buyer@example.com")
    for _ in range(2):
        purchase_id = await paid(shop, await shop.content(author), buyer)
        await fee_known(shop, purchase_id)
        await minted(shop, purchase_id)
    await shop.deliver(event())
    return buyer


@pytest.mark.parametrize("admin", [False, True], ids=["public", "admin"])
async def test_a_slice_of_generated_requests_finds_no_5xx_and_no_answer_beyond_the_document(
    sqlite_store: SqliteStore, admin: bool
) -> None:
    await fuzz(sqlite_store, admin, EVERYDAY, slice(None))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("admin", "place"), SLICES, ids=[f"{'admin' if one else 'public'}-{n}" for one, n in SLICES])
async def test_generated_requests_by_the_thousand_find_no_5xx_and_no_answer_beyond_the_document(
    sqlite_store: SqliteStore, admin: bool, place: int
) -> None:
    slices = sum(one is admin for one, _ in SLICES)
    await fuzz(sqlite_store, admin, LONG, slice(place, None, slices))


async def fuzz(store: SqliteStore, admin: bool, examples: int, part: slice) -> None:
    shop = Shop(store)
    async with opened(shop):
        user = await furnished(shop)
        document = (await shop.send("GET", "/openapi.json", admin=admin)).body
        port = shop.admin.port if admin else shop.public.port
        token = "admin-approver" if admin else user
        asked = await asyncio.get_running_loop().run_in_executor(
            None, call_all, document, f"http://127.0.0.1:{port}", token, examples, part
        )
    assert asked >= len(list(document["paths"])[part])


def call_all(document: dict[str, Any], base_url: str, token: str, examples: int, part: slice) -> int:
    """Call each operation of a part, in a thread of its own: schemathesis waits for answers. How many there were."""
    schema = schemathesis.openapi.from_dict(document)
    count = 0
    for found in list(schema.get_all_operations())[part]:
        assert isinstance(found, Ok), found
        operation, count = found.ok(), count + 1
        if operation.path.endswith(("/logout/", "/revoke")):
            continue
        run(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), base_url, token, examples)
        with contextlib.suppress(Unsatisfiable):  # nothing can be wrong where nothing is taken
            run(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), base_url, token, examples)
    return count


def run(strategy: Any, base_url: str, token: str, examples: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}

    @seed(SEED)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: Any) -> None:
        case.validate_response(case.call(base_url=base_url, headers=headers), checks=CHECKS)

    call: Callable[[], None] = ask
    call()
