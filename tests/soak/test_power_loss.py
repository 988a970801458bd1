"""The power goes while events come in: all that was answered 200 is there, and nothing is damaged."""

import random
from pathlib import Path

import pytest

from storage.engines.durability import MUST_BE_ON
from tests.databases import DURABLE_CONFIGURATION, running_server
from tests.soak.power import cut_postgres, cut_sqlite, durable

EVENTS = 400


async def test_all_that_was_acknowledged_survives_the_loss_of_every_unsynced_page(
    sqlite_template: Path, tmp_path: Path
) -> None:
    loss = await cut_sqlite(sqlite_template, tmp_path, random.Random(1), EVENTS)
    assert loss.acknowledged >= EVENTS
    assert (loss.lost, loss.damage) == ([], [])


@pytest.mark.soak
async def test_the_same_loss_takes_acknowledged_events_where_commits_are_not_synced(
    sqlite_template: Path, tmp_path: Path
) -> None:
    loss = await cut_sqlite(sqlite_template, tmp_path, random.Random(1), EVENTS, level="NORMAL")
    assert loss.acknowledged >= EVENTS
    assert len(loss.lost) > 0


@pytest.mark.soak
async def test_a_postgresql_that_is_killed_with_all_its_children_recovers_all_that_was_acknowledged() -> None:
    with running_server(DURABLE_CONFIGURATION) as server:
        assert await durable(server) == dict.fromkeys(MUST_BE_ON, "on")
        loss = await cut_postgres(server, EVENTS)
    assert loss.acknowledged >= EVENTS
    assert loss.lost == []
