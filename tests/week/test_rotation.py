"""Secrets are rotated while work is under way, as the runbook says (docs/runbooks/rotate-secrets.md)."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.test_packed_rail import open_accounts
from tests.week.virtual_world import VirtualWorld

NEW_CIRCLE_KEY = "TEST_API_KEY:id2:secret2"


def change(world: VirtualWorld, **secrets: str) -> None:
    """What the next start finds in its settings."""
    world.settings = world.settings.model_copy(update={name: SecretStr(text) for name, text in secrets.items()})


@pytest.mark.parametrize(("rail", "work", "waiting"), [("circle", "transfer", 2), ("solana", "packed_sign", 1)])
@on_virtual_time
async def test_a_circle_key_that_ends_in_the_middle_of_a_batch_makes_it_wait_and_the_next_key_pays_each_once(
    tmp_path: Path, rail: str, work: str, waiting: int
) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_RAIL=rail))
    world = shop.world
    await shop.open("ada", "ben")
    open_accounts(shop)
    await shop.sell()
    await shop.plan()
    world.circle.custody.entity.api_keys = frozenset({NEW_CIRCLE_KEY})
    shop.fund(2 * DUE)

    async def refused() -> bool:
        errors = rows_of(world, f"SELECT last_error FROM jobs WHERE kind = '{work}'")
        return len(errors) == waiting and all("an operator must act" in (row["last_error"] or "") for row in errors)

    await world.until("Circle has refused all", refused)
    assert shop.paid() == {"ada": 0, "ben": 0}
    await world.stop()
    change(world, circle_w3s_api_key=NEW_CIRCLE_KEY)
    await world.start()
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE, "ben": DUE}
    for attempts in ("transfer_attempts", "group_attempts"):
        assert rows_of(world, f"SELECT id FROM {attempts} WHERE attempt > 1") == []
    await shop.close()
