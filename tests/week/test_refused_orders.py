"""What refuses every send of the platform wallet: one order asks for all, none is given up, and all go on when it is
taken."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market, skip_to
from tests.week.test_orders_held import CREATORS as MANY
from tests.week.test_orders_held import all_go_on, attempts, held
from tests.week.test_refused_keys import HALF_A_DAY_AND_MORE, KEY, LONGEST_PAUSE, nothing_given_up
from tests.week.test_unanswered_orders import HOUR, ORDER, SOON, orders
from tests.week.virtual_world import VirtualWorld

FROZEN: Any = {"status": 409, "body": b'{"code": 155501, "message": "The wallet is frozen; only queries."}'}
REFUSALS: Any = {
    "a frozen wallet": FROZEN,
    "a token that is not visible": {"status": 404, "body": b'{"code": 156002, "message": "Cannot find target token"}'},
    "a wallet that is not visible": {"status": 404, "body": b'{"code": 156001, "message": "Cannot find the wallet"}'},
}
ASKED_AN_HOUR, ANOTHER_AN_HOUR, IN_FLIGHT = 12, 2, 6
FOR_EVER = 1_000_000


async def covered(folder: Path, *names: str) -> Market:
    """What is owed to each has been sold and is in the wallet."""
    shop = Market(VirtualWorld(folder, AGENT_TREASURY_POLL_MS="300000", AGENT_CIRCLE_LIMITS="real"))
    await shop.open(*names)
    await shop.sell()
    await shop.deposited(len(names) * DUE)
    return shop


def refuse(shop: Market, **how: Any) -> None:
    shop.world.circle.faults.add(Rule(f"POST {ORDER}", Fault.STATUS, times=FOR_EVER, **how))


def switched(shop: Market) -> list[str]:
    rows = rows_of(shop.world, "SELECT after FROM state_history WHERE machine = 'switch' ORDER BY id")
    return [row["after"] for row in rows]


async def later(shop: Market) -> None:
    """The daemon starts again more than half a day later."""
    await shop.world.stop()
    await skip_to(shop.world, shop.world.clock.now() + HALF_A_DAY_AND_MORE)
    await shop.world.start()


@pytest.mark.parametrize("why", REFUSALS)
@on_virtual_time
async def test_while_every_send_is_refused_one_order_asks_for_all_and_all_are_sent_however_late_it_ends(
    tmp_path: Path, why: str
) -> None:
    shop = await covered(tmp_path, *MANY[:12])
    refuse(shop, **REFUSALS[why])
    await shop.plan()
    await shop.until_work_says("an operator must act")
    await shop.world.clock.sleep(SOON)
    begun = orders(shop)
    assert begun <= IN_FLIGHT + ASKED_AN_HOUR
    await shop.world.clock.sleep(HOUR)
    assert ASKED_AN_HOUR - 1 <= orders(shop) - begun <= ASKED_AN_HOUR + ANOTHER_AN_HOUR + 6
    told = str(REFUSALS[why]["body"]).split('"')[5]
    assert told in (await held(shop) or "")
    await later(shop)
    await shop.world.clock.sleep(SOON)
    assert nothing_given_up(shop.world) and switched(shop) == ["on"]
    assert [one["first_sent_at"] for one in attempts(shop)] == [None] * len(attempts(shop))
    await all_go_on(shop)
    await shop.close()


@on_virtual_time
async def test_a_wallet_that_circle_freezes_pays_once_it_is_thawed(tmp_path: Path) -> None:
    """One payout alone is enough to hold and to tell it."""
    shop = await covered(tmp_path, "ada")
    wallet = f"/_sandbox/wallets/{shop.world.platform.wallet_id}"
    await shop.world.circle_post(f"{wallet}/freeze", {})
    await shop.plan()
    await shop.until_work_says("an operator must act: Circle: submit transfer: The wallet is frozen")
    assert "code 155501" in (await held(shop) or "")
    await later(shop)
    await shop.world.circle_post(f"{wallet}/unfreeze", {})
    await shop.batch_is("settled", seconds=LONGEST_PAUSE + SOON)
    assert shop.paid() == {"ada": DUE}
    assert [one["attempt"] for one in attempts(shop)] == [1]
    assert await held(shop) is None
    await shop.close()


@on_virtual_time
async def test_an_order_that_circle_has_taken_is_found_in_its_list_while_others_are_refused(tmp_path: Path) -> None:
    shop = await covered(tmp_path, "ada", "ben")
    shop.world.circle.faults.add(Rule(f"POST {ORDER}", Fault.LOSE_ANSWER, times=1))
    shop.world.circle.custody.switches.drop_notifications = 1_000
    refuse(shop, **FROZEN)
    await shop.plan()

    async def one_is_paid() -> bool:
        return sorted(shop.states()) == ["distributed", "pending_distribution"]

    await shop.world.until("the one that Circle has is paid", one_is_paid, seconds=SOON)
    shop.world.circle.faults.rules.clear()
    await shop.batch_is("settled", seconds=LONGEST_PAUSE + SOON)
    assert shop.paid() == {"ada": DUE, "ben": DUE}
    await shop.close()


@on_virtual_time
async def test_an_order_of_unknown_outcome_is_not_given_up_while_every_send_is_refused(tmp_path: Path) -> None:
    """Its look, half a day later, ended the hold as well: what is read from a list is no order that was taken."""
    shop = await covered(tmp_path, "ada", "ben", "cyd")
    shop.world.circle.faults.add(Rule(f"POST {ORDER}", Fault.LOSE_REQUEST, times=1))
    refuse(shop, **FROZEN)
    await shop.plan()
    await shop.until_work_says("an operator must act")
    await later(shop)
    await shop.world.clock.sleep(HOUR)
    assert await parked(shop.world) == [] and switched(shop) == ["on"]
    assert set(shop.states()) == {"pending_distribution"}
    shop.world.circle.faults.rules.clear()

    async def one_is_left() -> bool:
        return sorted(shop.states()) == ["distributed", "distributed", "failed"]

    await shop.world.until("Circle lists no such transfer", one_is_left, seconds=HOUR)
    assert len(await shop.parked("Circle lists no such transfer")) == 1
    assert sorted(shop.paid().values()) == [0, DUE, DUE]
    await shop.close()


@on_virtual_time
async def test_an_order_of_unknown_outcome_stays_one_while_the_key_is_refused(tmp_path: Path) -> None:
    """It was forgotten since when it is unknown, and the alert with it."""
    shop = await covered(tmp_path, "ada")
    entity = shop.world.circle.custody.entity

    def revoke() -> None:
        entity.api_keys = frozenset()

    shop.world.circle.faults.add(Rule(f"POST {ORDER}", Fault.LOSE_REQUEST, times=1, strikes=revoke))
    await shop.plan()
    await shop.until_work_says("unknown outcome: an operator must act")
    await shop.world.clock.sleep(HOUR)
    (job,) = rows_of(shop.world, "SELECT unknown_since, created_at FROM jobs WHERE kind = 'transfer'")
    assert job["unknown_since"] is not None
    entity.api_keys = frozenset({KEY})
    await shop.batch_is("settled", seconds=LONGEST_PAUSE + SOON)
    assert shop.paid() == {"ada": DUE}
    await shop.close()


@on_virtual_time
async def test_mints_and_packed_payouts_wait_for_a_wallet_that_is_not_visible(tmp_path: Path) -> None:
    """The mint was parked, as one that can never succeed."""
    shop = Market(VirtualWorld(tmp_path, AGENT_RAIL="solana"))
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    hidden = REFUSALS["a wallet that is not visible"]
    shop.world.circle.faults.add(Rule("/developer/sign/transaction", Fault.STATUS, times=FOR_EVER, **hidden))
    await shop.plan()
    await shop.buy(shop.buyer_token, shop.creators["ada"].content)

    async def both_wait() -> bool:
        said = rows_of(shop.world, "SELECT kind FROM jobs WHERE last_error LIKE 'an operator must act%'")
        return {"mint"} < {row["kind"] for row in said}

    await shop.world.until("a mint and what pays wait", both_wait)
    await shop.world.clock.sleep(SOON)
    assert await parked(shop.world) == []
    shop.world.circle.faults.rules.clear()
    await shop.batch_is("settled", seconds=HOUR)
    assert shop.paid() == {"ada": DUE}

    async def minted() -> bool:
        return len(rows_of(shop.world, "SELECT id FROM purchases WHERE status = 'completed'")) == 2

    await shop.world.until("the second sale is minted", minted, seconds=HOUR)
    await shop.close()
