"""A large batch at Circle's real rates while a twentieth of all calls fails: everybody is paid, once, in one go."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.payout_rows import Eve
from bench.payouts import pay_out
from sandbox.world import World
from tests.soak.weather import Weather

CREATORS = 1_000
"""At five orders a second the calls alone take more than three minutes."""


def bad_weather(world: World) -> None:
    Weather(world).begin()


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("rail", "transactions"), [("circle", CREATORS), ("solana", CREATORS // 20)])
async def test_a_batch_of_a_thousand_creators_is_paid_once_and_within_the_rates_though_many_calls_fail(
    rail: str, transactions: int, tmp_path: Path
) -> None:
    eve = Eve(CREATORS, CREATORS, datetime.now(UTC))  # noqa: TID251 (the daemon runs on the machine's clock)
    ran = await pay_out(tmp_path, eve, rail, "v0", bad_weather)
    assert ran.refused == 0
    assert ran.transactions >= transactions
