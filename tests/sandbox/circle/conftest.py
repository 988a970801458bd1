import pytest

from tests.sandbox.circle.world import World


@pytest.fixture
def world() -> World:
    return World()
