"""What stories of the inbound half share: virtual time, what a sale looks like at its end, what waits for a person."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from solders.pubkey import Pubkey

from agent.web.shelves import purchase_body
from ports.virtual import VirtualLoop
from sandbox.solana_node import Commitment
from storage.reading import views
from tests.week.test_refunds import Gallery
from tests.week.virtual_world import MONDAY, START_LAMPORTS, VirtualWorld

P = ParamSpec("P")


def on_virtual_time(story: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine on a loop of its own, whose waiting takes no time."""

    @wraps(story)
    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(story(*args, **kwargs))

    return test


def gallery(folder: Path, seed: int = 1, **settings: str) -> Gallery:
    return Gallery(VirtualWorld(folder, seed, MONDAY, **settings))


async def open_session(shop: Gallery, name: str) -> tuple[str, str]:
    """A signed-in buyer before his open Session: token, session id."""
    _, token = await shop.sign_up(name)
    return token, await session_of(shop, token)


async def session_of(shop: Gallery, token: str) -> str:
    wish = {"content_id": shop.content, "payment_method": "card"}
    opened = await shop.world.call("POST", "/api/checkout/stripe/", wish, token)
    assert opened.status == 200, opened
    return str(opened.body["session_id"])


async def eventually(
    world: VirtualWorld, what: str, holds: Callable[[], Awaitable[object]], seconds: int = 900
) -> None:
    """As `until`, with a condition of any truth."""

    async def true() -> bool:
        return bool(await holds())

    await world.until(what, true, seconds)


async def shelf_says(shop: Gallery, token: str, status: str, seconds: int = 900) -> dict[str, Any]:
    """Wait for the buyer's newest line in the library; returns it."""
    found: list[dict[str, Any]] = []

    async def says() -> bool:
        found[:] = await shop.library(token)
        return bool(found) and found[0]["status"] == status

    await shop.world.until(f"the library says {status}", says, seconds)
    return found[0]


async def purchase_becomes(shop: Gallery, purchase_id: int, **wanted: Any) -> dict[str, Any]:
    """Wait until the operator's view of a purchase shows these fields; returns all of it."""
    shown: dict[str, Any] = {}

    async def holds() -> bool:
        """Reads what the operator's view takes these fields from: all of the view is ten times the work."""
        assert shop.world.daemon is not None
        view = await shop.world.daemon.ports.store.read(lambda conn: views.purchase(conn, purchase_id))
        shown.update({} if view is None else purchase_body(view).model_dump(mode="json"))
        return bool(shown) and all(shown[name] == value for name, value in wanted.items())

    with suppress(AssertionError):
        await shop.world.until("", holds, 900)
        answer = await shop.world.operator("GET", f"/admin/api/purchases/{purchase_id}")
        assert {name: answer.body["purchase"][name] for name in wanted} == wanted, answer
        return dict(answer.body)
    raise AssertionError(f"purchase {purchase_id} is not {wanted}: {shown}")


async def parked(world: VirtualWorld) -> list[tuple[str, str | None]]:
    """What waits for a person: kind and code."""
    work = await world.operator("GET", "/admin/api/work?state=parked")
    return [(row["kind"], row["error_code"]) for row in work.body["items"]]


def entries(shown: dict[str, Any]) -> list[str]:
    """The kinds of the ledger's entries of a purchase, each once per entry."""
    return sorted(kind for _, kind in {(row["entry"], row["kind"]) for row in shown["postings"]})


def platform_spent(world: VirtualWorld) -> int:
    """Lamports that the platform wallet has lost since the start, by the node's finalized account."""
    account = world.node.account(Pubkey.from_string(world.platform.address), Commitment.FINALIZED)
    return START_LAMPORTS - (0 if account is None else account.lamports)
