"""What no story of a week may hide: a step that failed by an error which no class of ours names."""

from collections.abc import Iterator

import pytest

from simulator.listening import listening


@pytest.fixture(autouse=True)
def defects() -> Iterator[list[str]]:
    """What was found while a story ran. A story that makes a step fail on purpose clears it at its end."""
    found: list[str] = []
    with listening(found.append, lambda line: False):
        yield found
    assert not found, found[0]
