"""Does the simulator find bugs? Every seeded one, within a bounded number of seeds; ten in the everyday suite."""

import pytest

from tests.seeded_bugs.bugs import BUGS, Bug
from tests.seeded_bugs.hunt import SEEDS_MOST, hunt

EVERYDAY = (
    "acknowledges_before_the_commit",
    "takes_a_failing_event_for_done",
    "forgets_the_mint_job",
    "forgets_the_fee_job",
    "books_one_side_only",
    "books_the_gross_as_the_net",
    "promises_what_is_not_there",
    "never_plans_a_monday",
    "forgets_to_book_the_payout",
    "does_not_follow_the_lamports",
)
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
