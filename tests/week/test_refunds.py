"""Refunds and disputes, followed through to the creator's next payout, in the whole world on virtual time."""

from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.test_virtual_week import People, run_virtually
from tests.week.virtual_world import VirtualWorld

DUE = 2_350_000
"""The creator's part of a $3.00 sale, base units."""


class Gallery(People):
    """One creator, one work at $3.00, buyers who come one after the other."""

    async def open(self, editions: int | None = None) -> None:
        await self.world.start()
        self.creator, self.creator_token = await self.sign_up("ada")
        self.content = await self.publish(self.creator_token, 300, editions=editions)
        self.count = 0

    async def open_race(self, racers: int) -> tuple[list[str], list[str]]:
        """So many have the page of the only edition before anybody pays: their tokens and their Sessions."""
        await self.open(editions=1)
        tokens = [(await self.sign_up(f"racer{n}"))[1] for n in range(racers)]
        wish = {"content_id": self.content, "payment_method": "card"}
        opened = [await self.world.call("POST", "/api/checkout/stripe/", wish, token) for token in tokens]
        return tokens, [one.body["session_id"] for one in opened]

    async def race_unheard(self) -> tuple[str, str]:
        """Two pay while the daemon is down: token and payment_intent of the one who paid first. Of what it missed the
        daemon learns the newest first, so he is the one who loses."""
        tokens, sessions = await self.open_race(2)
        await self.world.stop()
        for session_id in sessions:
            self.world.stripe.controls.pay(session_id)
            await self.world.clock.sleep(5)
        return tokens[0], self.payment_of(sessions[0])

    async def sell(self) -> tuple[int, str, str]:
        """A minted sale: purchase id, the buyer's token, Stripe's payment_intent."""
        token, session_id = await self.pay()

        async def owned() -> bool:
            shelf = await self.library(token)
            return bool(shelf) and shelf[0]["status"] == "owned"

        await self.world.until("the buyer owns it", owned)
        purchase_id = (await self.library(token))[0]["purchase_id"]
        return purchase_id, token, self.payment_of(session_id)

    async def pay(self) -> tuple[str, str]:
        self.count += 1
        _, token = await self.sign_up(f"buyer{self.count}")
        return token, await self.buy(token, self.content)

    def payment_of(self, session_id: str) -> str:
        ledger: Any = self.world.stripe.controls.ledger()
        return next(str(one["payment_intent"]) for one in ledger["payments"] if one["session"] == session_id)

    async def purchase(self, purchase_id: int, token: str) -> dict[str, Any]:
        shown = await self.world.call("GET", f"/api/purchases/{purchase_id}/", token=token)
        return dict(shown.body)

    async def dashboard(self) -> dict[str, Any]:
        shown = await self.world.call("GET", f"/api/creators/{self.creator}/dashboard/", token=self.creator_token)
        return dict(shown.body)

    async def pay_out(self, base_units: int) -> None:
        """Fund the wallet, run a batch, wait until it has settled."""
        self.world.node.mint_usdc(Pubkey.from_string(self.world.platform.address), base_units)
        await self.world.operator("POST", "/admin/api/batches", {})

        async def settled() -> bool:
            shown = await self.world.operator("GET", "/admin/api/batches")
            return all(batch["status"] == "settled" for batch in shown.body["items"])

        await self.world.until("the batch has settled", settled)

    async def shows(self, what: str, **wanted: Any) -> None:
        async def holds() -> bool:
            board = await self.dashboard()
            return all(board[name] == value for name, value in wanted.items())

        await self.world.until(what, holds, seconds=120)

    async def paid_on_chain(self) -> int:
        profile = await self.world.call("GET", "/api/profile/", token=self.creator_token)
        owner = Pubkey.from_string(profile.body["circle_wallet_address"])
        accounts = self.world.node.token_accounts(owner)
        return sum(int.from_bytes(one.data[64:72], "little") for _, one in accounts if len(one.data) == 165)

    async def close(self) -> None:
        ledger = await self.world.operator("GET", "/admin/api/ledger")
        assert ledger.body["imbalance"] == 0
        await self.world.verify()
        await self.world.close()


def test_a_full_refund_before_the_payout_cancels_it_and_the_nft_stays(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        purchase_id, token, payment = await shop.sell()
        shop.world.stripe.controls.refund(payment)

        async def refunded() -> bool:
            return bool((await shop.purchase(purchase_id, token))["status"] == "refunded")

        await shop.world.until("the purchase is refunded", refunded)
        shown = await shop.purchase(purchase_id, token)
        assert (shown["usdc_payment_status"], shown["nft_minted"]) == ("cancelled", True)
        assert (await shop.library(token))[0]["status"] == "refunded"
        await shop.shows("nothing is due", total_sales_usd="0.00", pending_distribution="0.00", debt="0.00")
        await shop.close()

    run_virtually(story())


def test_a_partial_refund_before_the_payout_reduces_it(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        _, _, payment = await shop.sell()
        shop.world.stripe.controls.refund(payment, 100)
        await shop.shows("two thirds are due", pending_distribution="1.566667")
        await shop.pay_out(DUE)
        assert await shop.paid_on_chain() == 1_566_667
        await shop.close()

    run_virtually(story())


def test_a_refund_after_the_payout_is_a_debt_that_the_next_sales_use_up(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        _, _, payment = await shop.sell()
        await shop.pay_out(DUE)
        assert await shop.paid_on_chain() == DUE
        shop.world.stripe.controls.refund(payment)
        await shop.shows("the creator owes it", debt="2.35", paid_out="2.35")
        second, token, _ = await shop.sell()
        shown = await shop.purchase(second, token)
        assert (shown["usdc_payment_status"], shown["payouts"][0]["netted_amount"]) == ("netted", "2.35")
        await shop.shows("the debt is paid", debt="0.00", pending_distribution="0.00")
        await shop.sell()
        await shop.shows("the third sale is due", pending_distribution="2.35")
        await shop.pay_out(DUE)
        assert await shop.paid_on_chain() == 2 * DUE
        await shop.close()

    run_virtually(story())


def test_a_refund_that_fails_later_makes_the_payout_due_again(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        purchase_id, token, payment = await shop.sell()
        refund: Any = shop.world.stripe.controls.refund(payment)
        await shop.shows("cancelled", total_sales_usd="0.00")
        shop.world.stripe.controls.fail_refund(refund["id"], "expired_or_canceled_card")
        await shop.shows("due again", pending_distribution="2.35")
        shown = await shop.purchase(purchase_id, token)
        assert shown["status"] == "completed"
        await shop.pay_out(DUE)
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


def test_an_open_dispute_holds_what_is_unpaid_and_a_won_one_releases_it(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        purchase_id, token, payment = await shop.sell()
        dispute: Any = shop.world.stripe.controls.open_dispute(payment)
        await shop.shows("held", held="2.35", pending_distribution="0.00")
        assert (await shop.purchase(purchase_id, token))["usdc_payment_status"] == "on_hold"
        shop.world.stripe.controls.close_dispute(dispute["id"], "won")
        await shop.shows("released", held="0.00", pending_distribution="2.35")
        await shop.pay_out(DUE)
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


def test_a_dispute_after_the_payout_keeps_back_the_next_one_until_it_is_lost(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        purchase_id, token, payment = await shop.sell()
        await shop.pay_out(DUE)
        dispute: Any = shop.world.stripe.controls.open_dispute(payment)
        await shop.world.clock.sleep(10)
        await shop.sell()
        await shop.shows("the next one is kept back", held="2.35", debt="0.00")
        shop.world.stripe.controls.close_dispute(dispute["id"], "lost")
        await shop.shows("it is used up by the debt", held="0.00", debt="0.00", pending_distribution="0.00")
        shown = await shop.purchase(purchase_id, token)
        assert (shown["status"], shown["usdc_payment_status"]) == ("completed", "distributed")
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


@pytest.mark.parametrize(("resolved", "due"), [(True, "0.00"), (False, "2.35")])
def test_of_a_prevented_dispute_the_creator_is_due_what_its_money_says(
    resolved: bool, due: str, tmp_path: Path
) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        _, _, payment = await shop.sell()
        await shop.shows("it is due", pending_distribution="2.35")
        prevented: Any = shop.world.stripe.controls.prevent_dispute(payment, resolved=resolved)

        async def is_known() -> bool:
            wanted = f"SELECT withdrawn FROM disputes WHERE stripe_dispute_id = '{prevented['id']}'"
            return [row["withdrawn"] for row in rows_of(shop.world, wanted)] == [300 if resolved else 0]

        await shop.world.until("the daemon knows of it", is_known)
        await shop.shows("what is due", pending_distribution=due, held="0.00", debt="0.00")
        await shop.close()

    run_virtually(story())


def test_what_a_dispute_kept_back_stays_held_where_a_person_holds_its_sale_meanwhile(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        _, _, payment = await shop.sell()
        await shop.pay_out(DUE)
        dispute: Any = shop.world.stripe.controls.open_dispute(payment)
        await shop.world.clock.sleep(10)
        purchase_id, _, _ = await shop.sell()
        await shop.shows("the next one is kept back", held="2.35")
        act = f"/admin/api/purchases/{purchase_id}"
        assert (await shop.world.operator("POST", f"{act}/hold", {"reason": "looks odd"})).status == 200
        shop.world.stripe.controls.close_dispute(dispute["id"], "won")
        await shop.world.clock.sleep(60)
        await shop.shows("it is still held", held="2.35", pending_distribution="0.00")
        assert (await shop.world.operator("POST", f"{act}/unhold", {"reason": "it was not"})).status == 200
        await shop.shows("it is due again", held="0.00", pending_distribution="2.35")
        await shop.close()

    run_virtually(story())


def test_a_full_refund_before_the_mint_cancels_it_and_gives_the_edition_back(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path)
        world.circle.custody.switches.auto_pin = False
        shop = Gallery(world)
        await shop.open(editions=1)
        token, session_id = await shop.pay()

        async def waits() -> bool:
            shelf = await shop.library(token)
            return bool(shelf) and shelf[0]["status"] == "waiting_for_wallet"

        await world.until("the mint waits for the wallet", waits)
        world.stripe.controls.refund(shop.payment_of(session_id))

        async def refunded() -> bool:
            return bool((await shop.library(token))[0]["status"] == "refunded")

        await world.until("refunded", refunded)
        assert (await shop.purchase(1, token))["status_reason"] is None
        second, _ = await shop.pay()

        async def bought() -> bool:
            return bool(await shop.library(second))

        await world.until("another buyer has the edition", bought)
        assert (await shop.library(second))[0]["status"] == "waiting_for_wallet"
        await shop.close()

    run_virtually(story())


def test_a_losers_refund_by_a_process_whose_rows_are_lost_counts_as_the_one_he_is_owed(tmp_path: Path) -> None:
    """Its event comes before the daemon asks for a refund of its own, which Stripe refuses."""

    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        token, loser = await shop.race_unheard()
        before = {"refund": "0f9d2c2e-6d0c-4d43-9b67-8d2f3b1f6a10", "reason": "sold_out"}
        shop.world.stripe._world.reversals.refund({"payment_intent": loser, "metadata": before})
        await shop.world.start()
        await shop.world.clock.sleep(600)
        refunds = rows_of(shop.world, "SELECT state, amount FROM refunds ORDER BY id")
        assert sorted((row["state"], row["amount"]) for row in refunds if row["state"] != "failed") == [
            ("succeeded", 300)
        ]
        assert rows_of(shop.world, "SELECT kind, last_error FROM jobs WHERE kind = 'refund'") == []
        assert (await shop.library(token))[0]["status"] == "refunded"
        await shop.close()

    run_virtually(story())


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_loser_who_got_a_part_back_by_hand_gets_the_rest(when: str, tmp_path: Path) -> None:
    """Stripe refuses to give back all of a payment of which a part is gone, and a person was asked to finish it."""

    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        token, loser = await shop.race_unheard()
        controls: Any = shop.world.stripe.controls
        if when == "before":
            controls.refund(loser, 100)
        else:
            controls.add_fault(Rule("POST /v1/refunds", Fault.STATUS, times=1_000_000, status=503))
        await shop.world.start()

        async def is_meant() -> bool:
            return bool(rows_of(shop.world, "SELECT id FROM refunds WHERE idempotency_key IS NOT NULL"))

        await shop.world.until("his refund is meant", is_meant)
        if when == "meanwhile":
            controls.refund(loser, 100)
            controls.refund(loser, 50)
            controls.clear_faults()

        async def is_given() -> bool:
            shelf = await shop.library(token)
            return bool(shelf) and shelf[0]["status"] == "refunded"

        await shop.world.until("all of it went back", is_given)
        await shop.world.clock.sleep(60)
        ledger: Any = controls.ledger()
        (paid,) = [one for one in ledger["payments"] if one["payment_intent"] == loser]
        given = sorted(one["amount"] for one in paid["refunds"])
        assert given == ([100, 200] if when == "before" else [50, 100, 150])
        assert rows_of(shop.world, "SELECT kind FROM jobs WHERE kind = 'refund' OR state = 'parked'") == []
        await shop.close()

    run_virtually(story())


def test_a_loser_whose_refund_is_refused_for_another_reason_waits_for_a_person(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.race_unheard()
        refusal = b'{"error": {"type": "invalid_request_error", "message": "This payment can not be refunded."}}'
        rule = Rule("POST /v1/refunds", Fault.STATUS, times=1_000_000, status=400, body=refusal)
        shop.world.stripe.controls.add_fault(rule, inside=False)
        await shop.world.start()

        async def is_parked() -> bool:
            return bool(rows_of(shop.world, "SELECT id FROM jobs WHERE kind = 'refund' AND state = 'parked'"))

        await shop.world.until("a person is asked", is_parked)
        assert [row["state"] for row in rows_of(shop.world, "SELECT state FROM refunds")] == ["intended"]
        await shop.close()

    run_virtually(story())
