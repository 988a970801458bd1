import pytest

from tests.sandbox.mint.world import World


@pytest.fixture
def world() -> World:
    return World()
