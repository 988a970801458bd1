"""Deposits release what is owed: oldest first, whole, only finalized money, and waiting batches by themselves."""

from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.week.checker import rows_of
from tests.week.selling import DUE, Market
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import VirtualWorld

CONVERSION, DISTRIBUTION = "pending_conversion", "pending_distribution"


def test_the_three_dollar_sale_splits_and_pays_to_the_cent(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        (sale,) = await shop.sell()
        (row,) = rows_of(shop.world, "SELECT * FROM purchases")
        assert (row["gross_amount"], row["stripe_fee"], row["net_after_stripe"]) == (300, 39, 261)
        assert (row["creator_amount"], row["platform_amount"], row["mint_cost"]) == (2_350_000, 260_000, 0)
        shop.fund(DUE)
        await shop.plan()
        await shop.batch_is("settled")
        shown = await shop.world.call("GET", f"/api/purchases/{sale.purchase_id}/", token=shop.buyer_token)
        body = shown.body
        assert (body["gross_amount"], body["stripe_fee"], body["net_after_stripe"]) == ("3.00", "0.39", "2.61")
        assert (body["usdc_amount"], body["usdc_payment_status"], body["mint_cost"]) == ("2.35", "distributed", "0.00")
        assert body["usdc_transfer_signature"]
        assert body["usdc_distributed_at"]
        assert shop.paid() == {"ada": 2_350_000}
        await shop.close()

    run_virtually(story())


def test_deposits_in_parts_release_the_oldest_purchases_whole(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        for _ in range(3):
            await shop.sell()
        await shop.deposited(DUE - 1)
        assert shop.states() == [CONVERSION] * 3
        await shop.deposited(1)
        assert shop.states() == [DISTRIBUTION, CONVERSION, CONVERSION]
        await shop.deposited(2 * DUE - 1)
        assert shop.states() == [DISTRIBUTION, DISTRIBUTION, CONVERSION]
        preview = await shop.world.operator("GET", "/admin/api/distribution/preview")
        assert (preview.body["free_usdc"], preview.body["to_convert"]) == ("2.349999", "0.000001")
        await shop.deposited(1)
        assert shop.states() == [DISTRIBUTION] * 3
        await shop.close()

    run_virtually(story())


def test_the_first_purchase_that_does_not_fit_ends_the_pass_although_a_younger_one_would_fit(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        await shop.join("grand", price_cents=10_000)
        await shop.sell("grand")
        await shop.sell("ada")
        await shop.deposited(2 * DUE)
        assert shop.states() == [CONVERSION, CONVERSION]
        await shop.deposited(100_000_000)
        assert shop.states() == [DISTRIBUTION, DISTRIBUTION]
        await shop.close()

    run_virtually(story())


def test_a_deposit_releases_nothing_before_it_is_final_and_a_fork_takes_it_away(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        await shop.sell()
        await shop.world.clock.sleep(10)
        shop.fund(DUE)
        await shop.world.clock.sleep(4)  # 20 slots of the 32 that make it final
        assert shop.states() == [CONVERSION]
        shop.world.node.fork(25)
        await shop.world.clock.sleep(20)
        assert shop.states() == [CONVERSION]
        assert rows_of(shop.world, "SELECT * FROM chain_movements WHERE kind = 'deposit'") == []
        await shop.deposited(DUE)
        assert shop.states() == [DISTRIBUTION]
        await shop.close()

    run_virtually(story())


def test_money_from_an_unknown_sender_counts_and_money_that_failed_to_come_does_not(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        await shop.sell()
        stranger = Keypair.from_seed(bytes([7] * 32)).pubkey()
        shop.world.node.mint_usdc(stranger, 5 * DUE)
        shop.world.node.airdrop(Pubkey.from_string(shop.world.platform.address), 1_000_000)
        await shop.world.clock.sleep(15)
        assert shop.states() == [CONVERSION]
        await shop.deposited(DUE)
        assert shop.states() == [DISTRIBUTION]
        await shop.close()

    run_virtually(story())


def test_an_announced_conversion_releases_no_money(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        await shop.sell()
        told = await shop.world.operator("POST", "/admin/api/conversions", {"usd_cents": 100_000})
        assert told.status == 201, told
        await shop.world.clock.sleep(60)
        assert shop.states() == [CONVERSION]
        await shop.close()

    run_virtually(story())


def test_a_batch_that_lacks_funds_says_what_it_needs_and_goes_on_by_itself(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open("ada", "bob")
        await shop.sell()
        await shop.deposited(DUE)
        await shop.plan()
        await shop.batch_is("waiting_funds")
        await shop.until_work_says("need 4700000, have 2350000, short 2350000 USDC base units")
        await shop.world.clock.sleep(60)
        assert shop.paid() == {"ada": 0, "bob": 0}  # nothing of it is sent until all of it is covered
        shop.fund(DUE)
        await shop.batch_is("settled")
        assert shop.paid() == {"ada": DUE, "bob": DUE}
        await shop.close()

    run_virtually(story())


def test_two_waiting_batches_are_served_oldest_first(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open("ada", "bob")
        await shop.sell("ada", "ada")
        await shop.plan()
        await shop.sell("bob")
        await shop.plan()
        await shop.batch_is("waiting_funds", 1)
        await shop.deposited(2 * DUE - 1)
        await shop.world.clock.sleep(30)
        assert shop.paid() == {"ada": 0, "bob": 0}
        await shop.deposited(1)
        await shop.batch_is("settled", 1)
        assert shop.paid() == {"ada": 2 * DUE, "bob": 0}
        await shop.deposited(DUE)
        await shop.batch_is("settled", 2)
        assert shop.paid() == {"ada": 2 * DUE, "bob": DUE}
        await shop.close()

    run_virtually(story())


def test_a_batch_behind_one_that_is_paused_has_its_turn_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open("ada", "bob")
        await shop.sell("ada")
        await shop.plan()
        await shop.sell("bob")
        await shop.plan()
        await shop.until_work_says("batch 1 is served first")
        paused = await shop.world.operator("POST", "/admin/api/batches/1/pause", {"reason": "look first"})
        assert paused.status == 200, paused
        await shop.batch_is("waiting_funds", 2, seconds=60)
        await shop.close()

    run_virtually(story())


@pytest.mark.parametrize("act", ["hold", "refund"])
def test_a_waiting_batch_that_lost_what_was_not_covered_pays_the_rest_at_once(tmp_path: Path, act: str) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open("ada", "bob")
        await shop.sell("ada")
        await shop.deposited(DUE)
        [second] = await shop.sell("bob")
        await shop.plan()
        await shop.batch_is("waiting_funds")
        place = f"/admin/api/purchases/{second.purchase_id}"
        seen = (await shop.world.operator("GET", place)).body
        signed = {"confirm": second.payment, "version": seen["version"]} if act == "refund" else {}
        done = await shop.world.operator("POST", f"{place}/{act}", {"reason": "look first", **signed})
        assert done.status in (200, 202), done
        await shop.batch_is("settled", seconds=120)
        assert shop.paid() == {"ada": DUE, "bob": 0}
        await shop.close()

    run_virtually(story())


def test_the_dashboard_shows_the_weeks_figures(tmp_path: Path) -> None:
    figures = ("total_sales_usd", "pending_distribution", "pending_sales", "paid_out", "available_balance", "held")

    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()

        async def board() -> tuple[object, ...]:
            shown = await shop.dashboard("ada")
            assert (shown["debt"], shown["next_payout_at"][:16]) == ("0.00", "2026-11-16T09:00")
            return tuple(shown[name] for name in figures)

        assert await board() == ("0.00", "0.00", 0, "0.00", "0.00", "0.00")
        _, second = await shop.sell("ada", "ada")
        assert await board() == ("4.70", "4.70", 2, "0.00", "0.00", "0.00")
        shop.world.stripe.controls.open_dispute(second.payment)

        async def held() -> bool:
            return bool((await shop.dashboard("ada"))["held"] == "2.35")

        await shop.world.until("one is held", held)
        assert await board() == ("4.70", "2.35", 1, "0.00", "0.00", "2.35")
        await shop.deposited(DUE)
        assert await board() == ("4.70", "2.35", 1, "0.00", "0.00", "2.35")
        await shop.plan()
        await shop.batch_is("settled")
        assert await board() == ("4.70", "0.00", 0, "2.35", "2.35", "2.35")
        await shop.close()

    run_virtually(story())
