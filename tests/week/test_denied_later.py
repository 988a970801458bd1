"""An address that is put on the deny list after it was planned: nothing that has not left goes there any more."""

from pathlib import Path

import pytest

from agent.web.shelves import HELD
from sandbox.faults import Fault, Rule
from tests.week.atomic_market import ATOMIC, AtomicMarket
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.test_packed_rail import open_accounts
from tests.week.virtual_world import MONDAY, VirtualWorld

WHY = "left out by the screening: is on the deny list"
SIGN, ORDER = "sign/transaction", "POST /v1/w3s/developer/transactions/transfer"
KEY = "TEST_API_KEY:id:secret"
BAD_KEY = b'{"code": 401, "message": "Malformed authorization."}'
PLANS = [
    {"AGENT_RAIL": "circle"},
    {"AGENT_RAIL": "circle", "AGENT_GROUPING": "creator"},
    {"AGENT_RAIL": "solana"},
]


async def restarted(shop: Market, *denied: str) -> None:
    """The next start has this deny list."""
    await shop.world.stop()
    shop.world.settings = shop.world.settings.model_copy(update={"agent_screening_deny": ",".join(denied)})
    await shop.world.start()


async def denied(shop: Market, name: str) -> None:
    await restarted(shop, shop.creators[name].address or "")


def reasons(shop: Market) -> list[str | None]:
    return [row["reason"] for row in rows_of(shop.world, "SELECT reason FROM payouts ORDER BY paid_at, purchase_id")]


async def told(shop: Market) -> set[str | None]:
    """Why ada's payout waits, as she and her buyer are told it."""
    world, ada = shop.world, shop.creators["ada"]
    (bought,) = [
        one for one in rows_of(world, "SELECT id, content_id FROM purchases") if one["content_id"] == ada.content
    ]
    sale = await world.call("GET", f"/api/purchases/{bought['id']}/", token=shop.buyer_token)
    sales = await world.call("GET", f"/api/creators/{ada.id}/sales/", token=ada.token)
    return {sale.body["payouts"][0]["reason"], sales.body["items"][0]["reason"]}


async def has_attempt(shop: Market, table: str, state: str) -> None:
    async def holds() -> bool:
        return [row["state"] for row in rows_of(shop.world, f"SELECT state FROM {table}")] == [state]

    await shop.world.until(f"an attempt is {state}", holds)


@pytest.mark.parametrize("plan", PLANS, ids=["circle", "circle-by-creator", "solana"])
@on_virtual_time
async def test_a_plan_that_waits_for_funds_pays_the_others_alone(plan: dict[str, str], tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path, 1, MONDAY, **plan))
    await shop.open("ada", "bob")
    open_accounts(shop)
    await shop.sell()
    await shop.plan()
    await shop.batch_is("waiting_funds")
    await denied(shop, "ada")
    shop.fund(3 * DUE)
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": 0, "bob": DUE}
    assert (shop.states(), reasons(shop)) == (["pending_distribution", "distributed"], [WHY, None])
    assert await told(shop) == {HELD}, "why is for the operators"
    assert await shop.plan() is None
    await restarted(shop)
    assert await shop.plan() is not None
    await shop.batch_is("settled", 2)
    assert shop.paid() == {"ada": DUE, "bob": DUE}
    await shop.close()


@on_virtual_time
async def test_a_group_that_can_not_be_signed_is_packed_anew_without_it(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path, 1, MONDAY, AGENT_RAIL="solana"))
    await shop.open("ada", "bob")
    open_accounts(shop)
    await shop.sell()
    await shop.deposited(3 * DUE)
    shop.world.circle.faults.add(Rule(SIGN, Fault.STATUS, times=1_000, status=500))
    await shop.plan()
    await has_attempt(shop, "group_attempts", "intended")
    await denied(shop, "ada")
    shop.world.circle.faults.clear()
    await shop.batch_is("settled", seconds=3_600)
    assert (shop.paid(), reasons(shop)) == ({"ada": 0, "bob": DUE}, [WHY, None])
    await shop.close()


@on_virtual_time
async def test_an_order_that_never_left_for_a_bad_key_is_not_sent(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)

    def revoke() -> None:
        world.circle.custody.entity.api_keys = frozenset()

    world.circle.faults.add(Rule(ORDER, Fault.STATUS, 1, status=401, body=BAD_KEY, strikes=revoke))
    await shop.plan()
    await shop.until_work_says("an operator must act")
    world.circle.custody.entity.api_keys = frozenset({KEY})
    await denied(shop, "ada")
    await shop.batch_is("settled", seconds=3_600)
    assert (outflows(world), reasons(shop)) == ({}, [WHY])
    await shop.close()


@on_virtual_time
async def test_an_order_that_got_lost_is_looked_for_and_not_sent_again(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path))
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    shop.world.circle.faults.add(Rule(ORDER, Fault.LOSE_REQUEST, times=1_000))
    await shop.plan()
    await has_attempt(shop, "transfer_attempts", "submitted")
    await denied(shop, "ada")
    shop.world.circle.faults.clear()
    await shop.until_work_says(WHY)
    await shop.world.clock.sleep(3_600)
    assert (outflows(shop.world), shop.states()) == ({}, ["pending_distribution"])
    await restarted(shop)
    await shop.batch_is("settled", seconds=3_600)
    assert shop.paid() == {"ada": DUE}
    await shop.close()


@on_virtual_time
async def test_a_mint_that_was_to_pay_goes_alone(tmp_path: Path) -> None:
    shop = AtomicMarket(VirtualWorld(tmp_path, 1, MONDAY, **ATOMIC))
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    shop.world.circle.faults.add(Rule(SIGN, Fault.STATUS, times=1_000, status=500))
    shop.give_wallet()
    await has_attempt(shop, "mint_attempts", "intended")
    assert len(rows_of(shop.world, "SELECT id FROM mint_payouts WHERE ended_at IS NULL")) == 2
    await denied(shop, "ada")
    shop.world.circle.faults.clear()
    await shop.is_minted(purchase_id, seconds=3_600)
    await shop.world.clock.sleep(60)
    assert shop.paid()["ada"] == 0
    assert rows_of(shop.world, "SELECT id FROM mint_payouts WHERE released_at IS NULL") == []
    await shop.close()
