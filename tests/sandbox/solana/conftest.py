import pytest

from tests.sandbox.solana.world import World


@pytest.fixture
def world() -> World:
    return World()
