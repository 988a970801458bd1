"""The restore drill: a batch is paid, the database from before it is put back, and life went on meanwhile.

Nobody is paid twice, on any rail: what left is found, given to whom it was paid, and what came back since is his debt.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market, Sale
from tests.week.test_peer_defects import nfts
from tests.week.test_purchases import past_the_first_sweep
from tests.week.virtual_world import MONDAY, VirtualWorld

RAILS = pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"agent_rail": "circle"}, {"agent_grouping": "creator"}),
        ({"agent_rail": "circle", "agent_grouping": "creator"}, {"agent_rail": "solana"}),
        ({"agent_rail": "solana"}, {"agent_packed_format": "v1", "agent_packed_memo": True}),
        ({"agent_rail": "solana"}, {"agent_rail": "circle"}),
    ],
    ids=["circle", "circle-by-creator-then-solana", "solana", "solana-then-circle"],
)


@dataclass(slots=True)
class Drill:
    """A market with a backup, and purchases whose Sessions are open while it is taken."""

    shop: Market
    paid: Sequence[Sale] = ()
    open_sessions: Sequence[str] = ()

    @property
    def world(self) -> VirtualWorld:
        return self.shop.world

    async def begin(self, *names: str) -> None:
        """Creators, their sales, the money for all of it, and two buyers who are about to pay."""
        await self.shop.open("ada", "bob", "cleo")
        self.paid = await self.shop.sell(*names)
        await self.shop.deposited(20 * DUE)
        sessions = []
        for name in ("ada", "bob"):
            _, token = await self.shop.sign_up(f"late-{name}")
            wish = {"content_id": self.shop.creators[name].content, "payment_method": "card"}
            opened = await self.world.call("POST", "/api/checkout/stripe/", wish, token)
            sessions.append(opened.body["session_id"])
        self.open_sessions = sessions
        await self.world.clock.sleep(5)

    async def back_up(self) -> None:
        await self.world.stop()
        shutil.copy(self.world.folder / "agent.db", self.world.folder / "backup.db")
        await self.world.start()

    async def pay_out(self, batch_id: int) -> None:
        assert await self.shop.plan() is not None
        await self.shop.batch_is("settled", batch_id)

    async def late_buyers_pay(self) -> None:
        for session_id in self.open_sessions:
            self.world.stripe.controls.pay(session_id)
        await self.world.clock.sleep(20)

    async def all_are_minted(self, sales: int) -> None:
        """Wait until so many sales have their NFT and their fee."""
        sql = "SELECT id FROM purchases WHERE status = 'completed' AND stripe_fee IS NOT NULL"

        async def holds() -> bool:
            return len(rows_of(self.world, sql)) == sales

        await self.world.until(f"{sales} sales are minted", holds)

    def refund(self, sale: Sale, cents: int | None = None) -> None:
        self.world.stripe.controls.refund(sale.payment, cents)

    async def put_back(self, **settings: object) -> None:
        """The database from before, and other settings; the chain, Circle and Stripe have gone on."""
        await self.world.stop()
        self.world.settings = self.world.settings.model_copy(update=settings)
        for name in ("agent.db-wal", "agent.db-shm"):
            (self.world.folder / name).unlink(missing_ok=True)
        shutil.copy(self.world.folder / "backup.db", self.world.folder / "agent.db")
        await self.world.start()

    async def unexplained(self, number: int) -> list[dict[str, Any]]:
        """Wait until so many outflows fit nothing, whatever was looked up."""
        shown: list[dict[str, Any]] = []

        async def seen() -> bool:
            shown[:] = (await self.world.operator("GET", "/admin/api/outflows")).body["items"]
            return len(shown) == number

        await self.world.until(f"{number} outflow(s) fit no payout", seen)
        await self.world.clock.sleep(30)
        assert await seen()
        return shown

    async def gate_opens(self) -> None:
        async def is_open() -> bool:
            assert self.world.daemon is not None
            return self.world.daemon.engine.gate.is_open

        await self.world.until("the start gate opens", is_open)
        await self.world.clock.sleep(10)


def drill(folder: Path, **settings: str) -> Drill:
    named = {name.upper(): value for name, value in settings.items()}
    return Drill(Market(VirtualWorld(folder, 1, MONDAY, **named)))


@RAILS
@on_virtual_time
async def test_a_paid_batch_that_the_restored_database_does_not_know_is_adopted_and_paid_once(
    before: dict[str, str], after: dict[str, object], tmp_path: Path
) -> None:
    story = drill(tmp_path, **before)
    shop = story.shop
    await story.begin("ada", "bob", "ada", "cleo")
    await story.back_up()
    await story.pay_out(1)
    assert shop.paid() == {"ada": 2 * DUE, "bob": DUE, "cleo": DUE}
    await story.late_buyers_pay()
    story.refund(story.paid[1])
    await story.world.clock.sleep(10)
    paid_before = len(outflows(story.world))
    await story.put_back(**after)
    await story.gate_opens()
    assert len(outflows(story.world)) == paid_before
    assert (await shop.dashboard("ada"))["paid_out"] == "4.70"
    bob = await shop.dashboard("bob")
    assert (bob["paid_out"], bob["debt"]) in {("2.35", "2.35"), ("2.35", "0.00")}
    await story.pay_out(len(rows_of(story.world, "SELECT id FROM batches")) + 1)
    # Bob's second sale makes good what his refunded first one was paid: he gets nothing more.
    assert shop.paid() == {"ada": 3 * DUE, "bob": DUE, "cleo": DUE}
    assert await parked(story.world) == []
    await shop.close()


@pytest.mark.parametrize("paid_out", [False, True], ids=["minted-before-the-restore", "paid-before-the-restore"])
@on_virtual_time
async def test_a_sale_younger_than_the_backup_is_made_anew_from_its_marks_and_minted_and_paid_once(
    paid_out: bool, tmp_path: Path
) -> None:
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.back_up()
    (young,) = await shop.sell("bob")
    if paid_out:
        await story.pay_out(1)
    nfts_before = nfts(world)
    await story.put_back()
    assert rows_of(world, f"SELECT id FROM purchases WHERE stripe_payment_intent_id = '{young.payment}'") == []
    await story.gate_opens()

    async def is_back() -> bool:
        sql = f"SELECT status FROM purchases WHERE stripe_payment_intent_id = '{young.payment}'"
        return [row["status"] for row in rows_of(world, sql)] == ["completed"]

    await world.until("the sale is back, with its NFT", is_back)
    assert nfts(world) == nfts_before
    assert await parked(world) == []
    if not paid_out:
        await story.pay_out(1)
    await world.clock.sleep(60)
    assert (await shop.plan()) is None
    assert shop.paid() == {"ada": DUE, "bob": DUE, "cleo": 0}
    assert (await shop.dashboard("bob"))["paid_out"] == "2.35"
    await shop.close()


@on_virtual_time
async def test_a_sale_whose_content_the_backup_does_not_know_or_whose_price_differs_waits_for_a_person(
    tmp_path: Path,
) -> None:
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.back_up()
    content, buyer = rows_of(world, "SELECT uuid FROM contents")[0]["uuid"], rows_of(world, "SELECT uuid FROM users")[0]
    intent = {"object": "payment_intent", "currency": "usd", "latest_charge": None}
    for number, (cents, marks) in enumerate(
        (
            (300, {"content": "of-after-the-backup", "buyer": buyer["uuid"]}),
            (300, {"content": content, "buyer": "of-after-the-backup"}),
            (299, {"content": content, "buyer": buyer["uuid"]}),
        )
    ):
        metadata = {"checkout": f"0b8f0f6e-6a56-4a37-9d0a-0a4c0c0b7c1{number}", **marks}
        paid = {**intent, "id": f"pi_young{number}", "amount_received": cents, "metadata": metadata}
        world.stripe.controls.forge_event("payment_intent.succeeded", paid)
    await world.clock.sleep(30)
    codes = sorted(str(code) for _, code in await parked(world))
    assert codes == ["amount_mismatch", "unknown_checkout", "unknown_checkout"]
    assert len(rows_of(world, "SELECT id FROM purchases")) == 1
    assert len(rows_of(world, "SELECT id FROM checkouts")) == 3
    await shop.close()


@pytest.mark.parametrize("paid_out", [False, True], ids=["minted-before-the-restore", "paid-before-the-restore"])
@on_virtual_time
async def test_nfts_of_sales_made_anew_keep_the_numbers_that_they_bear(paid_out: bool, tmp_path: Path) -> None:
    """The word of the first payment came late, so that the second was minted first; Stripe's list has them in order."""
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.back_up()
    await past_the_first_sweep(shop)
    world.stripe.controls.disturb_delivery(drop=1.0, tries_max=1)
    world.stripe.controls.pay(story.open_sessions[0])
    await world.clock.sleep(60)
    world.stripe.controls.disturb_delivery(drop=0.0, tries_max=None)
    first = shop.payment_of(story.open_sessions[0])
    (second,) = await shop.sell("ada")
    await world.stop()
    await world.start()
    await story.all_are_minted(3)
    if paid_out:
        await story.pay_out(1)
    numbers = "SELECT stripe_payment_intent_id pi, edition_number n FROM purchases WHERE content_id = 1 ORDER BY id"
    given = {row["pi"]: row["n"] for row in rows_of(world, numbers)}
    assert given == {story.paid[0].payment: 1, first: 3, second.payment: 2}
    nfts_before = nfts(world)
    await story.put_back()
    await story.gate_opens()
    await story.all_are_minted(3)
    assert {row["pi"]: row["n"] for row in rows_of(world, numbers)} == given
    assert nfts(world) == nfts_before
    assert await parked(world) == []
    (young,) = await shop.sell("ada")
    assert {row["pi"]: row["n"] for row in rows_of(world, numbers)} == {**given, young.payment: 4}
    await story.pay_out(len(rows_of(world, "SELECT id FROM batches")) + 1)
    assert shop.paid()["ada"] == 4 * DUE
    await shop.close()


@on_virtual_time
async def test_a_sale_whose_buyer_got_his_wallet_after_the_backup_explains_its_outflow_once_that_is_known_again(
    tmp_path: Path,
) -> None:
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    pins = world.circle.custody.switches
    pins.auto_pin = False
    _, late = await shop.sign_up("has-no-pin")
    await story.back_up()
    await shop.buy(late, shop.creators["ada"].content)
    await world.clock.sleep(30)
    pins.auto_pin = True
    await story.all_are_minted(2)
    await story.pay_out(1)
    await story.put_back()
    await story.gate_opens()
    await story.all_are_minted(2)
    assert shop.paid()["ada"] == 2 * DUE
    assert (await shop.dashboard("ada"))["paid_out"] == "4.70"
    assert await shop.plan() is None
    assert await parked(world) == []
    await shop.close()


@pytest.mark.parametrize("rail", ["circle", "solana"])
@on_virtual_time
async def test_sales_that_were_minted_and_paid_since_the_backup_are_adopted_and_paid_once(
    rail: str, tmp_path: Path
) -> None:
    """Their NFTs are found while the gate is closed: without them nobody could tell whom the outflows paid."""
    story = drill(tmp_path, agent_rail=rail)
    shop = story.shop
    await story.begin("ada", "bob")
    await story.back_up()
    await story.late_buyers_pay()
    await story.all_are_minted(4)
    await story.pay_out(1)
    assert shop.paid() == {"ada": 2 * DUE, "bob": 2 * DUE, "cleo": 0}
    paid_before = len(outflows(story.world))
    await story.put_back()
    await story.gate_opens()
    assert len(outflows(story.world)) == paid_before
    assert (await shop.dashboard("ada"))["paid_out"] == "4.70"
    assert await shop.plan() is None
    assert await parked(story.world) == []
    await shop.close()


@on_virtual_time
async def test_a_packed_outflow_that_fits_no_payout_waits_for_a_person_and_nothing_is_sent_till_then(
    tmp_path: Path,
) -> None:
    """The split was changed before the restart: what was paid is nobody's due any more."""
    story = drill(tmp_path, agent_rail="solana")
    shop, world = story.shop, story.world
    await story.begin("ada", "bob")
    await story.back_up()
    await story.late_buyers_pay()
    await story.all_are_minted(4)
    await story.pay_out(1)
    await story.put_back(agent_creator_bps=8000)
    shown: list[dict[str, Any]] = []

    async def seen() -> bool:
        shown[:] = (await world.operator("GET", "/admin/api/outflows")).body["items"]
        return bool(shown)

    await world.until("the outflow is seen", seen)
    (outflow,) = shown
    (signature,) = outflows(world)
    assert (outflow["signature"], outflow["amount"]) == (signature, "9.40")
    await world.clock.sleep(60)
    assert list(outflows(world)) == [signature]
    # The operator knows what it was: all of these sales are paid already.
    for sale in rows_of(world, "SELECT id FROM purchases"):
        held = await world.operator("POST", f"/admin/api/purchases/{sale['id']}/hold", {"reason": "paid before"})
        assert held.status == 200, held
    assert world.daemon is not None and not world.daemon.engine.gate.is_open
    decided = {"reason": "paid them before the restore", "not_a_payout": True}
    accepted = await world.operator("POST", f"/admin/api/outflows/{outflow['id']}/accept", decided)
    assert accepted.body["items"] == []
    await story.gate_opens()
    await shop.sell("cleo")
    await shop.plan()

    async def paid() -> bool:
        return "distributed" in shop.states()

    await world.until("sends go on", paid)
    assert sorted(shop.states()) == ["distributed", *["on_hold"] * 4]
    assert (shop.paid()["ada"], shop.paid()["bob"]) == (2 * DUE, 2 * DUE)
    await world.clock.sleep(10)
    await world.verify()  # the checker knows one split for all sales
    await world.close()
