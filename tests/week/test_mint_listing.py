"""Circle's own id of the NFT's arrival: told where Circle lists it, empty where it does not."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault, Rule
from tests.week.people import eventually, gallery, on_virtual_time, purchase_becomes
from tests.week.test_refunds import Gallery

LISTED = ("circle_mint_transaction_id", "circle_nft_id")


async def shown(shop: Gallery, purchase_id: int = 1) -> dict[str, Any]:
    found = await shop.world.operator("GET", f"/admin/api/purchases/{purchase_id}")
    return dict(found.body["purchase"])


@pytest.mark.parametrize("kind", ["user", "developer"])
@on_virtual_time
async def test_the_purchase_names_the_inbound_transaction_that_circle_lists(kind: str, tmp_path: Path) -> None:
    shop = gallery(tmp_path, AGENT_USER_WALLETS=kind)
    world = shop.world
    if kind == "developer":
        set_id = world.platform.wallet_set_id
        world.settings = world.settings.model_copy(update={"agent_wallet_set_id": set_id})
    await shop.open()
    world.circle.faults.add(Rule("GET /v1/w3s/transactions", Fault.STATUS, times=2, status=500))
    await shop.pay()
    await purchase_becomes(shop, 1, status="completed")

    async def is_told() -> bool:
        return bool((await shown(shop))["circle_mint_transaction_id"])

    await eventually(world, "Circle's id is told", is_told)
    purchase = await shown(shop)
    (inbound,) = [
        one
        for one in world.circle.custody.transactions.all()
        if one.kind == "INBOUND" and one.tx_hash == purchase["mint_signature"]
    ]
    assert [purchase[name] for name in LISTED] == [inbound.id, inbound.token.id]
    await shop.close()
