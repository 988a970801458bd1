"""After a start nothing is sent before every outflow is explained: restored backups, strangers' keys, other secrets."""

from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from agent.identity import StartRefused
from storage.recovery import restoring
from tests.week.test_refunds import DUE, Gallery
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import VirtualWorld


def test_a_restored_backup_adopts_what_was_paid_since_and_pays_nobody_twice(tmp_path: Path) -> None:
    """The backup is taken through the running daemon, and put back as `restore` does. The operator who was put out
    since stays out."""

    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/agent.db"))
        world = shop.world
        await shop.open()
        for _ in range(3):
            await shop.sell()
        bob = (await world.operator("POST", "/admin/api/tokens", {"name": "bob", "role": "approver", "days": 9})).body
        made = await world.operator("POST", "/admin/api/backups", {})
        assert made.status == 200, made
        listed = await world.operator("GET", "/admin/api/backups")
        assert [item["sha256"] for item in listed.body["items"]] == [made.body["sha256"]]
        await shop.pay_out(3 * DUE)
        assert await shop.paid_on_chain() == 3 * DUE
        await world.operator("POST", f"/admin/api/tokens/{bob['token']['id']}/revoke")
        await world.stop()
        restoring.put_in_place(Path(made.body["name"]), tmp_path / "agent.db", world.clock.now())
        await world.start()
        await shop.shows("what was paid is known again", paid_out="7.05", pending_distribution="0.00")
        assert (await world.call("GET", "/admin/api/batches", token=bob["secret"], admin=True)).status == 401
        again = await world.operator("POST", "/admin/api/batches", {})
        assert again.body["batch"] is None
        await shop.sell()
        await shop.pay_out(DUE)
        assert await shop.paid_on_chain() == 4 * DUE
        await shop.close()

    run_virtually(story())


def test_an_outflow_that_fits_no_payout_stops_sends_until_a_person_accepts_it(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        world = shop.world
        await shop.open()
        await shop.sell()
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 3 * DUE)
        await world.clock.sleep(30)
        await world.stop()
        await world.circle_transfer("1")
        await world.start()

        async def seen() -> bool:
            shown = await world.operator("GET", "/admin/api/outflows")
            return len(shown.body["items"]) == 1

        await world.until("the stranger's outflow is seen", seen)
        await world.operator("POST", "/admin/api/batches", {})
        await world.clock.sleep(120)
        assert await shop.paid_on_chain() == 0
        shown = await world.operator("GET", "/admin/api/outflows")
        accepted = await world.operator(
            "POST", f"/admin/api/outflows/{shown.body['items'][0]['id']}/accept", {"reason": "moved by hand"}
        )
        assert accepted.body["items"] == []

        async def paid() -> bool:
            return await shop.paid_on_chain() == DUE

        await world.until("the creator is paid", paid)
        await shop.close()

    run_virtually(story())


def test_a_gate_that_waits_for_a_person_looks_ever_less_often_and_at_once_when_he_has_acted(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="30000"))
        world = shop.world
        await shop.open()
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 3 * DUE)
        await shop.sell()
        await world.stop()
        await world.circle_transfer("1")
        await world.start()
        assert world.daemon is not None
        gate = world.daemon.engine.gate
        await world.clock.sleep(2_400)
        before = len(world.transport.sent)
        await world.clock.sleep(1_200)
        looks = [one.url for one in world.transport.sent[before:] if "txType=OUTBOUND" in one.url]
        assert len(looks) in (2, 3), "twenty minutes"
        assert "fit no payout" in gate.waits_for
        (found,) = (await world.operator("GET", "/admin/api/outflows")).body["items"]
        await world.operator("POST", f"/admin/api/outflows/{found['id']}/accept", {"reason": "moved by hand"})

        async def is_open() -> bool:
            return gate.is_open

        await world.until("the gate is open", is_open, seconds=30)
        await shop.close()

    run_virtually(story())


def test_an_outflow_to_somebody_who_is_still_to_be_paid_is_accepted_only_by_who_says_it_is_no_payout(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        world = shop.world
        await shop.open()
        await shop.sell()
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 3 * DUE)
        await world.clock.sleep(30)
        profile = await world.call("GET", "/api/profile/", token=shop.creator_token)
        await world.circle_transfer("1", to=profile.body["circle_wallet_address"])
        await world.clock.sleep(60)
        (found,) = (await world.operator("GET", "/admin/api/outflows")).body["items"]
        accept = f"/admin/api/outflows/{found['id']}/accept"
        refused = await world.operator("POST", accept, {"reason": "it looks like mine"})
        assert (refused.status, refused.body["error"]["code"]) == (409, "may_be_a_payout")
        assert len((await world.operator("GET", "/admin/api/outflows")).body["items"]) == 1
        accepted = await world.operator("POST", accept, {"reason": "a gift", "not_a_payout": True})
        assert accepted.body["items"] == []
        await shop.close()

    run_virtually(story())


def test_a_payout_that_a_person_paid_by_hand_is_adopted_by_his_word_read_back_and_not_paid_again(
    tmp_path: Path,
) -> None:
    """Two of three sales at once, in Circle's console. Half of what came back since is her debt."""

    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        world = shop.world
        await shop.open()
        sales = [await shop.sell() for _ in range(3)]
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 4 * DUE)
        await world.clock.sleep(30)
        profile = await world.call("GET", "/api/profile/", token=shop.creator_token)
        await world.circle_transfer("4.7", to=profile.body["circle_wallet_address"])
        await world.clock.sleep(60)
        world.stripe.controls.refund(sales[1][2], 150)
        await world.clock.sleep(60)
        (found,) = (await world.operator("GET", "/admin/api/outflows")).body["items"]
        assert [(owed["id"], owed["unpaid"]) for owed in found["payouts"]] == [(1, "2.35"), (2, "1.175"), (3, "2.35")]
        adopt = f"/admin/api/outflows/{found['id']}/adopt"
        refused = await world.operator("POST", adopt, {"reason": "by hand", "payout_ids": [1, 2, 3]})
        assert (refused.status, refused.body["error"]["code"]) == (409, "does_not_fit")
        adopted = await world.operator("POST", adopt, {"reason": "by hand", "payout_ids": [1, 2]})
        assert adopted.body["items"] == []
        await shop.shows("both are paid, and half of one is owed back", paid_out="4.70", pending_distribution="1.175")
        assert (await shop.dashboard())["debt"] == "0.00"
        await world.operator("POST", "/admin/api/batches", {})
        await shop.shows("the rest is paid", paid_out="5.875", pending_distribution="0.00")
        assert await shop.paid_on_chain() == 2 * DUE + DUE // 2
        await shop.close()

    run_virtually(story())


def test_an_unexplained_outflow_while_the_daemon_runs_stops_sends_too(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        world = shop.world
        await shop.open()
        await shop.sell()
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 3 * DUE)
        await world.clock.sleep(30)
        await world.circle_transfer("1")
        await world.clock.sleep(60)
        await world.operator("POST", "/admin/api/batches", {})
        await world.clock.sleep(120)
        assert await shop.paid_on_chain() == 0
        shown = await world.operator("GET", "/admin/api/outflows")
        (found,) = shown.body["items"]
        await world.operator("POST", f"/admin/api/outflows/{found['id']}/accept", {"reason": "moved by hand"})
        await shop.shows("the creator is paid", paid_out="2.35")
        await shop.close()

    run_virtually(story())


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("AGENT_DERIVATION_SECRET", "e" * 64, "AGENT_DERIVATION_SECRET"),
        ("CIRCLE_W3S_PLATFORM_WALLET_ID", "another", "CIRCLE_W3S_PLATFORM_WALLET_ID"),
    ],
)
def test_another_secret_or_wallet_than_at_the_first_start_stops_the_daemon(
    name: str, value: str, named: str, tmp_path: Path
) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path)
        await world.start()
        await world.clock.sleep(30)
        await world.stop()
        if value == "another":
            world.settings = world.settings.model_copy(update={name.lower(): (await world.another_wallet())})
        else:
            secret = type(world.settings.agent_derivation_secret)(value)
            world.settings = world.settings.model_copy(update={name.lower(): secret})
        with pytest.raises((StartRefused, BaseExceptionGroup)) as refused:
            await world.start()
            await world.clock.sleep(30)
            world.check_alive()
        assert named in str(leaves(refused.value))
        await world.abandon()

    run_virtually(story())


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in leaves(part)]
    return [error]
