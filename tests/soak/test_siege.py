"""A week sold and paid while its daemons are killed with SIGKILL: on SQLite, and three replicas on PostgreSQL."""

from pathlib import Path

import pytest

from tests.databases import DURABLE_CONFIGURATION, running_server
from tests.soak.siege import Plan, besiege

A_WEEK = 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kills", "sales", "grouping"), [(2, 3, "purchase"), pytest.param(8, A_WEEK, "creator", marks=pytest.mark.soak)]
)
async def test_a_daemon_on_sqlite_that_is_killed_again_and_again_loses_nothing_and_pays_once(
    kills: int, sales: int, grouping: str, tmp_path: Path
) -> None:
    plan = Plan(kills, sales, seed=7, week=sales, grouping=grouping, share_of_short=1.0)
    siege = await besiege(plan, tmp_path)
    assert siege.violations == []
    assert siege.purchases >= sales
    assert siege.kills == kills


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
