"""Worlds whose USDC is ordered at Circle Mint."""

import random

import pytest

from simulator.report import story_of
from simulator.scenario import ALL_FAULTS, FaultKind, Scenario
from simulator.setups import drawn
from simulator.week import Outcome, simulate

CONVERTING, MANUAL = (("AGENT_CONVERSION", "circle_mint"),), (("AGENT_CONVERSION", "manual"),)
AROUND_ORDERS = frozenset({FaultKind.LOST_ANSWERS, FaultKind.DEATH})


def played(seed: int, faults: frozenset[FaultKind]) -> Outcome:
    outcome = simulate(Scenario(seed, purchases=3, faults=faults, operators=True, settings=CONVERTING))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    return outcome


def orders(outcome: Outcome) -> int:
    return sum("the treasurer orders" in line for line in outcome.story)


@pytest.mark.timeout(600)
def test_everybody_is_served_with_what_is_ordered_at_circle_mint() -> None:
    outcome = played(1, frozenset())
    assert orders(outcome) > 0
    assert outcome.purchases > 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("faults", [AROUND_ORDERS, pytest.param(ALL_FAULTS, marks=pytest.mark.soak)])
def test_what_goes_wrong_around_an_order_brings_its_usdc_once(faults: frozenset[FaultKind]) -> None:
    outcome = played(2, faults)
    assert orders(outcome) > 0
    assert outcome.faults.total() > 0


@pytest.mark.timeout(600)
def test_a_key_that_is_refused_and_other_hands_in_the_console_lose_nothing() -> None:
    """And who names what meets conversions only gets a world that converts."""
    kinds = frozenset({FaultKind.MINT_KEYS, FaultKind.BY_HAND})
    outcome = simulate(Scenario(7, purchases=3, faults=kinds, operators=True))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    assert kinds <= outcome.faults.keys()


def test_a_share_of_the_worlds_converts_and_no_other_setting_depends_on_it() -> None:
    converting = 0
    for seed in range(200):
        settings = drawn(Scenario(seed), random.Random(seed), 1)
        manual = drawn(Scenario(seed, settings=MANUAL), random.Random(seed), 1)
        more = settings.keys() - manual.keys()
        converting += bool(more)
        assert more <= {"AGENT_CAP_CONVERSION", "AGENT_CAP_CONVERSION_DAY", "AGENT_TREASURY_POLL_MS"}
        assert all(settings[name] == manual[name] for name in settings.keys() & manual.keys() - {"AGENT_CONVERSION"})
    assert 30 < converting < 70
