"""What the log says of requests that could not be answered: each id that a caller was given, and of many only the
number."""

import asyncio

from agent.web import front, intake, router
from agent.web.front import FAILURES_TOLD
from agent.web.recurring import Recurring
from domain.states import WalletState
from ports.virtual import VirtualClock, VirtualLoop
from storage.history import advance
from storage.store import Store
from tests.logged import logged
from tests.web.shop import START, Shop, event, opened
from tests.web.test_intake import LosingStore


async def test_an_error_of_ours_is_logged_under_the_id_that_the_caller_was_given(shop: Shop) -> None:
    user_id, token = await shop.member()
    await shop.store.write(
        lambda conn: advance(conn, user_id, WalletState.CHALLENGE, START, wallet_challenge_id="challenge-1")
    )
    shop.circle.down = True
    with logged(front) as lines:
        answers = [await shop.send("GET", "/api/wallet/setup/", token=token) for _ in range(2)]
    assert {answer.status for answer in answers} == {503}
    told = [line["request_id"] for line in lines if line["event"] == "answered with an error"]
    assert told == [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(told)) == 2


async def test_a_full_disk_is_not_filled_further_by_a_line_for_each_refused_delivery(sqlite_store: Store) -> None:
    store = LosingStore(sqlite_store)
    async with opened(Shop(store)) as shop:
        store.gone = True
        with logged(front), logged(router), logged(intake) as lines:  # the innermost hears all
            answers = await asyncio.gather(*(shop.deliver(event(id=f"evt_{n}")) for n in range(100)))
    assert {answer.status for answer in answers} == {503}
    assert len(lines) == 1 + 1 + FAILURES_TOLD


def test_trouble_that_goes_on_is_told_once_a_minute_with_its_number_until_it_ends() -> None:
    lines: list[tuple[float, int, str]] = []

    async def story() -> None:
        clock = VirtualClock(START)
        trouble = Recurring(lambda times, latest: lines.append((clock.monotonic(), times, latest)))
        for _ in range(150):
            trouble.happened("disk full")
            await clock.sleep(1)
        await clock.sleep(600)
        trouble.happened("again", 3)
        await clock.sleep(600)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
    assert lines == [
        (0, 1, "disk full"),
        (60, 59, "disk full"),
        (120, 60, "disk full"),
        (180, 30, "disk full"),
        (750, 3, "again"),
    ]
