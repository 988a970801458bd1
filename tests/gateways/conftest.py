import pytest

from tests.sandbox.circle.world import World


@pytest.fixture
def world() -> World:
    """Circle on the sandbox's own chain."""
    return World()
