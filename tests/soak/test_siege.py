"""A week sold and paid while its daemons are killed with SIGKILL: on SQLite, and three replicas on PostgreSQL."""

from pathlib import Path

import pytest

from tests.databases import DURABLE_CONFIGURATION, running_server
from tests.soak.siege import Plan, besiege

A_WEEK, KILLS = 8, 4


@pytest.mark.timeout(600)
@pytest.mark.parametrize("grouping", ["purchase", pytest.param("creator", marks=pytest.mark.soak)])
async def test_a_daemon_on_sqlite_that_is_killed_again_and_again_loses_nothing_and_pays_once(
    grouping: str, tmp_path: Path
) -> None:
    plan = Plan(KILLS, A_WEEK, seed=7, week=A_WEEK, grouping=grouping, share_of_short=1.0)
    siege = await besiege(plan, tmp_path)
    assert siege.violations == []
    assert siege.purchases >= A_WEEK
    assert siege.kills == KILLS


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("rail", ["circle", "solana"])
async def test_three_replicas_and_their_database_that_are_killed_again_and_again_lose_nothing_and_pay_once(
    rail: str, tmp_path: Path
) -> None:
    with running_server(DURABLE_CONFIGURATION) as server:
        plan = Plan(kills=30, purchases=2 * A_WEEK, seed=8, replicas=3, week=A_WEEK, rail=rail)
        siege = await besiege(plan, tmp_path, server)
    assert siege.violations == []
    assert siege.kills >= 30
    assert siege.server_deaths > 0
