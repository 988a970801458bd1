"""Circle tells of each state of a transfer; its API is asked only where that tells something."""

from pathlib import Path

from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.virtual_world import AGENT_URL, MONDAY, VirtualWorld

TRANSFERS = 2
ASKED_EACH = 2
"""With the order, whose answer names an id alone, and for the signature by which it is followed on the chain."""


@on_virtual_time
async def test_a_transfer_is_asked_for_where_it_gets_its_signature_however_many_notifications_tell_of_it(
    tmp_path: Path,
) -> None:
    shop = Market(VirtualWorld(tmp_path, 1, MONDAY))
    await shop.open("ada", "bob")
    await shop.world.circle_post("/v2/notifications/subscriptions", {"endpoint": f"{AGENT_URL}/api/circle/webhook/"})
    await shop.sell()
    await shop.deposited(2 * DUE)
    before = len(shop.world.transport.sent)
    await shop.plan()
    await shop.batch_is("settled")
    await shop.world.clock.sleep(60)
    told = rows_of(shop.world, "SELECT state FROM circle_notifications WHERE type LIKE 'transactions.%'")
    assert shop.paid() == {"ada": DUE, "bob": DUE}
    assert len(told) >= 3 * TRANSFERS
    assert {row["state"] for row in told} == {"done"}
    asked = [one for one in shop.world.transport.sent[before:] if "/v1/w3s/transactions/" in one.url]
    assert len(asked) == ASKED_EACH * TRANSFERS
    await shop.close()
