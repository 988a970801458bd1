"""A race for a last edition whose rows are lost: sales come back in another order, and the NFT says who won."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault, Rule
from storage.recovery import restoring
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE
from tests.week.test_peer_defects import nfts
from tests.week.test_restore_drill import Drill, drill

NO_ENDS = Rule("/expire", Fault.STATUS, times=1_000_000, status=500)
"""Whoever has the page of a work can still pay for it when the last edition is sold."""
NO_REFUNDS = Rule("POST /v1/refunds", Fault.STATUS, times=1_000_000, status=500)


async def open_race(story: Drill, racers: int, editions: int) -> tuple[list[str], list[str]]:
    """So many have the page of a work that is scarce, and the backup is older than anybody's payment: their tokens and
    their Sessions."""
    shop, world = story.shop, story.world
    await shop.open("ada")
    work = await shop.join("bob", editions=editions)
    tokens = [(await shop.sign_up(f"racer{number}"))[1] for number in range(racers)]
    wish = {"content_id": work.content, "payment_method": "card"}
    opened = [await world.call("POST", "/api/checkout/stripe/", wish, token) for token in tokens]
    await shop.sell("ada")
    await story.back_up()
    return tokens, [one.body["session_id"] for one in opened]


async def run_race(story: Drill, sessions: list[str], editions: int) -> None:
    """They pay one after the other, until the first ones have their NFTs and the others have lost."""
    story.world.stripe.controls.add_fault(NO_ENDS)
    for session in sessions:
        story.world.stripe.controls.pay(session)
        await story.world.clock.sleep(20)
    await story.all_are_minted(1 + editions)


async def come_back_turned(story: Drill, sessions: list[str], *, hear_of_all: bool = True) -> None:
    """Put the backup back. Of what it lacks the daemon hears of these payments first, and of the others only when
    Stripe lists its events: now, or once its faults are cleared."""
    world, controls = story.world, story.world.stripe.controls
    payments = [story.shop.payment_of(session).encode() for session in sessions]
    told = rows_of(world, "SELECT event_id, body FROM stripe_events WHERE type = 'payment_intent.succeeded'")
    await world.clock.sleep(60)  # Stripe has told of all: the rest it would repeat
    await world.stop()
    controls.clear_faults()
    controls.add_fault(Rule("GET /v1/events", Fault.STATUS, times=1_000_000, status=500))
    await story.put_back()
    first = [row["event_id"] for row in told if any(payment in row["body"] for payment in payments)]
    for event_id in first:
        controls.resend_event(event_id)

    async def is_heard() -> bool:
        return len(rows_of(world, "SELECT id FROM purchases WHERE edition_held")) == 1 + len(sessions)

    await world.until("those who lost hold the editions", is_heard)
    if hear_of_all:
        controls.clear_faults()


def returned(story: Drill, session: str) -> int:
    """Cents that Stripe has given back to who paid there."""
    given: Any = story.world.stripe.controls.ledger()
    return int(next(one["refunded_cents"] for one in given["payments"] if one["session"] == session))


async def shelf(story: Drill, token: str) -> list[str]:
    return [one["status"] for one in await story.shop.library(token)]


async def at_rest(story: Drill, tokens: list[str], wanted: list[str]) -> None:
    async def holds() -> bool:
        return [await shelf(story, token) for token in tokens] == [[status] for status in wanted]

    await story.world.until(f"the shelves say {wanted}", holds)
    await story.world.clock.sleep(1_200)
    assert await holds()
    assert await parked(story.world) == []


@pytest.mark.parametrize("given_back", [True, False], ids=["loser-refunded-before", "loser-still-to-be-refunded"])
@pytest.mark.parametrize(("racers", "editions"), [(2, 1), (4, 2)])
@on_virtual_time
async def test_who_has_the_nft_keeps_edition_and_money_whichever_sale_comes_back_first(
    racers: int, editions: int, given_back: bool, tmp_path: Path
) -> None:
    story = drill(tmp_path)
    tokens, sessions = await open_race(story, racers, editions)
    controls = story.world.stripe.controls
    if not given_back:
        controls.add_fault(NO_REFUNDS)
    await run_race(story, sessions, editions)
    made = nfts(story.world)

    async def is_settled() -> bool:
        return [returned(story, one) for one in sessions[editions:]] == [300 * given_back] * (racers - editions)

    await story.world.until("the losers have what they get for now", is_settled)
    await come_back_turned(story, sessions[editions:])
    await story.gate_opens()
    await at_rest(story, tokens, ["owned"] * editions + ["refunded"] * (racers - editions))
    assert nfts(story.world) == made
    assert [returned(story, session) for session in sessions] == [0] * editions + [300] * (racers - editions)
    await story.shop.deposited(20 * DUE)
    await story.pay_out(1)
    assert story.shop.paid() == {"ada": DUE, "bob": editions * DUE}
    assert len(rows_of(story.world, "SELECT id FROM purchases WHERE edition_held")) == 1 + editions
    await story.shop.close()


@on_virtual_time
async def test_who_seems_to_have_lost_before_his_payment_is_known_waits_for_the_chain_as_well(tmp_path: Path) -> None:
    """Of two events of his sale the one that tells of his Session came first: his money went back at once, and he kept
    the NFT."""
    story = drill(tmp_path)
    world, controls = story.world, story.world.stripe.controls
    tokens, sessions = await open_race(story, 2, 1)
    await run_race(story, sessions, 1)

    async def has_lost() -> bool:
        return returned(story, sessions[1]) == 300

    await world.until("the loser has his money", has_lost)
    payment = story.shop.payment_of(sessions[0]).encode()
    told = rows_of(world, "SELECT event_id, body FROM stripe_events WHERE type = 'checkout.session.completed'")
    await come_back_turned(story, sessions[1:], hear_of_all=False)
    controls.resend_event(next(row["event_id"] for row in told if payment in row["body"]))

    async def is_known() -> bool:
        return newest_sale(story)[0] == "pending"

    await world.until("the winner's Session is known", is_known)
    await world.clock.sleep(60)
    controls.clear_faults()
    await story.gate_opens()
    await at_rest(story, tokens, ["owned", "refunded"])
    assert [returned(story, session) for session in sessions] == [0, 300]
    await story.shop.close()


def newest_sale(story: Drill) -> tuple[str, int, int]:
    """Its status, whether it holds an edition, whether it is minted."""
    columns = "SELECT status, edition_held, minted_at IS NOT NULL minted FROM purchases ORDER BY id DESC LIMIT 1"
    (row,) = rows_of(story.world, columns)
    return row["status"], row["edition_held"], row["minted"]


@on_virtual_time
async def test_a_refund_that_was_learned_of_days_before_the_chain_could_be_asked_is_looked_at_as_well(
    tmp_path: Path,
) -> None:
    """What was learned of more than a day before a start passed for older than the backup."""
    story = drill(tmp_path)
    world = story.world
    tokens, sessions = await open_race(story, 1, 1)
    await run_race(story, sessions, 1)
    world.stripe.controls.refund(story.shop.payment_of(sessions[0]))
    await world.clock.sleep(60)
    await world.stop()
    restoring.put_in_place(world.folder / "backup.db", world.folder / "agent.db", world.clock.now())
    world.node.faults.add(Rule("getBlockHeight", Fault.STATUS, times=1_000_000, status=503))
    await world.start()

    async def is_known() -> bool:
        return newest_sale(story) == ("refunded", 0, 0)

    await world.until("the refund is known", is_known, 7_200)
    await world.stop()
    world.node.faults.clear()
    await world.clock.sleep(2 * 86_400)
    await world.start()
    await story.gate_opens()
    await at_rest(story, tokens, ["refunded"])
    assert newest_sale(story) == ("refunded", 1, 1)
    await story.shop.close()


@pytest.mark.parametrize("paid_out", [False, True], ids=["unpaid", "paid-out"])
@on_virtual_time
async def test_a_sale_that_was_refunded_after_its_mint_keeps_its_edition(paid_out: bool, tmp_path: Path) -> None:
    """The restored database learns of payment and refund at once, and not of the NFT: its edition was sold again."""
    story = drill(tmp_path)
    tokens, sessions = await open_race(story, 1, 1)
    await run_race(story, sessions, 1)
    await story.shop.deposited(20 * DUE)
    if paid_out:
        await story.pay_out(1)
    paid = story.shop.paid()
    made = nfts(story.world)
    story.world.stripe.controls.refund(story.shop.payment_of(sessions[0]))
    await story.world.clock.sleep(60)
    await story.put_back()
    await story.gate_opens()
    await at_rest(story, tokens, ["refunded"])
    assert newest_sale(story) == ("refunded", 1, 1)
    _, token = await story.shop.sign_up("late")
    wish = {"content_id": story.shop.creators["bob"].content, "payment_method": "card"}
    assert (await story.world.call("POST", "/api/checkout/stripe/", wish, token)).status == 409
    assert nfts(story.world) == made
    assert story.shop.paid() == paid
    assert (await story.shop.dashboard("bob"))["debt"] == ("2.35" if paid_out else "0.00")
    await story.shop.close()
