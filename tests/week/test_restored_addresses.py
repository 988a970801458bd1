"""Where users from before moved to after a backup was taken, and what the restored database makes of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from solders.keypair import Keypair

from sandbox.faults import Fault, Rule
from storage.recovery import restoring
from tests.week.checker import outflows, rows_of, usdc_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Creator
from tests.week.test_batches import left_out
from tests.week.test_peer_defects import nfts
from tests.week.test_restore_drill import Drill, drill
from tests.week.test_wallets_and_payments import has_wallet, wallet

MANY = 12
MOVED = str(Keypair.from_seed(b"where olga has moved to.........").pubkey())


async def from_before(folder: Path, kind: str = "user") -> tuple[Drill, Creator]:
    """Olga has an external address, and is due a sale; a backup is taken."""
    story = drill(folder, agent_user_wallets=kind)
    await story.shop.open("ada")
    olga = await story.shop.join_from_before("olga")
    await story.shop.sell("olga")
    await story.shop.deposited(10 * DUE)
    await story.back_up()
    return story, olga


async def restored(story: Drill) -> None:
    await story.world.stop()
    restoring.put_in_place(story.world.folder / "backup.db", story.world.folder / "agent.db", story.world.clock.now())
    await story.world.start()


async def asks_for_wallet(story: Drill, olga: Creator) -> None:
    assert (await story.world.call("POST", "/api/wallet/circle/", token=olga.token)).status == 202


@pytest.mark.parametrize("kind", ["user", "developer"])
@on_virtual_time
async def test_a_circle_wallet_of_after_the_backup_is_found_and_paid(kind: str, tmp_path: Path) -> None:
    """She was paid at the address that she had left; asked for again, a wallet that the platform keeps was a second."""
    story, olga = await from_before(tmp_path, kind)
    shop, world = story.shop, story.world
    await asks_for_wallet(story, olga)
    got = await has_wallet(world, olga.token)
    await restored(story)
    await story.gate_opens()
    found = await wallet(world, olga.token)
    assert found == got and found["wallet_provider"] == "circle_w3s"
    assert await left_out(shop) == {"olga": "changed the address lately"}
    world.clock.shift(timedelta(hours=24, seconds=1))
    await story.pay_out(1)
    assert (usdc_of(world, got["circle_wallet_address"]), usdc_of(world, olga.address or "")) == (DUE, 0)
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_nothing_is_planned_or_sent_before_circle_has_told_of_them(tmp_path: Path) -> None:
    story, olga = await from_before(tmp_path)
    shop, world = story.shop, story.world
    await asks_for_wallet(story, olga)
    await has_wallet(world, olga.token)
    world.circle.faults.add(Rule("GET /v1/w3s/users", Fault.STATUS, times=1_000, status=503))
    await restored(story)
    await world.clock.sleep(120)
    assert world.daemon is not None and not world.daemon.engine.gate.is_open
    refused = await world.operator("POST", "/admin/api/batches", {})
    assert (refused.status, "looked for at Circle" in refused.body["error"]["message"]) == (503, True)
    world.circle.faults.clear()
    await story.gate_opens()
    assert await shop.plan() is None
    assert await left_out(shop) == {"olga": "changed the address lately"}
    await shop.close()


@pytest.mark.parametrize("listed", [True, False])
@on_virtual_time
async def test_of_many_users_from_before_those_are_asked_about_whom_circle_has_come_to_know(
    listed: bool, tmp_path: Path
) -> None:
    """Each of them was, twenty a second, before anything was sent. So it is only where Circle refuses to list."""
    story, olga = await from_before(tmp_path)
    shop, world = story.shop, story.world
    for number in range(MANY):
        await shop.join_from_before(f"other{number}")
    await world.clock.sleep(100)
    await story.back_up()
    await asks_for_wallet(story, olga)
    await has_wallet(world, olga.token)
    if not listed:
        refusal = b'{"code": 2, "message": "API parameter invalid"}'
        world.circle.faults.add(Rule("GET /v1/w3s/users", Fault.STATUS, times=1, status=400, body=refusal))
    begun = len(world.transport.sent)
    await restored(story)
    await story.gate_opens()
    asked = [sent.url for sent in world.transport.sent[begun:] if sent.method == "GET" and "/v1/w3s/users" in sent.url]
    assert (len([url for url in asked if "/v1/w3s/users?" in url]), len(asked)) == (1, 2 if listed else MANY + 2)
    assert (await wallet(world, olga.token))["wallet_state"] == "ready"
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_a_set_up_that_was_begun_after_the_backup_goes_on_and_who_asked_for_none_is_paid_as_before(
    tmp_path: Path,
) -> None:
    story, olga = await from_before(tmp_path)
    shop, world = story.shop, story.world
    pins = world.circle.custody.switches
    pins.auto_pin = False
    oleg = await shop.join_from_before("oleg")
    await shop.sell("oleg")
    await story.back_up()
    await asks_for_wallet(story, olga)
    await world.clock.sleep(20)
    await restored(story)
    await story.gate_opens()
    states = {one.name: (await wallet(world, one.token))["wallet_state"] for one in (olga, oleg)}
    assert states == {"olga": "challenge", "oleg": "none"}
    await story.pay_out(1)
    assert (shop.paid()["olga"], shop.paid()["oleg"]) == (DUE, DUE)
    pins.auto_pin = True
    await has_wallet(world, olga.token)
    await shop.close()


@pytest.mark.parametrize("paid_out", [False, True], ids=["minted", "paid"])
@on_virtual_time
async def test_an_nft_that_went_to_an_address_of_after_the_backup_is_the_sale_s(paid_out: bool, tmp_path: Path) -> None:
    """Its mint stayed unknown for ever, and whom its outflow had paid was due nothing."""
    story, olga = await from_before(tmp_path)
    shop, world = story.shop, story.world
    changed = await world.call("POST", "/api/wallet/external/", {"wallet_address": MOVED}, olga.token)
    assert changed.status == 200
    await shop.buy(olga.token, shop.creators["ada"].content)
    await story.all_are_minted(2)
    if paid_out:
        await story.pay_out(1)
        assert shop.paid()["ada"] == DUE
    nfts_before = nfts(world)
    await restored(story)
    await story.gate_opens()
    await story.all_are_minted(2)
    (made,) = rows_of(world, "SELECT buyer_address, state FROM mint_attempts ORDER BY id DESC LIMIT 1")
    assert (made["buyer_address"], made["state"], nfts(world)) == (MOVED, "finalized", nfts_before)
    if not paid_out:
        await story.pay_out(1)
    await world.clock.sleep(60)
    assert shop.paid()["ada"] == DUE and len(outflows(world)) == (1 if paid_out else 2)
    assert await parked(world) == []
    await shop.close()
