"""Does the simulator find bugs? Every seeded one, within a bounded number of seeds; eleven in the everyday suite."""

import pytest

from tests.seeded_bugs.bugs import BUGS, Bug
from tests.seeded_bugs.hunt import SEEDS_MOST, hunt

EVERYDAY = (
    "writes_no_audit_row",
    "acknowledges_before_the_commit",
    "promises_what_is_not_there",
    "sells_more_editions_than_there_are",
    "forgets_the_history",
    "books_one_side_only",
    "forgets_what_a_sale_owes",
    "rounds_the_split_down",
    "pays_a_cent_more_with_the_mint",
    "writes_before_it_refuses",
    "calls_a_conversion_done_when_it_is_sent",
    "shows_what_was_refunded_as_sold",
)
"""Those that cost the least processor time, by the proof's table."""
SEEDS_EVERYDAY = 3


def named(name: str) -> Bug:
    return next(bug for bug in BUGS if bug.name == name)


@pytest.mark.parametrize("name", EVERYDAY)
def test_the_simulator_finds_it_at_once(name: str) -> None:
    assert hunt(named(name), SEEDS_EVERYDAY, against_itself=False) is not None


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_simulator_finds_every_seeded_bug(bug: Bug) -> None:
    assert hunt(bug, SEEDS_MOST) is not None


def test_there_are_at_least_forty_of_them_each_with_a_name_of_its_own() -> None:
    assert len(BUGS) == len({bug.name for bug in BUGS}) >= 40
