"""A process that is stopped between what it has read and its call, for long enough that others act meanwhile."""

import asyncio
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import select

from domain.ledger import Asset
from simulator.world import DATABASE
from storage.engines.sqlite import open_writer
from storage.payouts.upkeep import Payer
from storage.recovery import adoption_by_hand
from storage.tables import chain_movements
from storage.treasury import movements
from storage.treasury.movement_rows import Movement
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.virtual_world import VirtualWorld

LONGER_THAN_A_LEASE_AND_A_CALL = 300.0
SENT = "SELECT id FROM transfer_attempts WHERE state = 'submitted'"


async def paid_by_hand(shop: Market) -> Movement:
    """A person pays the creator in Circle's console; what a follower sees of it."""
    world, address = shop.world, shop.creators["ada"].address
    await world.circle_transfer("2.35", address)
    while not outflows(world):
        await world.clock.sleep(1)
    (signature,) = outflows(world)
    assert world.daemon is not None
    slot = next(one.slot for one in world.node.history.landed if one.signature == signature)
    account = world.daemon.engine.follower.usdc_account
    return Movement(signature, account, Asset.USDC, -DUE, slot, world.clock.now(), address)


@on_virtual_time
async def test_an_order_whose_process_stood_still_before_its_call_is_not_sent_after_its_outflow_was_adopted(
    tmp_path: Path,
) -> None:
    """Its lease had run out, Circle had not heard of it for minutes: a person's payment was taken for it."""
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="20000"))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    await shop.deposited(DUE)

    def is_to_be_sent() -> bool:
        job = str(structlog.contextvars.get_contextvars().get("job", ""))
        return job.startswith("transfer:") and bool(rows_of(world, SENT))

    stopped = asyncio.create_task(world.process.life.stand_still_at("after commit", is_to_be_sent))
    planned = asyncio.create_task(shop.plan())
    await stopped
    movement = await paid_by_hand(shop)
    engine, found_at = open_writer(world.folder / DATABASE, synchronous="OFF"), world.clock.now()
    with engine.begin() as conn:  # another replica, whose start gate holds it against Circle's list
        movements.book_usdc(conn, movement, found_at)
        movements.disown(conn, movement.signature, found_at)
    await world.clock.sleep(LONGER_THAN_A_LEASE_AND_A_CALL)
    now, payer = world.clock.now(), Payer(str(world.platform.wallet_id), world.platform.address)
    with engine.begin() as conn:
        mine = chain_movements.c.signature == movement.signature
        row_id = conn.execute(select(chain_movements.c.id).where(mine)).scalar_one()
        adoption_by_hand.adopt(conn, row_id, [1], payer, UUID(int=7, version=4), now)
    engine.dispose()
    world.process.life.go_on()
    await planned
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE}
    await shop.close()
