"""Weeks sold and paid while the daemons are cut off from what they need, or stand still and go on."""

from pathlib import Path

import pytest

from tests.databases import DURABLE_CONFIGURATION, running_server
from tests.soak.links import Trouble
from tests.soak.partitions import Plan, cases_of, part


def test_every_trouble_of_every_service_and_standing_still_is_played_for_one_replica_and_for_all() -> None:
    services = ["stripe", "circle", "rpc", "database"]
    told = {str(case) for case in cases_of(Plan(seed=1, seconds=(0, 0), replicas=3), services)}
    links = [f"{service} of {whom}" for service in services for whom in ("one", "all")]
    assert told == {f"{link}: {trouble}" for link in links for trouble in Trouble} | {"one stopped", "all stopped"}


@pytest.mark.timeout(600)
async def test_a_daemon_that_is_cut_off_from_everything_in_turn_loses_nothing_and_pays_once(tmp_path: Path) -> None:
    parted = await part(Plan(seed=3, seconds=(0.3, 1.5), gap=(0.0, 0.3), week=4), tmp_path)
    assert parted.violations == []
    assert parted.purchases >= 4
    assert len(parted.cases) == 3 * len(Trouble) + 1
    assert parted.struck["rpc"], "which is asked all the time"


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("rail", ["circle", "solana"])
async def test_three_replicas_that_are_cut_off_from_everything_in_turn_lose_nothing_and_pay_once(
    rail: str, tmp_path: Path
) -> None:
    with running_server(DURABLE_CONFIGURATION) as server:
        plan = Plan(seed=4, seconds=(2.0, 40.0), replicas=3, week=8, rail=rail)
        parted = await part(plan, tmp_path, server)
    assert parted.violations == []
    assert len(parted.cases) == 2 * (4 * len(Trouble) + 1)
    assert parted.struck["database"]
