"""A key that a service does not take any more: one call asks for it, all work waits, and goes on when it is taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

import agent.key_watch
import agent.worker
from sandbox.faults import Fault, Rule
from sandbox.stripe_service.access import Keys
from tests.logged import logged
from tests.week.checker import rows_of
from tests.week.mint_account import USDC, converting
from tests.week.people import on_virtual_time, open_session, shelf_says
from tests.week.selling import DUE, Market, skip_to
from tests.week.test_operator_refunds import Desk
from tests.week.test_withdrawals import ask, holder
from tests.week.virtual_world import CIRCLE_URL, RPC_URL, STRIPE_URL, VirtualWorld

CREATORS = ("ada", "ben", "cyd", "dan", "eve", "fay")
ASKED_FOR_KEY = "/v1/w3s/config/entity/publicKey"
KEY = "TEST_API_KEY:id:secret"
NEW_STRIPE_KEY = "sk_test_another_one_0123456789"
REFUSED = "our key is refused: what needs it waits, an operator must act"
TAKEN = "our key is taken again: what waited goes on"
HALF_A_DAY_AND_MORE = timedelta(hours=13)
"""After half a day a key of an order is not used again: what was sent would be looked for, and given up."""
LONGEST_PAUSE = 300


def calls(world: VirtualWorld, url: str, after: int = 0) -> list[str]:
    """Paths that a service was asked for, after so many calls to whomever."""
    return [sent.url.removeprefix(url) for sent in world.transport.sent[after:] if sent.url.startswith(url)]


@contextmanager
def told() -> Iterator[list[Any]]:
    """What is logged by who watches the keys, and by the worker."""
    with logged(agent.key_watch) as lines, pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent.worker, "log", structlog.get_logger("worker"))
        yield lines


def nothing_given_up(world: VirtualWorld) -> bool:
    parked = rows_of(world, "SELECT kind FROM jobs WHERE state = 'parked'")
    dead = rows_of(world, "SELECT id FROM transfer_attempts WHERE state = 'dead' OR attempt > 1")
    tried = rows_of(world, "SELECT kind FROM jobs WHERE state = 'due' AND attempts > 0")
    return (parked, dead, tried) == ([], [], [])


class Counter(Market):
    """Six creators and what is owed to them, on the day on which Circle takes the key no more."""

    async def refused(self) -> None:
        await self.open(*CREATORS)
        await self.sell()
        await self.deposited(len(CREATORS) * DUE)
        self.world.circle.custody.entity.api_keys = frozenset({"TEST_API_KEY:other:key"})
        await self.plan()
        await self.until_work_says("an operator must act")
        await self.buy(self.buyer_token, self.creators["ada"].content)

    async def taken(self) -> None:
        """Everybody gets what is his, once."""
        await self.batch_is("settled", seconds=LONGEST_PAUSE + 300)
        assert self.paid() == dict.fromkeys(CREATORS, DUE)

        async def minted() -> bool:
            done = rows_of(self.world, "SELECT id FROM purchases WHERE status = 'completed'")
            return len(done) == len(CREATORS) + 1

        await self.world.until("the last sale is minted", minted)
        assert nothing_given_up(self.world)
        await self.close()


@pytest.mark.parametrize("rail", ["circle", "solana"])
@on_virtual_time
async def test_while_circle_refuses_the_key_one_call_asks_and_all_goes_on_when_it_is_taken(
    tmp_path: Path, rail: str
) -> None:
    shop = Counter(VirtualWorld(tmp_path, AGENT_RAIL=rail))
    world = shop.world
    with told() as lines:
        await shop.refused()
        begun = len(world.transport.sent)
        await world.clock.sleep(3600)
        asked = calls(world, CIRCLE_URL, begun)
        assert set(asked) == {ASKED_FOR_KEY} and len(asked) < 40
        begun = len(world.transport.sent)
        await world.clock.sleep(3600)
        assert 11 <= len(calls(world, CIRCLE_URL, begun)) <= 13
        asked_chain = b"".join(sent.body for sent in world.transport.sent[begun:] if sent.url.startswith(RPC_URL))
        assert asked_chain.count(b"getLatestBlockhash") + asked_chain.count(b"simulateTransaction") < 10
        assert [line["event"] for line in lines if line["log_level"] == "error"] == [REFUSED]
        assert nothing_given_up(world) and set(shop.states()) == {"pending_distribution"}
        world.circle.custody.entity.api_keys = frozenset({KEY})
        await shop.taken()
        assert [line["event"] for line in lines if "service" in line] == [REFUSED, TAKEN]


@on_virtual_time
async def test_orders_that_never_left_for_a_bad_key_are_sent_however_late_there_is_a_good_one(tmp_path: Path) -> None:
    shop = Counter(VirtualWorld(tmp_path))
    await shop.refused()
    await shop.world.stop()
    await skip_to(shop.world, shop.world.clock.now() + HALF_A_DAY_AND_MORE)
    shop.world.circle.custody.entity.api_keys = frozenset({KEY})
    await shop.world.start()
    await shop.taken()


@pytest.mark.parametrize("back", ["a dispute", "a refund", "a part"])
@on_virtual_time
async def test_an_order_that_never_left_for_a_bad_key_is_not_sent_for_what_came_back_meanwhile(
    tmp_path: Path, back: str
) -> None:
    shop = Market(VirtualWorld(tmp_path))
    world, controls = shop.world, shop.world.stripe.controls
    await shop.open("ada")
    (sold,) = await shop.sell()
    await shop.deposited(DUE)

    def revoke() -> None:
        world.circle.custody.entity.api_keys = frozenset()

    body = b'{"code": 401, "message": "Malformed authorization."}'
    world.circle.faults.add(
        Rule("POST /v1/w3s/developer/transactions/transfer", Fault.STATUS, 1, status=401, body=body, strikes=revoke)
    )
    await shop.plan()
    await shop.until_work_says("an operator must act")
    attempts = "SELECT state, first_sent_at FROM transfer_attempts ORDER BY attempt"
    assert [row["first_sent_at"] for row in rows_of(world, attempts)] == [None]
    if back == "a dispute":
        controls.open_dispute(sold.payment)
    else:
        controls.refund(sold.payment, 300 if back == "a refund" else 100)
    known = "SELECT id FROM purchases WHERE hold_reason IS NOT NULL OR refunded_amount > 0"

    async def is_known() -> bool:
        return bool(rows_of(world, known))

    await world.until("it is known", is_known)
    world.circle.custody.entity.api_keys = frozenset({KEY})
    await shop.batch_is("settled", seconds=LONGEST_PAUSE + 600)
    assert shop.states() == [{"a dispute": "on_hold", "a refund": "cancelled", "a part": "distributed"}[back]]
    assert shop.paid() == {"ada": 1_566_667 if back == "a part" else 0}
    ends = ["dead", "finalized"] if back == "a part" else ["dead"]
    assert [row["state"] for row in rows_of(world, attempts)] == ends
    await shop.close()


@on_virtual_time
async def test_an_order_at_circle_mint_that_never_left_for_a_bad_key_is_sent_however_late_there_is_a_good_one(
    tmp_path: Path,
) -> None:
    shop = converting(tmp_path)
    world = shop.world
    keys = shop.mint.api_keys
    await shop.open("ada")
    shop.wire(300 * USDC)

    def revoke() -> None:
        shop.mint.api_keys = frozenset()

    body = b'{"code": 401, "message": "Malformed authorization."}'
    shop.mint.faults.add(
        Rule("POST /v1/businessAccount/transfers", Fault.STATUS, 1, status=401, body=body, strikes=revoke)
    )
    await shop.ordered("100.00")
    await shop.until_order_says("an operator must act")
    assert nothing_given_up(world)
    await world.stop()
    await skip_to(world, world.clock.now() + HALF_A_DAY_AND_MORE)
    shop.mint.api_keys = keys
    await world.start()
    await shop.order_is("done")
    assert len(shop.transfers) == 1 and shop.deposits() == [(100 * USDC, 0)]
    await shop.close()


@pytest.mark.parametrize("outcome", ["taken again", "replaced"])
@on_virtual_time
async def test_while_stripe_refuses_the_key_fees_and_refunds_wait_and_buyers_are_told_to_come_again(
    tmp_path: Path, outcome: str
) -> None:
    desk = Desk(VirtualWorld(tmp_path))
    world = desk.world
    await desk.open()
    sold, _, payment = await desk.sell()
    token, session = await open_session(desk, "late")
    door = world.stripe._api
    keys, door._keys = door._keys, Keys((NEW_STRIPE_KEY,))
    with told() as lines:
        assert (await desk.act(sold, "refund", amount="1.00")).status == 202
        world.stripe.controls.pay(session)
        await shelf_says(desk, token, "owned")
        _, stranger = await desk.sign_up("stranger")
        wish = {"content_id": desk.content, "payment_method": "card"}
        answers = [await world.call("POST", "/api/checkout/stripe/", wish, stranger) for _ in range(3)]
        assert [(one.status, one.body["error"]["code"]) for one in answers] == [(503, "stripe_unavailable")] * 3
        assert len(rows_of(world, "SELECT id FROM checkouts WHERE state IN ('creating', 'expired')")) == 1
        begun = len(world.transport.sent)
        await world.clock.sleep(3600)
        asked = calls(world, STRIPE_URL, begun)
        assert set(asked) == {"/v1/balance"} and len(asked) < 40
        assert [line["event"] for line in lines if line["log_level"] == "error"] == [REFUSED]
        assert nothing_given_up(world)
        if outcome == "replaced":
            await world.stop()
            world.settings = world.settings.model_copy(update={"stripe_secret_key": SecretStr(NEW_STRIPE_KEY)})
            await world.start()
        else:
            door._keys = keys
    await desk.refunded(sold, "succeeded")
    assert desk.given_back(payment) == [100]
    await desk.shows("both fees are known", pending_distribution="3.916667")
    assert (await world.call("POST", "/api/checkout/stripe/", wish, stranger)).status == 200
    await desk.close()


@on_virtual_time
async def test_a_withdrawal_that_is_wished_for_meanwhile_is_made_when_the_key_is_taken(tmp_path: Path) -> None:
    world = VirtualWorld(tmp_path)
    await world.start()
    token, _ = await holder(world, "ada")
    world.circle.custody.entity.api_keys = frozenset({"TEST_API_KEY:other:key"})
    refused = [await ask(world, token) for _ in range(2)]
    assert [(one.status, one.body["error"]["code"]) for one in refused] == [(503, "circle_unavailable")] * 2
    world.circle.custody.entity.api_keys = frozenset({KEY})
    await world.clock.sleep(LONGEST_PAUSE)
    made = await ask(world, token)
    assert (made.status, made.body["state"]) == (201, "challenge")
    assert [row["state"] for row in rows_of(world, "SELECT state FROM withdrawals")] == ["challenge"]
    await world.close()
