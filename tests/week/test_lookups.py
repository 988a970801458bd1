"""What a week asks the database: nothing that takes longer with each week before it."""

import pytest

from simulator.scenario import Scenario
from simulator.week import simulate
from storage.engines.sqlite import SqliteStore
from tests.plans import growing, plans_kept


@pytest.mark.parametrize(("rail", "mode"), [("circle", "realtime"), ("solana", "weekly")])
def test_no_statement_of_a_week_reads_what_all_weeks_before_have_left(
    sqlite_store: SqliteStore, rail: str, mode: str
) -> None:
    settings = (("AGENT_RAIL", rail), ("AGENT_GROUPING", "creator" if rail == "solana" else "purchase"))
    with plans_kept() as plans:
        outcome = simulate(Scenario(7, purchases=4, operators=True, payout_mode=mode, settings=settings))
    assert outcome.violations == []
    assert outcome.purchases > 2
    assert len(plans) > 150
    assert growing(plans) == {}
