"""Worlds on several cores."""

from collections.abc import Iterator

import pytest

from simulator.cores import AHEAD, in_order
from simulator.scenario import Scenario
from simulator.week import simulate


def test_worlds_on_two_cores_are_the_same_worlds_in_the_same_order() -> None:
    scenarios = [Scenario(seed, purchases=2) for seed in (5, 6, 7)]
    apart = [outcome.trace_hash for outcome in in_order(simulate, scenarios, 2)]
    assert apart == [outcome.trace_hash for outcome in in_order(simulate, scenarios, 1)]


def test_what_is_asked_is_read_little_by_little_and_what_fails_is_told() -> None:
    read: list[str] = []

    def asked() -> Iterator[str]:
        for number in range(100):
            read.append(str(number))
            yield read[-1]
        raise AssertionError("all was read at once")

    answers = in_order(int, asked(), 2)
    assert [next(answers), next(answers)] == [0, 1]
    assert len(read) == 2 * AHEAD + 1
    answers.close()
    with pytest.raises(ValueError, match="nonsense"):
        list(in_order(int, ["1", "nonsense"], 2))
